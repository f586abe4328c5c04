//! Tests the client on a runtime, over real sockets.

mod cuts;
pub(crate) mod panics;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cuts::Cuts;
use futures_util::StreamExt;
use roomer_conformance::http::refusing_port;
use roomer_engine::client::{
    Builder as ClientBuilder, Client, Closing, Event, Failure, Request, RequestError, Runtime,
    SendError, State,
};
use roomer_engine::{
    Builder, Claims, Conn, HandlerError, OwnedMessage, Rejection, ReplyError, Server,
};

/// A timeout for requests that is never reached in these tests.
const LIMIT: Duration = Duration::from_secs(60);

/// The number of cases. The timeout of a whole run is this many times that of a single test.
pub(crate) const CASES: u32 = 10;

/// Runs all cases on one runtime. `start` starts a server, and returns its address.
pub(crate) async fn run<R: Runtime>(start: impl Fn(Server) -> SocketAddr) {
    let serve = |build: fn(Builder) -> Builder| {
        let server = build(Server::builder()).build().unwrap();
        let address = start(server.clone());
        (server, format!("ws://{address}/ws"))
    };
    rooms_and_messages::<R>(&serve(|builder| builder).1).await;
    session_resumes_on_next_connection::<R>(&serve(|builder| builder).1).await;
    let (server, url) = serve(|builder| builder.extended(false));
    losses_are_reported_without_session::<R>(&server, &url).await;
    // The backlog exceeds the twelve megabytes of this case, so that a reader that does not run for
    // a second is not closed.
    let large = |builder: Builder| builder.message_rate(100_000, 100_000).max_backlog(64 << 20);
    large_backlog_arrives::<R>(&serve(large).1).await;
    handles_and_streams_end::<R>(&serve(|builder| builder).1).await;
    failures_are_events::<R>(&serve(|builder| builder.may_join(|_, room| room != "staff")).1).await;
    let asking = |builder: Builder| builder.on_request_async("ask me", ask);
    requests_are_answered_in_all_directions::<R>(&serve(asking).1).await;
    token_is_sent_as_subprotocol::<R>(&serve).await;
    new_token_is_sent_before_login_expires::<R>(serve).await;
    panics::panic_fails_attempt::<R>(&serve(|builder| builder).1).await;
    panics::panicking_stream_closes_client::<R>(&serve(|builder| builder).1).await;
}

async fn token_is_sent_as_subprotocol<R: Runtime>(
    serve: impl Fn(fn(Builder) -> Builder) -> (Server, String),
) {
    let (_server, url) = serve(|builder| {
        builder.authorize(|request| match request.token().as_deref() {
            Some("s3cret ÿ~?>") if request.query("token").is_none() => {
                Ok(Claims::new().user("ann"))
            }
            other => Err(Rejection::unauthorized(format!("{other:?}"))),
        })
    });
    let builder = || Client::<R>::builder(&url).unwrap().token_in_protocol();
    let ann = builder().fixed_token("s3cret ÿ~?>").connect().unwrap();
    let mut events = ann.events();
    while !matches!(events.next().await.expect("it lives"), Event::Opened { .. }) {}
    let rejected = builder().fixed_token("wrong").connect().unwrap();
    let mut events = rejected.events();
    loop {
        match events.next().await {
            Some(Event::Closed(Closing::Final(Failure::Rejected { status: 401 }))) => break,
            Some(event) => assert!(!matches!(event, Event::Opened { .. }), "a wrong token"),
            None => panic!("the client has ended without a reason"),
        }
    }
}

async fn rooms_and_messages<R: Runtime>(url: &str) {
    let ann = Client::<R>::connect(url).unwrap();
    let bob = Client::<R>::builder(url).unwrap().extended(false).connect().unwrap();
    let lobby = ann.join("lobby");
    lobby.joined().await.unwrap();
    let mut heard = lobby.messages();
    let mut events = ann.events();
    let bobs = bob.join("lobby");
    bobs.send("chat", "early").unwrap();
    let message = heard.next().await.unwrap();
    assert_eq!((&*message.event, message.text().unwrap()), ("chat", "early"));
    let id = bob.opened().await.unwrap();
    assert_eq!(message.from, id.as_str());
    // A stream that begins late begins with the state of the connection.
    let opened = Event::Opened { id, is_resumed: false };
    assert_eq!(bob.events().next().await, Some(opened));
    assert_eq!((lobby.count(), bobs.members()), (2, lobby.members()));
    assert!(ann.is_extended() && !bob.is_extended());

    let mut own = bobs.messages();
    lobby.send_to(id, "chat", [1, 2, 3]).unwrap();
    let message = own.next().await.unwrap();
    assert!(message.is_direct && &*message.payload == b"\x01\x02\x03");

    bobs.leave();
    assert!(own.next().await.is_none());
    // A subscription also ends if the room was left before.
    assert!(bobs.messages().next().await.is_none());
    assert_eq!(bobs.send("chat", "late"), Err(SendError::NotJoined));
    let left = Event::MemberLeft { room: "lobby".into(), id };
    while events.next().await.unwrap() != left {}
    assert_eq!(bob.close().await, Closing::Application);
    assert_eq!((bob.state(), bobs.send("chat", "")), (State::Closed, Err(SendError::Closed)));
}

async fn session_resumes_on_next_connection<R: Runtime>(url: &str) {
    let cuts = Cuts::default();
    let ann = cuts.client::<R>(url, true);
    let bob = Client::<R>::connect(url).unwrap();
    let (anns, bobs) = (ann.join("lobby"), bob.join("lobby"));
    anns.joined().await.unwrap();
    bobs.joined().await.unwrap();
    let (mut to_ann, mut to_bob) = (anns.messages(), bobs.messages());
    let id = ann.opened().await.unwrap();
    let mut events = ann.events();
    for number in 0..200 {
        let text = number.to_string();
        anns.send("chat", &text).unwrap();
        bobs.send("chat", &text).unwrap();
        if number % 50 == 25 {
            cuts.cut();
        }
        if number % 10 == 0 {
            // When the connection breaks, some messages are in flight.
            ann.opened().await.unwrap();
            ann.wake();
        }
    }
    for number in 0..200 {
        assert_eq!(to_bob.next().await.unwrap().text().unwrap(), number.to_string());
        assert_eq!(to_ann.next().await.unwrap().text().unwrap(), number.to_string());
    }
    assert!(cuts.dials() > 1);
    assert_eq!(ann.opened().await, Ok(id));
    bob.close().await;
    ann.close().await;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::Lost(_) | Event::Rejoined { .. }), "{event:?}");
    }
}

async fn losses_are_reported_without_session<R: Runtime>(server: &Server, url: &str) {
    let cuts = Cuts::default();
    let ann = cuts.client::<R>(url, true);
    let lobby = ann.join("lobby");
    lobby.joined().await.unwrap();
    let (before, mut events) = (ann.id().unwrap(), ann.events());
    assert!(!ann.is_extended());
    // The network still accepts the message, but delivers no more bytes.
    cuts.swallow();
    lobby.send("chat", "uncertain").unwrap();
    while cuts.swallowed() == 0 {
        R::sleep(Duration::from_millis(1)).await;
    }
    cuts.cut();
    let mut has_lost = false;
    loop {
        match events.next().await.unwrap() {
            Event::Lost(lost) => has_lost = lost.packet.text() == Ok("uncertain"),
            Event::Rejoined { room, previous_id } if room == "lobby" => {
                assert_eq!(previous_id, before);
                break;
            }
            _ => {}
        }
    }
    assert!(has_lost);
    assert!(server.members("lobby").contains(&ann.id().unwrap()));
}

async fn large_backlog_arrives<R: Runtime>(url: &str) {
    let ann = Client::<R>::builder(url).unwrap().queue(10_000, 64 << 20).connect().unwrap();
    let bob = Client::<R>::connect(url).unwrap();
    let bobs = bob.join("lobby");
    bobs.joined().await.unwrap();
    let mut heard = bobs.messages_with(10_000);
    let lobby = ann.join("lobby");
    for number in 0..300_u32 {
        let mut payload = vec![7; 40_000];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        lobby.send("big", payload).unwrap();
    }
    for number in 0..300_u32 {
        let message = heard.next().await.unwrap();
        assert_eq!(
            (&message.payload[..4], message.payload.len()),
            (&number.to_be_bytes()[..], 40_000)
        );
    }
    assert_eq!(heard.take_missed(), 0);
}

async fn handles_and_streams_end<R: Runtime>(url: &str) {
    let ann = Client::<R>::connect(url).unwrap();
    let bob = Client::<R>::connect(url).unwrap();
    let bobs = bob.join("lobby");
    bobs.joined().await.unwrap();
    let mut heard = bobs.messages();
    // Drop all handles except that of the room.
    let lobby = ann.join("lobby");
    let (mut events, mut messages) = (ann.events(), lobby.messages());
    lobby.joined().await.unwrap();
    drop(ann);
    lobby.send("chat", "last words").unwrap();
    drop(lobby);
    assert_eq!(heard.next().await.unwrap().text(), Ok("last words"));
    assert!(messages.next().await.is_none());
    let mut last = None;
    while let Some(event) = StreamExt::next(&mut events).await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Closed(Closing::Application)));
    // A slow reader misses the oldest of the messages.
    let mut few = bobs.messages_with(2);
    let carl = Client::<R>::connect(url).unwrap();
    let carls = carl.join("lobby");
    carls.joined().await.unwrap();
    for text in ["1", "2", "3", "4"] {
        carls.send("chat", text).unwrap();
    }
    carl.close().await;
    while heard.next().await.unwrap().text() != Ok("4") {}
    assert_eq!(few.next().await.unwrap().text(), Ok("3"));
    assert_eq!(few.take_missed(), 2);
}

async fn failures_are_events<R: Runtime>(url: &str) {
    let ann = Client::<R>::connect(url).unwrap();
    let staff = ann.join("staff");
    assert!(staff.joined().await.is_err());
    assert!(staff.messages().next().await.is_none());
    ann.opened().await.unwrap();
    let (_held, port) = refusing_port();
    let builder = Client::<R>::builder(&format!("ws://127.0.0.1:{port}/ws")).unwrap();
    let nowhere = builder.delays(Duration::ZERO, Duration::ZERO).retries(2).connect().unwrap();
    let Closing::GaveUp(Failure::Connect(_)) = nowhere.closed().await else { panic!() };
    // For any other path, the server's response is 404.
    let builder = Client::<R>::builder(&url.replace("/ws", "/other")).unwrap();
    let other = builder.retries(0).connect().unwrap();
    let why = other.closed().await;
    assert_eq!(why, Closing::GaveUp(Failure::Rejected { status: 404 }));
    let failing = Client::<R>::builder(url).unwrap().retries(0);
    let failing = failing.token(|| async { Err::<String, _>("none today") }).connect().unwrap();
    assert_eq!(failing.closed().await.to_string(), "gave up: cannot connect: no token: none today");
    assert!(Client::<R>::connect("example.org").is_err());
}

#[derive(Clone)]
struct Renewed;

async fn ask(conn: Conn, message: OwnedMessage) -> Result<String, HandlerError> {
    let answer = conn.request("name", &message.payload, LIMIT).await?;
    Ok(format!("you are {}", String::from_utf8_lossy(&answer.payload)))
}

async fn requests_are_answered_in_all_directions<R: Runtime>(url: &str) {
    let cuts = Cuts::default();
    let ann = cuts.client::<R>(url, true);
    let lobby = ann.join("lobby");
    let bob = Client::<R>::builder(url).unwrap();
    let bob = bob.on_request("name", |request| async move {
        match request.text()? {
            "" => Err(ReplyError::invalid("a greeting, please").into()),
            "panic" => panic!("as asked"),
            "error" => Err("not for others".into()),
            greeting => Ok(format!("{greeting}, Bob")),
        }
    });
    let bob = with_errors_of_libraries(bob);
    let bob = bob.connect().unwrap();
    let (bobs, id) = (bob.join("lobby"), bob.opened().await.unwrap());
    let named = bobs.request("ask me", "hello", LIMIT).await.unwrap();
    assert_eq!(named, "you are hello, Bob");
    let mut answers = Vec::new();
    for greeting in ["hi", "", "panic", "error"] {
        answers.push(lobby.request_to(id, "name", greeting, LIMIT));
    }
    // Both connections are lost, but the requests are still answered.
    cuts.cut();
    let mut texts = Vec::new();
    for answer in answers {
        let answer = answer.await;
        texts.push(
            answer.map_or_else(|error| error.to_string(), |it| String::from_utf8_lossy(&it).into()),
        );
    }
    let failed = "failed: the handler has failed";
    assert_eq!(texts, ["hi, Bob", "invalid: a greeting, please", failed, failed]);
    // The errors have the same codes as those of a server's handlers.
    for (event, payload, expected) in [
        ("converted", "anyhow", failed),
        ("converted", "json", failed),
        ("converted", "[", "invalid: the handler has failed"),
        ("converted", "[7, 8]", "2"),
        ("anyhow", "", failed),
        ("anyhow", "text", "text"),
        ("function", "", failed),
        ("function", "text", "text"),
    ] {
        let answer = lobby.request_to(id, event, payload, LIMIT).await;
        let text =
            answer.map_or_else(|error| error.to_string(), |it| String::from_utf8_lossy(&it).into());
        assert_eq!(text, expected, "{event} {payload}");
    }
    // Ann has no handlers for requests, and the server has only one.
    let unknown = bobs.request_to(ann.id().unwrap(), "name", "hi", LIMIT).await;
    let Err(RequestError::Failed { code, .. }) = unknown else { panic!("{unknown:?}") };
    assert_eq!(code, "unknown");
    let unknown = lobby.request("other", "", LIMIT).await;
    let Err(RequestError::Failed { code, .. }) = unknown else { panic!("{unknown:?}") };
    assert_eq!(code, "unknown");
    ann.close().await;
    let closed = lobby.request("ask me", "", LIMIT).await;
    assert_eq!(closed, Err(RequestError::NotSent(SendError::Closed)));
}

/// Adds handlers with errors of several types.
fn with_errors_of_libraries<R: Runtime>(builder: ClientBuilder<R>) -> ClientBuilder<R, io::Error> {
    async fn function(request: Request) -> io::Result<String> {
        let text = request.text().map_err(io::Error::other)?;
        if text.is_empty() { Err(io::Error::other("not for others")) } else { Ok(text.into()) }
    }
    let converted = builder.on_request("converted", |request| async move {
        match &*request.payload {
            b"anyhow" => Err(anyhow::anyhow!("not for others"))?,
            b"json" => serde_json::from_slice::<()>(b"not for others")?,
            _ => {}
        }
        Ok(request.json::<Vec<u8>>()?.len().to_string())
    });
    let anyhow =
        converted.error_type::<anyhow::Error>().on_request("anyhow", |request| async move {
            anyhow::ensure!(!request.payload.is_empty(), "not for others");
            Ok(request.payload)
        });
    anyhow.error_type().on_request("function", function)
}

async fn new_token_is_sent_before_login_expires<R: Runtime>(
    serve: impl Fn(fn(Builder) -> Builder) -> (Server, String),
) {
    let (server, url) = serve(|builder| {
        let check = |token: &str| Claims::new().user(token).valid_for(LIMIT / 10);
        builder
            .authorize(move |request| match request.token().as_deref() {
                Some("expired") => Err(Rejection::unauthorized("a new token, please")),
                token => Ok(check(token.unwrap_or_default())),
            })
            // Every login is due for renewal after half of its time, but only Ann's can be renewed.
            .renew_login(move |_, token| match token {
                "ann" => Ok(Claims::new().user("ann").valid_for(2 * LIMIT).with(Renewed)),
                _ => Err(Rejection::unauthorized("a new token, please")),
            })
            .renew_login_before_expiry(LIMIT)
            .on_request("is renewed", |conn, _| {
                Ok(conn.extension::<Renewed>().is_some().to_string())
            })
    });
    let builder = Client::<R>::builder(&url).unwrap().delays(Duration::ZERO, Duration::ZERO);
    // Since there is another token, the rejection of the first one is not final.
    let is_first = AtomicBool::new(true);
    let token = move || {
        let token = if is_first.swap(false, Ordering::Relaxed) { "expired" } else { "ann" };
        async { Ok::<_, io::Error>(token.into()) }
    };
    let ann = builder.token(token).connect().unwrap();
    let lobby = ann.join("lobby");
    while lobby.request("is renewed", "", LIMIT).await.unwrap() != "true" {
        R::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(server.stats().opened, 1, "without a new connection");
}

/// Runs a future. Fails the test if it takes longer than `limit`.
pub(crate) async fn within<R: Runtime>(limit: Duration, run: impl Future<Output = ()>) {
    let mut run = std::pin::pin!(run);
    let mut limit = std::pin::pin!(R::sleep(limit));
    poll_fn(|cx| {
        assert!(limit.as_mut().poll(cx).is_pending(), "a case does not end");
        run.as_mut().poll(cx)
    })
    .await;
}
