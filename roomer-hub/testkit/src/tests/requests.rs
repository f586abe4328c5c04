//! Tests of requests and their answers, through the whole server.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use roomer_proto::extended::{ERROR, REPLY};
use roomer_proto::{Packet, PacketRef};

use super::*;
use roomer_engine::{
    Builder, Conn, ErrorCode, HandlerError, ReplyError, RequestError, RequestFuture, Server,
};

const LIMIT: Duration = Duration::from_secs(10);

/// Returns the expected answer for an error with this code and message.
fn failed(code: &str, message: &str) -> Option<Result<bytes::Bytes, (String, String)>> {
    Some(Err((code.into(), message.into())))
}

fn replied(text: &'static str) -> Option<Result<bytes::Bytes, (String, String)>> {
    Some(Ok(bytes::Bytes::from_static(text.as_bytes())))
}

/// The results of requests that the server has sent.
type Outcomes = Arc<Mutex<Vec<Result<String, RequestError>>>>;

/// Adds an `ask` request handler, which sends a `where` request to the caller and waits up to 10 s.
fn asking(builder: Builder) -> (Builder, Outcomes) {
    let outcomes = Outcomes::default();
    let log = outcomes.clone();
    let builder = builder.on_request_async("ask", async move |conn: Conn, message| {
        let answer = conn.request("where", &message.payload, LIMIT).await;
        let answer = answer.map(|message| message.text().unwrap_or_default().to_owned());
        log.lock().unwrap().push(answer.clone());
        Ok(answer?)
    });
    (builder, outcomes)
}

#[test]
fn only_reply_errors_are_sent_to_requester() {
    let builder = Server::builder()
        .on_request("double", |_, message| Ok((2 * message.text()?.parse::<i32>()?).to_string()))
        .on_request("secret", |_, message| match message.text()? {
            "" => Err("the password of the database is 1234".into()),
            name => Err::<(), _>(ReplyError::refused(format!("{name} may not")).into()),
        })
        .on_request("nothing", |_, _| ());
    let mut world = World::new(1, builder);
    let ann = world.connect_extended(Handshake::new());
    let ask = |event: &str, payload: &str| ann.request("root", event, payload);
    let tags = [ask("double", "21"), ask("double", "x"), ask("secret", ""), ask("secret", "ann")];
    let more = [ask("nothing", ""), ask("unknown", "")];
    let binary = ann.request("root", "double", [0xff]);
    world.settle();
    let answers = tags.each_ref().map(|tag| ann.answer_of(tag));
    assert_eq!(answers[0], replied("42"));
    assert_eq!(answers[1], failed("failed", "the handler has failed"));
    assert_eq!(answers[2], answers[1], "the text is not for clients");
    assert_eq!(answers[3], failed("refused", "ann may not"));
    assert_eq!(ann.answer_of(&more[0]), replied(""));
    let unknown = failed("unknown", "no handler for requests with this event");
    assert_eq!(ann.answer_of(&more[1]), unknown);
    assert_eq!(ann.answer_of(&binary), failed("invalid", "the handler has failed"));
    assert_eq!(world.server().stats().handler_errors, 3, "a ReplyError is an answer");
}

/// An application's error type, in which only one variant is intended for clients.
#[derive(Debug)]
enum AppError {
    NoSuchUser(String),
    Database,
}

impl From<AppError> for HandlerError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::NoSuchUser(user) => ReplyError::failed(format!("no user {user}")).into(),
            AppError::Database => "the password of the database is 1234".into(),
        }
    }
}

#[test]
fn async_and_sync_handlers_fail_alike() {
    async fn load(user: &str) -> Result<String, AppError> {
        match user {
            "ann" => Ok("Ann".into()),
            "" => Err(AppError::Database),
            user => Err(AppError::NoSuchUser(user.into())),
        }
    }
    let any =
        Server::builder().on_request_async("load", async |_, message| match message.text()? {
            "eve" => Err(ReplyError::new(ErrorCode::Refused, "eve may not").into()),
            user => Ok(load(user).await?),
        });
    let typed = Server::builder()
        .error_type::<AppError>()
        .on_request_async("load", async |_, message| load(message.text().unwrap_or("")).await);
    let secret = failed("failed", "the handler has failed");
    let unknown = failed("failed", "no user bob");
    for (builder, eve) in [
        (any, failed("refused", "eve may not")),
        (typed.error_type(), failed("failed", "no user eve")),
    ] {
        let mut world = World::new(1, builder);
        let ann = world.connect_extended(Handshake::new());
        let tags = ["ann", "", "bob", "eve"].map(|user| ann.request("root", "load", user));
        world.settle();
        let answers = tags.each_ref().map(|tag| ann.answer_of(tag));
        assert_eq!(answers, [replied("Ann"), secret.clone(), unknown.clone(), eve]);
        assert_eq!(world.server().stats().handler_errors, 1, "a ReplyError is an answer");
    }
}

#[test]
fn request_handlers_run_concurrently() {
    let gate: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = gate.clone();
    let builder = Server::builder().on_request_async("wait", async move |conn: Conn, message| {
        log.lock().unwrap().push(message.text()?.to_owned());
        // The client's answer ends the wait. It follows any requests that the client sends
        // meanwhile.
        conn.request("go", &message.payload, LIMIT).await?;
        Ok(message.payload)
    });
    let mut world = World::new(1, builder);
    let ann = world.connect_extended(Handshake::new());
    let asked: Rc<RefCell<Vec<Packet>>> = Rc::default();
    let sink = asked.clone();
    ann.on("go", move |_, packet| sink.borrow_mut().push(packet.clone()));
    let tags: Vec<String> =
        ["a", "b", "c"].iter().map(|text| ann.request("root", "wait", text)).collect();
    ann.send("root", "chat", "not delayed");
    world.settle();
    assert_eq!(*gate.lock().unwrap(), ["a", "b", "c"], "they start in order");
    assert_eq!(world.server().stats().messages_in, 4);
    let packets = asked.borrow().clone();
    for packet in packets.iter().rev() {
        ann.answer(packet, "");
        world.settle();
    }
    let answers: Vec<_> = tags.iter().map(|tag| ann.answer_of(tag)).collect();
    assert_eq!(answers, ["a", "b", "c"].map(replied));
    let order: Vec<_> = ann.messages("root").into_iter().filter(|it| &*it.event == REPLY).collect();
    let order: Vec<_> = order.iter().map(|it| it.text().unwrap().to_owned()).collect();
    assert_eq!(order, ["c", "b", "a"], "in the order of completion");
}

#[test]
fn requests_above_limit_fail_as_busy() {
    let builder = Server::builder()
        .max_requests(2)
        .on_request_async("never", async |_, _| pending::<()>().await);
    let mut world = World::new(1, builder);
    world.allow_waiting();
    let ann = world.connect_extended(Handshake::new());
    let tags: Vec<String> = (0..5).map(|_| ann.request("root", "never", "")).collect();
    world.settle();
    let busy = failed("busy", "too many requests without answers");
    let answers: Vec<_> = tags.iter().map(|tag| ann.answer_of(tag)).collect();
    assert_eq!(answers, [None, None, busy.clone(), busy.clone(), busy]);
    ann.close(1000, "");
    world.settle();
    assert!(world.waiting().is_empty(), "they are dropped with the session");
}

#[test]
fn rejections_are_reported_before_acknowledgement() {
    let mut world = World::new(1, Server::builder());
    let ann = world.connect_extended(Handshake::new());
    world.settle();
    let flood = |count| (0..count).for_each(|_| ann.send("hall", "chat", "hi"));
    let more = |error: &String| error.split_once("more\":")?.1.trim_end_matches('}').parse().ok();
    let sum = || ann.errors().iter().map(|error| 1 + more(error).unwrap_or(0)).sum::<u64>();
    // The server acknowledges these packets after 5 s.
    flood(40);
    world.settle();
    assert_eq!((ann.errors().len(), sum()), (16, 16));
    world.advance(Duration::from_secs(5));
    assert_eq!((ann.errors().len(), sum()), (17, 40));
    flood(64);
    world.settle();
    assert_eq!((ann.errors().len(), sum()), (17 + 17, 40 + 64));
    // The `hello` acknowledges these packets.
    flood(30);
    world.settle();
    ann.reset();
    let back = world.reconnect(&ann);
    world.settle();
    let [error] = &back.errors()[..] else { panic!("one error") };
    assert!(back.is_resumed() && error.ends_with(",\"more\":29}"), "{error}");
}

#[test]
fn forged_answers_between_clients_are_dropped() {
    let mut world = World::new(1, Server::builder());
    let [ann, bob, eve] = [(); 3].map(|()| world.connect_extended(Handshake::new()));
    let plain = world.connect();
    world.settle();
    let (as_ann, eves) = (ann.id(), eve.clone());
    bob.on("where", move |bob, packet| {
        // Eve also acts when Bob receives the request: she answers first, with a guessed tag.
        let dst = format!("{as_ann}:1");
        let forged = PacketRef { room: "root", event: REPLY, dst: &dst, src: "", payload: b"hell" };
        eves.send_packet(&forged);
        bob.answer(packet, "home");
        bob.answer(packet, "work");
    });
    let tag = ann.request_to(&bob.id(), "where", "?");
    let unanswered = ann.request_to(&plain.id(), "where", "?");
    world.settle();
    assert_eq!(ann.answer_of(&tag), replied("home"));
    let arrived = ann.messages("root").into_iter().filter(|it| &*it.event == REPLY);
    assert_eq!(arrived.map(|it| it.src.to_string()).collect::<Vec<_>>(), [bob.id()]);
    assert_eq!(ann.answer_of(&unanswered), failed("plain", "the receiver cannot answer requests"));
    assert!(plain.messages("root").is_empty());
    assert_eq!(world.server().stats().rejected_packets.unasked, 2);
    assert_eq!((eve.errors().len(), bob.errors().len()), (1, 1));

    let tag = ann.request_to(&eve.id(), "where", "?");
    world.settle();
    assert_eq!(ann.answer_of(&tag), None);
    eve.close(1000, "");
    world.settle();
    assert_eq!(ann.answer_of(&tag), failed("gone", "the receiver does not exist"));
    let tag = ann.request_to(&eve.id(), "where", "?");
    world.settle();
    assert_eq!(ann.answer_of(&tag), failed("gone", "the receiver does not exist"));
}

#[test]
fn server_request_failures_have_distinct_errors() {
    let (builder, outcomes) = asking(Server::builder().max_requests(1));
    let mut world = World::new(
        1,
        builder.on("tell", |conn, _| {
            // The request is sent even though its future is never polled. The answer is dropped.
            drop(conn.request("where", "", LIMIT));
        }),
    );
    let ann = world.connect_extended(Handshake::new());
    ann.on("where", |ann, packet| match &packet.payload[..] {
        b"fail" => ann.fail(packet, "lost", "no map"),
        b"late" => {}
        _ => ann.answer(packet, "here"),
    });
    let take = || std::mem::take(&mut *outcomes.lock().unwrap());
    ann.request("root", "ask", "?");
    world.settle();
    assert_eq!(take(), [Ok("here".to_owned())]);
    ann.request("root", "ask", "fail");
    world.settle();
    let (code, message) = ("lost".to_owned(), "no map".to_owned());
    assert_eq!(take(), [Err(RequestError::Failed { code, message })]);
    let tag = ann.request("root", "ask", "late");
    world.advance(LIMIT - Duration::from_millis(1));
    assert_eq!(ann.answer_of(&tag), None);
    world.advance(Duration::from_millis(1));
    assert_eq!(take(), [Err(RequestError::TimedOut)]);
    // A late answer is dropped and does not count as a violation.
    let asked = ann.messages("root").into_iter().rfind(|it| &*it.event == "where").unwrap();
    ann.answer(&asked, "here");
    ann.send("root", "tell", "");
    world.settle();
    let rejected = world.server().stats().rejected_packets;
    assert_eq!((rejected.late, rejected.unasked), (2, 0));
    // Requests fail if the client is plain, is closed, or has too many pending requests.
    let plain = world.connect();
    world.settle();
    let conn = |client: &Client| world.server().conn(client.id()).unwrap();
    let (to_plain, to_ann) = (conn(&plain), conn(&ann));
    let held = to_ann.request("wait", "", LIMIT);
    let poll = |future: RequestFuture| pin!(future).poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(poll(to_plain.request("where", "", LIMIT)), Poll::Ready(Err(RequestError::Plain)));
    assert_eq!(poll(to_ann.request("where", "", LIMIT)), Poll::Ready(Err(RequestError::Busy)));
    ann.close(1000, "");
    world.settle();
    assert_eq!(poll(held), Poll::Ready(Err(RequestError::Gone)));
    assert_eq!(poll(to_ann.request("where", "", LIMIT)), Poll::Ready(Err(RequestError::Gone)));
    assert!(world.waiting().is_empty());
}

#[test]
fn requests_in_both_directions_survive_lost_socket() {
    let (builder, outcomes) = asking(Server::builder());
    let mut world = World::new(1, builder);
    let ann = world.connect_extended(Handshake::new());
    let bob = world.connect_extended(Handshake::new());
    world.settle();
    let tag = ann.request("root", "ask", "?");
    let of_bob = bob.request_to(&ann.id(), "name", "?");
    world.settle();
    ann.reset();
    let later = bob.request_to(&ann.id(), "name", "again");
    world.settle();
    let again = world.reconnect(&ann);
    again.on("name", |ann, packet| ann.answer(packet, "ann"));
    world.settle();
    assert!(again.is_resumed());
    assert_eq!(bob.answer_of(&later), replied("ann"));
    for packet in ann.messages("root") {
        again.answer(&packet, "back");
    }
    world.settle();
    assert_eq!(*outcomes.lock().unwrap(), [Ok("back".to_owned())]);
    assert_eq!((again.answer_of(&tag), bob.answer_of(&of_bob)), (replied("back"), replied("back")));
    // If the client never resumes the session, requests to it end with the session.
    let tag = bob.request_to(&ann.id(), "silent", "?");
    again.reset();
    world.advance(Duration::from_secs(29));
    assert_eq!(bob.answer_of(&tag), None);
    world.advance(Duration::from_secs(2));
    assert_eq!(bob.answer_of(&tag), failed("gone", "the receiver does not exist"));
}

#[test]
fn only_extended_clients_get_errors_for_rejected_packets() {
    let mut world = World::new(1, Server::builder().may_join(|_, room| room != "staff"));
    let (ann, bob) = (world.connect_extended(Handshake::new()), world.connect());
    for client in [&ann, &bob] {
        client.join("staff");
        client.send("hall", "chat", "");
        client.send("root", "member_left", "");
    }
    world.settle();
    assert_eq!(
        ann.errors(),
        [
            r#"{"code":"refused","message":"an application rule forbids it","room":"staff","event":"join"}"#,
            r#"{"code":"refused","message":"not a member of the room","room":"hall","event":"chat"}"#,
            r#"{"code":"refused","message":"the event belongs to the protocol","room":"root","event":"member_left"}"#,
        ]
    );
    assert!(bob.messages("root").is_empty());
    let packet = ann.messages("root").remove(0);
    assert_eq!((&*packet.event, &*packet.src), (ERROR, ""));
}

#[test]
fn flood_of_invalid_requests_closes_client() {
    let mut world = World::new(1, Server::builder());
    let eve = world.connect_extended(Handshake::new());
    let tags: Vec<String> = (0..300).map(|_| eve.request("root", "unknown", "")).collect();
    world.settle();
    let answered = tags.iter().filter(|tag| eve.answer_of(tag).is_some()).count();
    assert_eq!(answered, 257, "the burst, and the one that closes");
    assert_eq!(eve.closed().and_then(|closed| closed.code), Some(1008));
}

#[test]
fn overloaded_server_sends_reconnect_hint() {
    let builder = Server::builder().message_timeout(Duration::from_secs(5));
    let mut world = World::new(1, builder);
    let (ann, bob) = (world.connect_extended(Handshake::new()), world.connect());
    world.settle();
    for client in [&ann, &bob] {
        // Send the header of a message whose payload never arrives completely.
        client.send_bytes(&[0x82, 0xfe, 0x10, 0, 1, 2, 3, 4, 5]);
    }
    world.advance(Duration::from_secs(4));
    // Deliver a byte occasionally: otherwise, the connections count as lost, and Ann's session is
    // kept.
    [&ann, &bob].iter().for_each(|client| client.send_bytes(&[6]));
    world.advance(Duration::from_secs(2));
    let closed = |client: &Client| client.closed().map(|it| (it.code, it.reason));
    let (code, reason) = closed(&ann).unwrap();
    assert_eq!(code, Some(1013));
    let wait: u64 = reason.strip_prefix("retry=").unwrap().parse().unwrap();
    assert!(wait <= 10_000, "{wait}");
    assert_eq!(closed(&bob), Some((Some(1013), "unfinished message".into())));
}

#[test]
fn handler_awaiting_client_ends_with_client() {
    let (builder, outcomes) = asking(Server::builder());
    let mut world = World::new(1, builder.resume_window(Duration::ZERO));
    let [ann, bob, eve] = [(); 3].map(|()| world.connect_extended(Handshake::new()));
    for client in [&ann, &bob, &eve] {
        client.request("root", "ask", "?");
    }
    world.settle();
    assert_eq!(world.waiting().len(), 3);
    ann.close(1000, "");
    bob.reset();
    world.settle();
    assert_eq!(world.waiting().len(), 1);
    world.server().shutdown();
    world.settle();
    assert!(world.waiting().is_empty());
    assert!(outcomes.lock().unwrap().is_empty(), "dropped, not completed");
}
