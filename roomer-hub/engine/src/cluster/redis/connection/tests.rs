//! Tests of Redis connections in memory. `transcripts/` contains bytes recorded from a server.

use super::*;
use crate::cluster::NodeId;
use crate::cluster::broker::connection_tests::{
    self, Transcript, check_splits, end, frame, receive_garbage, sent,
};
use BrokerEvent::{Down, Frame, Secure, Up};

const HELLO: &str = "%1\r\n$5\r\nproto\r\n:3\r\n";
const SUBSCRIBED: &str = ">3\r\n$9\r\nsubscribe\r\n$8\r\nchat.all\r\n:1\r\n\
                          >3\r\n$9\r\nsubscribe\r\n$23\r\nchat.n.0000000000000001\r\n:2\r\n";
const UP: BrokerEvent = Up { max_payload: 1_048_576 };

fn new_connection(address: &str) -> Connection {
    let subjects = Subjects::new("chat", NodeId(1)).unwrap();
    Connection::new(&address.parse().unwrap(), &subjects, Duration::ZERO)
}

/// The number of frames that the recorded servers have answered.
const FRAMES: usize = 5;

fn run<'a>(
    connection: &mut Connection,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<BrokerEvent>, String) {
    connection_tests::run(connection, pieces, FRAMES)
}

/// Returns a connection that is up, has sent its greeting, and has no unanswered commands.
fn up() -> Connection {
    let mut connection = new_connection("redis://broker");
    connection.receive([HELLO, SUBSCRIBED].concat().as_bytes(), Duration::ZERO);
    assert_eq!((connection.next_event(), connection.next_event()), (Some(UP), None));
    sent(&mut connection);
    connection
}

macro_rules! transcripts {
    ($($name:literal),*) => {
        [$(($name, include_bytes!(concat!("transcripts/7.0.15-", $name, ".txt")).as_slice())),*]
    };
}

const TRANSCRIPTS: [Transcript; 9] = transcripts!(
    "acl",
    "frames",
    "greeting",
    "login",
    "no-login",
    "protocol",
    "publish",
    "subscribe",
    "unknown"
);

/// Returns the expected events for the transcript with this name.
fn due(name: &str) -> Vec<BrokerEvent> {
    let down = |reason: &str| Down(reason.to_owned());
    let allow = "allow the user the commands hello, subscribe, publish and ping, and the channels \
                 chat.*";
    let no_permission = "NOPERM this user has no permissions to";
    match name {
        "acl" => vec![UP, frame("hello")],
        "frames" => vec![UP, frame("hello"), frame(""), frame("a\r\nb\r\nc")],
        "greeting" => vec![UP],
        "login" => vec![down("it rejects the login")],
        "no-login" => {
            vec![down("it requires a login: write user:password@ or :password@ before the host")]
        }
        "protocol" => vec![UP, down("it reports: ERR Protocol error: expected '$', got ':'")],
        "publish" => {
            vec![UP, Down(format!("{no_permission} run the 'publish' command: {allow}"))]
        }
        "subscribe" => {
            let what = "access one of the channels used as arguments";
            vec![Down(format!("{no_permission} {what}: {allow}"))]
        }
        "unknown" => {
            let text = "it reports: ERR wrong number of arguments for 'publish' command";
            vec![UP, down(text)]
        }
        other => panic!("{other}"),
    }
}

#[test]
fn replies_are_parsed_at_any_split() {
    check_splits(&TRANSCRIPTS, || new_connection("redis://u:x@broker"), FRAMES, due);
}

#[test]
fn garbage_does_not_panic() {
    receive_garbage(&TRANSCRIPTS, || new_connection("redis://broker"), FRAMES, b'*');
}

#[test]
fn connection_sends_hello() {
    let subscribe = "*3\r\n$9\r\nSUBSCRIBE\r\n$8\r\nchat.all\r\n$23\r\nchat.n.0000000000000001\r\n";
    let name = "$7\r\nSETNAME\r\n$6\r\nroomer\r\n";
    for (login, due) in [
        ("", format!("*4\r\n$5\r\nHELLO\r\n$1\r\n3\r\n{name}")),
        (
            "ann:s%0D%0Acret@",
            format!(
                "*7\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$3\r\nann\r\n$7\r\ns\r\ncret\r\n{name}"
            ),
        ),
        (
            ":secret@",
            format!(
                "*7\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$7\r\ndefault\r\n$6\r\nsecret\r\n{name}"
            ),
        ),
    ] {
        let mut connection = new_connection(&format!("redis://{login}broker"));
        assert_eq!(sent(&mut connection), format!("{due}{subscribe}"), "{login}");
    }
}

#[test]
fn frames_are_published_once_connected() {
    let mut starting = new_connection("redis://broker");
    assert!(!starting.publish(Subject::All, Bytes::from_static(b"early")));
    starting.receive(HELLO.as_bytes(), Duration::ZERO);
    assert_eq!(starting.next_event(), None);
    assert!(!starting.publish(Subject::All, Bytes::from_static(b"early")));

    let mut connection = up();
    assert!(connection.publish(Subject::All, Bytes::from_static(b"a\r\nb")));
    assert!(connection.publish(Subject::Node(NodeId(0x0123_4567_89ab_cdef)), Bytes::new()));
    let start = "*3\r\n$7\r\nPUBLISH\r\n";
    let due = format!(
        "{start}$8\r\nchat.all\r\n$4\r\na\r\nb\r\n\
         {start}$23\r\nchat.n.0123456789abcdef\r\n$0\r\n\r\n"
    );
    assert_eq!(sent(&mut connection), due);
    // Exceed the limit for one frame, and then the limit for the queue.
    let largest = Bytes::from(vec![b'x'; MAX_PAYLOAD]);
    assert!(!connection.publish(Subject::All, vec![b'x'; MAX_PAYLOAD + 1].into()));
    assert!(connection.publish(Subject::All, largest));
    assert!(!connection.publish(Subject::All, Bytes::new()));
    let length = format!("{start}$8\r\nchat.all\r\n$1048576\r\n\r\n").len() + MAX_PAYLOAD;
    assert_eq!(sent(&mut connection).len(), length);
    assert!(connection.publish(Subject::All, Bytes::new()));
}

#[test]
fn replies_are_counted() {
    let mut connection = up();
    for _ in 0..3 {
        assert!(connection.publish(Subject::All, Bytes::new()));
    }
    connection.receive(b":0\r\n:1\r\n:2\r\n", Duration::ZERO);
    assert_eq!(connection.next_event(), None);
    let due = "it sends a reply for which there was no command";
    assert_eq!(end(&mut connection, ":1\r\n"), due);
    assert_eq!(end(&mut up(), "+PONG\r\n"), due);
    assert_eq!(end(&mut up(), "*0\r\n"), due);
}

#[test]
fn frames_before_subscription_is_confirmed_are_dropped() {
    let message = ">3\r\n$7\r\nmessage\r\n$8\r\nchat.all\r\n$1\r\nx\r\n";
    let at = SUBSCRIBED.find(":1\r\n").unwrap() + 4;
    let wire = [HELLO, &SUBSCRIBED[..at], message, &SUBSCRIBED[at..], message].concat();
    let events = run(&mut new_connection("redis://broker"), [wire.as_bytes()]).0;
    assert_eq!(events, [UP, frame("x")]);
}

#[test]
fn unknown_pushes_are_ignored() {
    let mut connection = up();
    let wire = ">2\r\n$10\r\ninvalidate\r\n_\r\n>3\r\n+a\r\n+b\r\n+c\r\n>1\r\n%1\r\n#t\r\n,1.5\r\n>0\r\n\
                >4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nx\r\n=5\r\ntxt:y\r\n~1\r\n";
    connection.receive(wire.as_bytes(), Duration::ZERO);
    assert_eq!(connection.next_event(), None);
}

#[test]
fn silent_server_is_pinged_then_disconnected() {
    let at = Duration::from_millis;
    let ping = "*1\r\n$4\r\nPING\r\n";
    let mut connection = up();
    connection.receive(b"", at(500));
    assert_eq!(connection.deadline(), at(2500));
    connection.tick(at(2499));
    assert!(!connection.has_output());
    connection.tick(at(2500));
    assert_eq!(sent(&mut connection), ping);
    connection.receive(b"+PONG\r\n", at(4000));
    assert_eq!(connection.next_event(), None);
    assert_eq!(connection.deadline(), at(6000));
    connection.tick(at(6000));
    assert_eq!(sent(&mut connection), ping);
    connection.tick(at(8000));
    connection.tick(at(9000));
    assert_eq!(connection.next_event(), Some(Down("it has sent nothing for 4 s".into())));
    assert_eq!(connection.next_event(), None);
}

#[test]
fn unresponsive_server_times_out() {
    for bytes in ["", "%7\r\n", HELLO] {
        let mut connection = new_connection("redis://broker");
        run(&mut connection, [bytes.as_bytes()]);
        connection.tick(Duration::from_millis(1999));
        assert_eq!(connection.next_event(), None);
        connection.tick(Duration::from_secs(2));
        let due = Down("it does not answer within 2 s: is this Redis?".into());
        assert_eq!(connection.next_event(), Some(due), "{bytes}");
    }
}

#[test]
fn tls_handshake_precedes_output() {
    let address: BrokerAddress = "redis://u:x@broker".parse().unwrap();
    // Set the flag directly instead of using `rediss://`, which needs the `tls` feature.
    let broker = Broker { requires_tls: true, ..address.brokers()[0].clone() };
    let subjects = Subjects::new("chat", NodeId(1)).unwrap();
    let mut connection = Connection::with(&broker, &subjects, Duration::ZERO);
    assert_eq!((connection.next_event(), connection.next_event()), (Some(Secure), None));
    assert!(!connection.has_output());
    connection.secured(Duration::from_secs(1));
    assert_eq!(connection.deadline(), Duration::from_secs(3));
    assert!(sent(&mut connection).contains("AUTH"));
    let greeting = [HELLO, SUBSCRIBED].concat();
    assert_eq!(run(&mut connection, [greeting.as_bytes()]).0, [UP]);
}

#[test]
fn lengths_are_checked_before_buffering() {
    let push = ">3\r\n$7\r\nmessage\r\n$8\r\nchat.all\r\n";
    for length in ["1114112", "1048576000", "18446744073709551615"] {
        let due = format!("it sends {length} bytes at once, more than any frame has");
        assert_eq!(end(&mut up(), &format!("{push}${length}\r\n")), due);
    }
    for count in ["4096", "1000000000", "18446744073709551615"] {
        let due = format!("it sends a list of {count} values, more than any answer has");
        for kind in ["*", "%", ">", "~"] {
            assert_eq!(end(&mut up(), &format!("{kind}{count}\r\n")), due);
        }
    }
    let mut largest = up();
    let payload = "x".repeat(MAX_PAYLOAD);
    largest.receive(format!("{push}${MAX_PAYLOAD}\r\n{payload}\r\n").as_bytes(), Duration::ZERO);
    assert_eq!(largest.next_event(), Some(Frame(payload.into())));
}

#[test]
fn value_size_and_depth_are_bounded() {
    // Nested lists are decoded without recursion.
    let found = end(&mut up(), &"*1\r\n".repeat(100_000));
    assert_eq!(found, "it sends a list of 1 values, more than any answer has");
    let part = format!("$400000\r\n{}\r\n", "x".repeat(400_000));
    let found = end(&mut up(), &format!("*4000\r\n{part}{part}{part}"));
    assert!(found.ends_with("bytes at once, more than any frame has"), "{found}");
    let found =
        end(&mut up(), &format!("*4000\r\n{}", format!("+{}\r\n", "x".repeat(16_000)).repeat(70)));
    assert!(found.ends_with("bytes at once, more than any frame has"), "{found}");
    for line in ["x".repeat(20_000), format!("-{}", "x".repeat(20_000))] {
        let found = end(&mut new_connection("redis://broker"), &line);
        assert_eq!(found, "it sends a line of more than 16384 bytes, which no Redis server does");
    }
}

#[test]
fn invalid_bytes_end_connection() {
    let unknown = "this is not a Redis server: it sends ";
    let old = "it does not support RESP3, which requires Redis 6 or later";
    for (bytes, reason) in [
        ("HTTP/1.1 400 Bad Request\r\n", unknown),
        ("INFO {}\r\n", unknown),
        ("\r\n", unknown),
        ("+OK\n", unknown),
        ("+OK\r\n", "this is not a Redis server: its first reply is not a greeting"),
        (">0\r\n", "this is not a Redis server: its first reply is not a greeting"),
        ("\u{15}\u{3}", "it expects TLS: write rediss:// instead of redis://"),
        ("-ERR unknown command 'HELLO', with args beginning with: '3'\r\n", old),
        ("-NOPROTO sorry this protocol version is not supported.\r\n", old),
        ("-ERR max number of clients reached\r\n", "it reports: ERR max number of clients reached"),
        ("-DENIED Redis is running in protected mode\r\n", "it reports: DENIED Redis is running"),
        ("!21\r\nSYNTAX invalid syntax\r\n", "it reports: SYNTAX invalid syntax"),
    ] {
        let found = end(&mut new_connection("redis://broker"), bytes);
        assert!(found.starts_with(reason), "{bytes:?}: {found}");
    }
    let channel = "it sends messages for an unknown channel";
    for (bytes, reason) in [
        ("$\r\n", unknown),
        ("$-1\r\n", unknown),
        ("*x\r\n", unknown),
        ("$99999999999999999999\r\n", unknown),
        ("|1\r\n", unknown),
        ("$1\r\nxyz", "it sends a string that does not end where its length says"),
        (">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$0\r\n\r\n", channel),
        (">3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n", channel),
        ("-\r\n", "it reports: "),
        ("-LOADING Redis is loading\r\n", "it reports: LOADING Redis is loading"),
    ] {
        let found = end(&mut up(), bytes);
        assert!(found.starts_with(reason), "{bytes:?}: {found}");
    }
}

#[test]
fn server_error_text_is_truncated() {
    let found =
        end(&mut new_connection("redis://broker"), &format!("-{}\u{1b}\r\n", "é".repeat(5000)));
    assert!(found.len() < 700, "{found}");
    let found = end(&mut new_connection("redis://broker"), "!5\r\na\r\nb\u{1b}\r\n");
    assert_eq!(found, "it reports: a  b ");
}

#[test]
fn no_output_after_end() {
    let mut connection = up();
    let wire = "-NO\r\n>3\r\n$7\r\nmessage\r\n$8\r\nchat.all\r\n$1\r\nx\r\n";
    let (events, sent) = run(&mut connection, [wire.as_bytes(), b"+PONG\r\n"]);
    assert_eq!((events.len(), &*sent), (1, ""));
    assert!(!connection.publish(Subject::All, Bytes::new()));
    connection.tick(Duration::from_secs(100));
    assert_eq!((connection.next_event(), connection.has_output()), (None, false));
}
