//! Handshake responses and close frames that a scripted server can send.

/// Close codes with reasons, as sent by servers, applications and proxies.
pub const CLOSES: [(Option<u16>, &str); 16] = [
    (None, ""),
    (Some(1000), ""),
    (Some(1001), ""),
    (Some(1002), "no such frame"),
    (Some(1008), "rate"),
    (Some(1008), "login expired"),
    (Some(1008), "too many violations"),
    (Some(1009), ""),
    (Some(1011), ""),
    (Some(1012), "retry=1500"),
    (Some(1012), "retry=99999999999999999999"),
    (Some(1013), "no sign of life"),
    (Some(1013), "retry=0"),
    (Some(1014), "bad gateway"),
    (Some(3000), ""),
    (Some(4001), "enough for today"),
];

/// The `Sec-WebSocket-Accept` value for the client's key, `[7; 16]` (RFC 6455 section 4.2.2).
pub(super) const ACCEPT: &str = "CdXSYUsvsaMthlEXWDNURGWA/1o=";

/// The status lines of handshake responses. Only the first one accepts the handshake.
pub const RESPONSES: [&str; 12] = [
    "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT",
    "101 Switching Protocols\r\nconnection: keep-alive, upgrade\r\nUPGRADE: WebSocket\r\nsec-websocket-accept:ACCEPT",
    "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket",
    "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: no",
    "200 OK\r\nContent-Length: 2\r\n\r\nno",
    "302 Found\r\nLocation: /login",
    "401 Unauthorized",
    "403 Forbidden",
    "429 Too Many Requests\r\nRetry-After: 1",
    "502 Bad Gateway",
    "503 Service Unavailable",
    "\u{1}\r\n",
];
