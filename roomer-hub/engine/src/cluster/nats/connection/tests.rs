//! Tests of NATS connections in memory.
//!
//! `transcripts/` contains bytes recorded from two server versions.

use super::*;
use crate::cluster::NodeId;
use crate::cluster::broker::connection_tests::{
    self, Transcript, check_splits, end, frame, receive_garbage, sent,
};
use BrokerEvent::{Down, Notice, Secure, Up};

const INFO: &str =
    "INFO {\"version\":\"2.15.1\",\"host\":\"broker.example\",\"max_payload\":64} \r\n";
const TLS: &str = "INFO {\"version\":\"2.15.1\",\"max_payload\":64,\"tls_required\":true} \r\n";

fn new_connection(address: &str) -> Connection {
    let subjects = Subjects::new("chat", NodeId(1)).unwrap();
    Connection::new(&address.parse().unwrap(), &subjects, Duration::ZERO)
}

fn run<'a>(
    connection: &mut Connection,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<BrokerEvent>, String) {
    connection_tests::run(connection, pieces, 0)
}

/// Returns a connection that is up and has sent its greeting.
fn up() -> Connection {
    let mut connection = new_connection("nats://broker");
    let (events, _) = run(&mut connection, [INFO.as_bytes(), b"PONG\r\n"]);
    assert_eq!(events, [Up { max_payload: 64 }]);
    connection
}

macro_rules! transcripts {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("transcripts/", $name, ".txt")).as_slice())),*]
    };
}

const TRANSCRIPTS: [Transcript; 12] = transcripts!(
    "2.9.10-frames",
    "2.9.10-login",
    "2.9.10-payload",
    "2.9.10-publish",
    "2.9.10-subscribe",
    "2.9.10-unknown",
    "2.15.1-frames",
    "2.15.1-login",
    "2.15.1-payload",
    "2.15.1-publish",
    "2.15.1-subscribe",
    "2.15.1-unknown"
);

/// Returns the expected events for the transcript with this name.
fn due(name: &str) -> Vec<BrokerEvent> {
    let (version, case) = name.split_once('-').unwrap();
    let payload = if case == "payload" { 8 } else { 1_048_576 };
    let down = |reason: &str| Down(reason.to_owned());
    let allow = "allow the user to publish and to subscribe to chat.>";
    let mut events = match case {
        "frames" => vec![frame("hello"), frame(""), frame("a\r\nb\r\nc")],
        "login" => return vec![down("it rejects the login")],
        "subscribe" => {
            let text = "Permissions Violation for Subscription to \"chat.all\"";
            return vec![Down(format!("{text}: {allow}"))];
        }
        "publish" => {
            let text = "Permissions Violation for Publish to \"chat.all\"";
            vec![Down(format!("{text}: {allow}"))]
        }
        "payload" => vec![
            frame("12345678"),
            down("it rejects a frame as too large: was its max_payload reduced?"),
        ],
        "unknown" => vec![down("it reports: Unknown Protocol Operation")],
        other => panic!("{other}"),
    };
    if version == "2.9.10" {
        let text = "NATS 2.9.10 delays all nodes for seconds while one of them does not read; \
                    versions from 2.11 on do not";
        events.insert(0, Notice(text.to_owned()));
    }
    events.insert(0, Up { max_payload: payload });
    events
}

#[test]
fn messages_are_parsed_at_any_split() {
    check_splits(&TRANSCRIPTS, || new_connection("nats://u:x@broker"), 0, due);
}

#[test]
fn garbage_does_not_panic() {
    receive_garbage(&TRANSCRIPTS, || new_connection("nats://broker"), 0, b'}');
}

#[test]
fn info_is_answered_with_connect() {
    let (events, sent) = run(&mut new_connection("nats://ann:s%22cret@broker"), [INFO.as_bytes()]);
    assert_eq!(events, []);
    let (connect, rest) = sent.split_once("\r\n").unwrap();
    assert_eq!(rest, "SUB chat.all 1\r\nSUB chat.n.0000000000000001 2\r\nPING\r\n");
    let options: serde_json::Value =
        serde_json::from_str(connect.strip_prefix("CONNECT ").unwrap()).unwrap();
    for name in ["verbose", "pedantic", "echo", "headers", "no_responders", "tls_required"] {
        assert_eq!(options[name], false, "{name}");
    }
    assert_eq!((&options["user"], &options["pass"]), (&"ann".into(), &"s\"cret".into()));
    assert_eq!((&options["lang"], &options["name"]), (&"rust".into(), &"roomer".into()));

    let (_, sent) = run(&mut new_connection("nats://t@broker"), [INFO.as_bytes()]);
    assert!(sent.contains("\"auth_token\":\"t\"") && !sent.contains("\"pass\""), "{sent}");
}

#[test]
fn frames_are_published_once_connected() {
    let mut starting = new_connection("nats://broker");
    assert!(!starting.publish(Subject::All, Bytes::from_static(b"early")));
    run(&mut starting, [INFO.as_bytes()]);
    assert!(!starting.publish(Subject::All, Bytes::from_static(b"early")));
    assert!(!starting.has_output());

    let mut connection = up();
    assert!(connection.publish(Subject::All, Bytes::from_static(b"a\r\nb")));
    assert!(connection.publish(Subject::Node(NodeId(0x0123_4567_89ab_cdef)), Bytes::new()));
    assert!(connection.publish(Subject::All, Bytes::from(vec![b'x'; 64])));
    // The frame has one byte more than `max_payload`.
    assert!(!connection.publish(Subject::All, Bytes::from(vec![b'x'; 65])));
    let due = format!(
        "PUB chat.all 4\r\na\r\nb\r\nPUB chat.n.0123456789abcdef 0\r\n\r\nPUB chat.all 64\r\n{}\r\n",
        "x".repeat(64)
    );
    assert_eq!(sent(&mut connection), due);
}

#[test]
fn queued_frames_keep_order_and_are_bounded() {
    let info = INFO.replace("64}", "2000000}");
    let mut connection = new_connection("nats://broker");
    run(&mut connection, [info.as_bytes(), b"PONG\r\n"]);
    let lengths = [1, 4096, 4095, 70_000, 0, 4096, 4096];
    for length in lengths {
        assert!(connection.publish(Subject::All, Bytes::from(vec![b'x'; length])));
    }
    let due: String = lengths
        .iter()
        .map(|length| format!("PUB chat.all {length}\r\n{}\r\n", "x".repeat(*length)))
        .collect();
    assert!(sent(&mut connection) == due);

    // A frame above the limit is accepted into an empty queue.
    assert!(connection.publish(Subject::All, Bytes::from(vec![b'x'; MAX_QUEUED + 1])));
    assert!(!connection.publish(Subject::All, Bytes::new()));
    sent(&mut connection);
    let frame = Bytes::from(vec![b'x'; 1000]);
    let mut count = 0;
    while connection.publish(Subject::All, frame.clone()) {
        count += 1;
    }
    assert!((MAX_QUEUED / 1100..=MAX_QUEUED / 1000).contains(&count), "{count}");
    let written = sent(&mut connection).len();
    assert!(written <= MAX_QUEUED + 100, "{written}");
    assert!(connection.publish(Subject::All, frame));
}

#[test]
fn ping_is_answered() {
    let mut connection = up();
    assert_eq!(
        run(&mut connection, [&b"PING\r\nPING\r\n"[..]]),
        (vec![], "PONG\r\nPONG\r\n".into())
    );
}

#[test]
fn pongs_to_stalled_server_are_bounded() {
    let mut connection = up();
    let pings = "PING\r\n".repeat(1000);
    for _ in 0..200 {
        connection.receive(pings.as_bytes(), Duration::ZERO);
        assert_eq!(connection.next_event(), None);
    }
    assert!(sent(&mut connection).len() <= MAX_QUEUED + 6);
}

#[test]
fn silent_server_is_pinged_then_disconnected() {
    let at = Duration::from_millis;
    let mut connection = up();
    connection.receive(b"", at(500));
    assert_eq!(connection.deadline(), at(2500));
    connection.tick(at(2499));
    assert!(!connection.has_output());
    connection.tick(at(2500));
    assert_eq!(sent(&mut connection), "PING\r\n");
    // Any received bytes count as the answer to a ping, not only PONG.
    connection.receive(b"MSG chat.all 1 5\r\nhello\r\n", at(4000));
    assert_eq!(connection.next_event(), Some(frame("hello")));
    connection.tick(at(4500));
    assert_eq!((connection.deadline(), connection.has_output()), (at(6000), false));
    connection.tick(at(6000));
    connection.tick(at(8000));
    assert_eq!(connection.next_event(), Some(Down("it has sent nothing for 4 s".into())));
    assert_eq!(connection.next_event(), None);
}

#[test]
fn late_poll_leaves_server_time_to_answer() {
    let mut connection = up();
    connection.tick(Duration::from_secs(100));
    assert_eq!(connection.next_event(), None);
    assert_eq!(connection.deadline(), Duration::from_secs(102));
}

#[test]
fn server_without_info_times_out() {
    for bytes in ["", INFO, "SSH-2.0-x"] {
        let mut connection = new_connection("nats://broker");
        run(&mut connection, [bytes.as_bytes()]);
        connection.tick(Duration::from_millis(1999));
        assert_eq!(connection.next_event(), None);
        connection.tick(Duration::from_secs(2));
        assert!(matches!(connection.next_event(), Some(Down(_))), "{bytes}");
    }
}

#[test]
fn tls_handshake_precedes_output() {
    let mut cases = vec![("nats://t@broker", TLS.to_owned())];
    if cfg!(feature = "tls") {
        let offered = INFO.replace("64}", "64,\"tls_available\":true}");
        cases.extend([("tls://t@broker", TLS.to_owned()), ("tls://t@broker", offered)]);
    }
    for (address, info) in cases {
        let mut connection = new_connection(address);
        assert_eq!(run(&mut connection, [info.as_bytes()]), (vec![Secure], String::new()));
        connection.secured(Duration::from_secs(1));
        assert_eq!(connection.deadline(), Duration::from_secs(3));
        let (events, sent) = run(&mut connection, [&b"PONG\r\n"[..]]);
        assert_eq!(events, [Up { max_payload: 64 }]);
        assert!(sent.contains("\"tls_required\":true") && sent.contains("\"auth_token\":\"t\""));
    }
}

#[test]
fn plain_text_during_tls_upgrade_ends_connection() {
    let reason = end(&mut new_connection("nats://t@broker"), &format!("{TLS}PONG\r\n"));
    assert_eq!(reason, "it sends plain text after its greeting, where TLS must begin");
}

#[cfg(feature = "tls")]
#[test]
fn login_for_tls_requires_tls() {
    let mut connection = new_connection("tls://t@broker");
    assert!(end(&mut connection, INFO).starts_with("it does not offer TLS"));
    assert_eq!(sent(&mut connection), "");
}

#[test]
fn lengths_are_checked_before_buffering() {
    for length in ["65", "1048576", "18446744073709551615"] {
        let reason = end(&mut up(), &format!("MSG chat.all 1 {length}\r\n"));
        assert_eq!(
            reason,
            format!("it sends a message of {length} bytes, more than its own max_payload")
        );
    }
    let mut connection = up();
    assert_eq!(run(&mut connection, [&b"MSG chat.all 1 64\r\n"[..]]).0, []);
}

#[test]
fn updated_max_payload_applies() {
    let mut connection = up();
    run(&mut connection, [INFO.replace("64}", "10}").as_bytes()]);
    assert!(connection.publish(Subject::All, Bytes::from_static(b"1234567890")));
    assert!(!connection.publish(Subject::All, Bytes::from_static(b"12345678901")));
}

#[test]
fn invalid_bytes_end_connection() {
    let unknown = "this is not a NATS server: it sends ";
    for (bytes, reason) in [
        ("HTTP/1.1 400 Bad Request\r\n", unknown),
        ("SSH-2.0-OpenSSH\r\n", unknown),
        ("\r\n", unknown),
        ("info {}\r\n", unknown),
        ("INFO {}\n", unknown),
        ("PONG\r\n", "this is not a NATS server: it sends no greeting"),
        ("INFO {}\r\n", "its greeting is not that of a NATS server"),
        ("INFO [\r\n", "its greeting is not that of a NATS server"),
        ("-ERR 'maximum connections exceeded'\r\n", "it reports: maximum connections exceeded"),
        (
            "-ERR 'Authorization Violation'\r\n",
            "it requires a login: write user:password@ or token@ before the host",
        ),
    ] {
        let found = end(&mut new_connection("nats://broker"), bytes);
        assert!(found.starts_with(reason), "{bytes:?}: {found}");
    }
    for (bytes, reason) in [
        ("MSG chat.all 1\r\n", unknown),
        ("MSG chat.all 1 2 3 4\r\n", unknown),
        ("MSG chat.all x 1\r\n", unknown),
        ("MSG chat.all 1 -1\r\n", unknown),
        ("MSG chat.all 1 99999999999999999999\r\n", unknown),
        ("HMSG chat.all 1 12 12\r\nNATS/1.0\r\n\r\n", unknown),
        ("MSG chat.all 3 1\r\nx\r\n", "it sends messages for the unknown subscription 3"),
        ("MSG chat.all 1 1\r\nxy\r\n", "it sends a message that does not end where"),
        ("-ERR\r\n", "it reports: "),
        ("-ERR ' Slow Consumer\r\n", "it reports: ' Slow Consumer"),
        ("-ERR 'Slow Consumer'\r\n", "it has closed the link, because this node reads too slowly"),
    ] {
        let found = end(&mut up(), bytes);
        assert!(found.starts_with(reason), "{bytes:?}: {found}");
    }
}

#[test]
fn line_length_is_bounded_and_error_truncated() {
    let found = end(&mut new_connection("nats://broker"), &"x".repeat(70_000));
    assert_eq!(found, "it sends a line of more than 65536 bytes, which no NATS server does");
    let found =
        end(&mut new_connection("nats://broker"), &format!("{}\u{1b}é\r\n", "é".repeat(10_000)));
    assert!(found.len() < 700 && !found.contains('\u{1b}'), "{found}");
}

#[test]
fn no_output_after_end() {
    let mut connection = up();
    let (events, sent) =
        run(&mut connection, [&b"+NO\r\nMSG chat.all 1 1\r\nx\r\n"[..], b"PING\r\n"]);
    assert_eq!((events.len(), &*sent), (1, ""));
    assert!(!connection.publish(Subject::All, Bytes::new()));
    connection.tick(Duration::from_secs(100));
    assert_eq!((connection.next_event(), connection.has_output()), (None, false));
}
