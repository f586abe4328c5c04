//! Tests the events and spans that a `tracing` subscriber receives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, Once};
use std::thread;

use roomer_engine::http::Request;
use roomer_engine::{Rejection, Server};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

use super::Harness;
use super::test_server::{TestServer, block_on};
use roomer_conformance::wire;

use super::{memory, slow};
use crate::Adapter;
use roomer_conformance::client::{Client, TIMEOUT};
use roomer_conformance::http::{HttpRequest, dial, dial_from};

/// An event that was received: its level, message and fields.
#[derive(Clone, Debug, Default)]
struct TraceEvent {
    level: String,
    message: String,
    fields: BTreeMap<&'static str, String>,
}

impl TraceEvent {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value)
    }
}

impl Visit for TraceEvent {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = value,
            name => drop(self.fields.insert(name, value)),
        }
    }
}

/// The channels of all running tests. They share the subscriber, since a process can have only
/// one.
static SENDERS: Mutex<Vec<Sender<TraceEvent>>> = Mutex::new(Vec::new());

/// All spans that have been created so far. The thread-local below contains those that the current
/// thread has entered.
static SPANS: Mutex<Vec<TraceEvent>> = Mutex::new(Vec::new());

thread_local! {
    static ENTERED: RefCell<Vec<TraceEvent>> = const { RefCell::new(Vec::new()) };
}

struct Everything;

impl Subscriber for Everything {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "roomer"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut event = TraceEvent::default();
        span.record(&mut event);
        let mut spans = SPANS.lock().unwrap();
        spans.push(event);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut senders = SENDERS.lock().unwrap();
        if !senders.is_empty() {
            let level = event.metadata().level().to_string();
            let mut recorded = TraceEvent { level, ..TraceEvent::default() };
            event.record(&mut recorded);
            senders.retain(|sender| sender.send(recorded.clone()).is_ok());
        }
    }

    fn enter(&self, id: &Id) {
        let span = SPANS.lock().unwrap()[id.into_u64() as usize - 1].clone();
        ENTERED.with_borrow_mut(|entered| entered.push(span));
    }

    fn exit(&self, _: &Id) {
        ENTERED.with_borrow_mut(Vec::pop);
    }
}

/// Receives all events that occur after its creation.
struct EventReceiver(Receiver<TraceEvent>);

impl EventReceiver {
    fn open() -> EventReceiver {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| tracing::subscriber::set_global_default(Everything).unwrap());
        let (sender, receiver) = channel();
        SENDERS.lock().unwrap().push(sender);
        EventReceiver(receiver)
    }

    /// Waits for the next event that has this message and this value of a field.
    #[track_caller]
    fn wait(&self, field: &str, value: &str) -> TraceEvent {
        loop {
            let event = self.0.recv_timeout(TIMEOUT).expect("the event is reported in time");
            if event.field(field) == value {
                return event;
            }
        }
    }
}

fn peer(client: &Client) -> String {
    client.stream.local_addr().unwrap().to_string()
}

#[track_caller]
fn assert_event<const N: usize>(event: &TraceEvent, level: &str, message: &str, fields: [&str; N]) {
    assert_eq!((&*event.level, &*event.message), (level, message), "{event:?}");
    for (name, value) in fields.map(|field| field.split_once('=').expect("name=value")) {
        assert_eq!(event.field(name), value, "{name} of {event:?}");
    }
}

#[test]
fn connects_and_disconnects_are_traced() {
    let test = TestServer::start();
    let events = EventReceiver::open();
    let leaver = test.client();
    let (id, from) = (leaver.id.clone(), peer(&leaver));
    let opened = events.wait("conn", &id);
    assert_event(&opened, "DEBUG", "connection opened", [&format!("peer={from}")]);
    leaver.close();
    let closed = events.wait("conn", &id);
    assert_event(&closed, "DEBUG", "connection closed", ["by=client", "code=1000", "reason="]);

    let lost = test.client();
    let id = lost.id.clone();
    lost.reset();
    events.wait("conn", &id);
    let closed = events.wait("conn", &id);
    assert_event(&closed, "DEBUG", "connection closed", ["by=network", "code=", "reason="]);

    let mut bad = test.client();
    bad.send(&wire::message(b"no packet"));
    let reason = bad.expect_close(1002);
    events.wait("conn", &bad.id);
    let closed = events.wait("conn", &bad.id);
    let reason = format!("reason={reason}");
    assert_event(&closed, "DEBUG", "connection closed", ["by=server", "code=1002", &reason]);
}

#[test]
fn application_code_runs_in_connection_span() {
    let spans = || ENTERED.with_borrow(Clone::clone);
    let (sender, seen) = channel();
    let later = sender.clone();
    let test = TestServer::with(move |builder| {
        builder
            .trust_proxy("127.0.0.1")
            .on("at once", move |_, _| Ok(sender.send(spans())?))
            .on_async("later", move |_, _| {
                let later = later.clone();
                async move { Ok(later.send(spans())?) }
            })
    });
    let _events = EventReceiver::open();
    let ask = HttpRequest::upgrade(test.addr).add("X-Forwarded-For", "192.0.2.7");
    let mut client = Client::upgrade(dial(test.addr), &ask);
    for event in ["at once", "later"] {
        client.send_to_room("root", event, b"");
        let spans = seen.recv_timeout(TIMEOUT).unwrap();
        let [span] = &spans[..] else { panic!("one span: {spans:?}") };
        assert_eq!((span.field("conn"), span.field("peer")), (&*client.id, "192.0.2.7:0"));
    }
    client.close();
}

#[test]
fn rejected_handshake_is_traced() {
    let test = TestServer::with(|builder| {
        builder.page("/", "text/plain", "page").authorize(|request| match request.query("token") {
            Some(_) => Err(Rejection::forbidden("no")),
            None => Ok(Default::default()),
        })
    });
    let events = EventReceiver::open();
    for (request, status) in [
        ("GET /ws?token=x HTTP/1.1\r\nHost: chat.example\r\n\r\n", "403"),
        ("GET /ws HTTP/1.1\r\nHost: chat.example\r\n\r\n", "400"),
        ("nonsense\r\n\r\n", "400"),
        ("GET /nowhere HTTP/1.1\r\nHost: chat.example\r\n\r\n", "404"),
    ] {
        // Use a local address that no other test uses. Events about other tests' servers also
        // arrive here, and their clients may have the same port.
        let mut stream = dial_from(Ipv4Addr::new(127, 0, 77, 1), test.addr);
        stream.write_all(request.as_bytes()).unwrap();
        let from = stream.local_addr().unwrap().to_string();
        let rejected = events.wait("peer", &from);
        assert_event(&rejected, "DEBUG", "handshake rejected", [&format!("status={status}")]);
    }
    // A request for a page is not a rejection, so the next event about this socket concerns its
    // connection.
    assert_eq!(HttpRequest::plain(test.addr).target("/").rejected(test.addr).status, 200);
    let client = test.client();
    while let Ok(event) = events.0.recv_timeout(TIMEOUT) {
        if event.field("conn") == client.id {
            return;
        }
        assert_ne!(event.field("status"), "200");
    }
    panic!("no event about the connection was reported");
}

#[test]
fn operator_warnings_are_traced_at_warn() {
    let test = TestServer::start();
    let events = EventReceiver::open();
    let ask = HttpRequest::upgrade(test.addr).add("Origin", "http://localhost:5173");
    assert_eq!(ask.rejected(test.addr).status, 403);
    let warned = loop {
        let event = events.wait("kind", "origin");
        if event.message.contains(&test.addr.to_string()) {
            break event;
        }
    };
    assert_eq!((&*warned.level, warned.field("suppressed")), ("WARN", "0"));
    assert!(warned.message.contains("allow_origin(\"http://localhost:5173\")"), "{warned:?}");
}

#[test]
fn rejected_framework_request_is_traced() {
    let server = Server::builder().build().unwrap();
    let events = EventReceiver::open();
    let peer = SocketAddr::from(([192, 0, 2, 1], 4321));
    for status in ["400", "503"] {
        assert!(server.upgrade(Request::get("/").body(()).unwrap(), Some(peer)).is_err());
        let rejected = events.wait("peer", "192.0.2.1:4321");
        assert_event(&rejected, "DEBUG", "handshake rejected", [&format!("status={status}")]);
        server.shutdown();
    }
}

#[test]
fn application_failures_are_traced() {
    let test = TestServer::with(|builder| {
        builder
            .on("fail", |_, _| Err("a test's own".into()))
            .on_async("fail later", |_, _| async { Err("a test's own, later".into()) })
            .on("panic", |_, _| panic!("oh"))
            .on_join(|_, room| assert_ne!(room, "cursed"))
    });
    let events = EventReceiver::open();
    let mut a = test.client();
    events.wait("conn", &a.id);
    for (event, error) in [("fail", "a test's own"), ("fail later", "a test's own, later")] {
        a.send_to_room("root", event, b"");
        let failed = events.wait("conn", &a.id);
        let fields = [&*format!("event={event}"), &*format!("error={error}")];
        assert_event(&failed, "WARN", "handler failed", fields);
    }
    a.send_to_room("root", "panic", b"");
    let failed = events.wait("conn", &a.id);
    let error = "error=the handler panicked: oh";
    assert_event(&failed, "WARN", "handler failed", ["event=panic", error]);
    a.expect_close(1011);

    let mut b = test.client();
    events.wait("conn", &b.id);
    b.send_to_room("cursed", "join", b"");
    let failed = events.wait("conn", &b.id);
    assert_event(&failed, "WARN", "hook failed", []);
    assert!(failed.field("error").contains("cursed"), "{failed:?}");
}

#[test]
fn slow_client_is_traced_with_queue_size() {
    let test = TestServer::with(|builder| builder.max_backlog(64 * 1024));
    let events = EventReceiver::open();
    let stuck = slow::narrow(&test);
    let mut sender = test.roomless_client();
    for _ in 0..200 {
        sender.send_to_client(&stuck.id, "root", "flood", &[0; 64 * 1024]);
    }
    let lagged = loop {
        let event = events.wait("conn", &stuck.id);
        if event.message != "connection opened" {
            break event;
        }
    };
    assert_event(&lagged, "INFO", "connection too slow", [&format!("peer={}", peer(&stuck))]);
    let queued: usize = lagged.field("queued_bytes").parse().unwrap();
    assert!(queued > 64 * 1024, "{queued}");
    let closed = events.wait("conn", &stuck.id);
    assert_event(&closed, "DEBUG", "connection closed", ["by=server", "code=1013"]);
    sender.expect_nothing();
}

#[test]
fn memory_budget_closes_are_traced() {
    let test = TestServer::with(memory::tight);
    let events = EventReceiver::open();
    let hoarders: [Client; 12] = std::array::from_fn(|_| {
        let mut client = test.roomless_client();
        client.send(&memory::half(100_000));
        client
    });
    // Other tests may exceed their memory budgets as well, and the order of events is not defined.
    let is_own = |event: &TraceEvent| hoarders.iter().any(|one| one.id == event.field("conn"));
    let (mut shed, mut closed) = (None, None);
    while shed.is_none() || closed.is_none() {
        let event = events.0.recv_timeout(TIMEOUT).expect("the event is reported in time");
        if event.message == "out of memory budget" {
            shed = Some(event);
        } else if event.field("reason") == "out of memory" && is_own(&event) {
            closed = Some(event);
        }
    }
    let (shed, closed) = (shed.unwrap(), closed.unwrap());
    let budget = format!("budget={}", memory::BUDGET);
    assert_event(&shed, "WARN", "out of memory budget", [&budget]);
    assert_ne!(shed.field("closed").parse(), Ok(0));
    assert_event(&closed, "DEBUG", "connection closed", ["by=server", "code=1013"]);
}

#[test]
fn shutdown_is_traced() {
    let mut test = TestServer::start();
    let events = EventReceiver::open();
    // Other tests may shut down their servers as well. The count identifies the server of this
    // test.
    let clients: [Client; 29] = std::array::from_fn(|_| test.roomless_client());
    test.server.shutdown();
    let begun = events.wait("connections", "29");
    assert_event(&begun, "INFO", "shutdown begun", []);
    drop(clients);
    test.stop();
}

#[test]
fn drain_is_traced() {
    let test = TestServer::start();
    let events = EventReceiver::open();
    // Other tests may drain their servers as well. The counts identify the server of this test.
    let clients: [Client; 23] = std::array::from_fn(|_| test.roomless_client());
    thread::scope(|scope| {
        scope.spawn(|| block_on(test.server.drain()));
        let begun = events.wait("connections", "23");
        assert_event(&begun, "INFO", "drain begun", []);
        drop(clients);
        let ended = events.wait("closed", "23");
        assert_event(&ended, "INFO", "drain ended", ["aborted=0"]);
    });
}

/// Tests an adapter. `start` must serve on a socket that is no longer listening.
pub(crate) fn failing_listener_is_traced_and_retried(start: impl FnOnce(Server) -> Adapter) {
    let server = Server::builder().build().unwrap();
    let events = EventReceiver::open();
    let adapter = start(server.clone());
    let failed = events.wait("error", "Invalid argument (os error 22)");
    assert_event(&failed, "WARN", "cannot accept", ["suppressed=0"]);
    // Later failures are counted, and reported at most every ten seconds.
    while server.stats().accept_errors < 3 {
        thread::yield_now();
    }
    assert!(!events.0.try_iter().any(|event| event.field("error").starts_with("Invalid argument")));
    adapter.stop();
}
