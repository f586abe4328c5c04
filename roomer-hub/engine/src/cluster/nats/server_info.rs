//! The INFO message that describes a NATS server.

use serde_json::Value;

use super::decoder::text;

/// The upper bound for `max_payload`. NATS servers reject a larger setting, since a message must
/// fit into the bytes that may be pending for a client.
const MAX_PAYLOAD: u64 = 64 * 1024 * 1024;

/// In servers before this version, one client that does not read can stall other readers of the
/// same subjects for seconds.
const GOOD_VERSION: (u32, u32) = (2, 11);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerInfo {
    pub(super) max_payload: usize,
    pub(super) requires_tls: bool,
    /// True if the server accepts TLS, whether required or not.
    pub(super) offers_tls: bool,
    pub(super) version: String,
}

impl ServerInfo {
    /// Parses the JSON in INFO. Returns `None` if it is not valid.
    pub(super) fn parse(json: &[u8]) -> Option<ServerInfo> {
        let info: Value = serde_json::from_slice(json).ok()?;
        let max_payload = info.get("max_payload")?.as_u64()?;
        let flag = |name| info.get(name).and_then(Value::as_bool).unwrap_or(false);
        let requires_tls = flag("tls_required");
        let version = info.get("version").and_then(Value::as_str).unwrap_or_default();
        Some(ServerInfo {
            // The cast is lossless: the value is at most 64 MiB.
            max_payload: max_payload.min(MAX_PAYLOAD) as usize,
            requires_tls,
            offers_tls: requires_tls || flag("tls_available"),
            version: text(version.as_bytes()),
        })
    }

    /// Returns a notice for the operator if the server's version has a fault that affects clusters.
    pub(super) fn notice(&self) -> Option<String> {
        let mut numbers = self.version.split('.').map(|part| part.parse::<u32>().ok());
        let version = numbers.next()?.zip(numbers.next()?)?;
        (version < GOOD_VERSION).then(|| {
            format!(
                "NATS {} delays all nodes for seconds while one of them does not read; versions \
                 from 2.11 on do not",
                self.version
            )
        })
    }
}
