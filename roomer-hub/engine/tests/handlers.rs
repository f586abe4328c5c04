//! Tests of all forms of handlers.
//!
//! The forms are closures and functions, synchronous and asynchronous, with and without results and
//! captures. Most of these forms are tested by the fact that this file compiles.

use std::future::ready;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use roomer_engine::{Builder, Conn, HandlerResult, Message, OwnedMessage, Server};
use roomer_testkit::{Client, World};

/// An application resource, such as a connection pool.
#[derive(Clone, Default)]
struct Pool(Arc<AtomicUsize>);

impl Pool {
    async fn store(&self, text: &str) -> io::Result<usize> {
        ready(()).await;
        match text {
            "full" => Err(io::Error::other("the disk is full")),
            _ => Ok(self.0.fetch_add(1, Relaxed) + 1),
        }
    }
}

async fn store(text: &str) -> anyhow::Result<()> {
    anyhow::ensure!(text != "full", "the disk is full");
    Ok(())
}

/// Sends each event with the payloads `fine` and `full`. Returns the events whose handlers failed,
/// with the errors.
fn failures<E: 'static>(builder: Builder<E>, events: &[&str]) -> Vec<String> {
    let errors = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = errors.clone();
    let builder = builder.on_error(move |_, message, error| {
        seen.lock().unwrap().push(format!("{}: {error}", message.event));
    });
    let mut world = World::new(1, builder);
    let client = world.connect();
    for event in events {
        client.send("root", event, "fine");
        client.send("root", event, "full");
    }
    world.settle();
    assert!(client.is_open());
    // Every message was received, and none was counted as a violation.
    assert_eq!(world.server().stats().messages_in, 2 * events.len() as u64);
    std::mem::take(&mut *errors.lock().unwrap())
}

fn quick(_: &Conn, message: &Message<'_>) -> HandlerResult {
    if message.payload == b"full" { Err("the disk is full".into()) } else { Ok(()) }
}

fn silent(conn: &Conn, _: &Message<'_>) {
    conn.send("seen", b"");
}

async fn slow(_: Conn, message: OwnedMessage) -> HandlerResult {
    store(message.text()?).await?;
    Ok(())
}

#[test]
fn sync_handlers_return_unit_or_result() {
    let count = Arc::new(AtomicUsize::new(0));
    let builder = Server::builder()
        .on("nothing", |_, _| {})
        .on("nothing, by a function", silent)
        .on("captures", move |_, _| {
            count.fetch_add(1, Relaxed);
        })
        .on("Ok alone", |_, _| Ok(()))
        .on("?", |_, message| {
            let _: u32 = message.text()?.parse().or_else(|_| "0".parse())?;
            Ok(())
        })
        .on("early", |_, message| {
            if message.text()? == "full" {
                return Err("the disk is full".into());
            }
            Ok(())
        })
        .on("early Ok", |_, message| {
            if message.payload.is_empty() {
                return Ok(());
            }
            Err("the disk is full")?;
            Ok(())
        })
        .on("match", |_, message| match message.payload {
            b"full" => Err("the disk is full".into()),
            _ => Ok(()),
        })
        .on("anyhow by ?", |_, message| {
            anyhow::Context::context(message.text(), "no text")?;
            Ok(())
        })
        .on("a function", quick)
        .on("calls a function", |conn, message| quick(conn, message));
    let events = [
        "nothing",
        "nothing, by a function",
        "captures",
        "Ok alone",
        "?",
        "early",
        "early Ok",
        "match",
        "anyhow by ?",
        "a function",
        "calls a function",
    ];
    let full = |event| format!("{event}: the disk is full");
    let expected = ["early", "early Ok", "early Ok", "match", "a function", "calls a function"];
    assert_eq!(failures(builder, &events), expected.map(full));
}

#[test]
fn async_handlers_return_unit_or_result() {
    let pool = Pool::default();
    let (one, two, three) = (pool.clone(), pool.clone(), pool.clone());
    let builder = Server::builder()
        .on_async("nothing", |_, _| async {})
        .on_async("Ok alone", |_, _| async { Ok(()) })
        .on_async("block", |_, message| async move {
            store(message.text()?).await?;
            Ok(())
        })
        .on_async("closure", async |_, message| {
            store(message.text()?).await?;
            Ok(())
        })
        .on_async("closure without a result", async |conn, _| conn.send("seen", "y"))
        .on_async("captures, closure", async move |conn, message| {
            let count = one.store(message.text()?).await?;
            conn.reply(&message, "stored", count.to_string());
            Ok(())
        })
        .on_async("captures, block", move |_, message| async move {
            two.store(message.text()?).await?;
            Ok(())
        })
        .on_async("captures, by hand", move |_, message| {
            let pool = three.clone();
            async move {
                pool.store(message.text()?).await?;
                Ok(())
            }
        })
        .on_async("a function", slow)
        .on_async("calls a function", slow);
    let events = [
        "nothing",
        "Ok alone",
        "block",
        "closure",
        "closure without a result",
        "captures, closure",
        "captures, block",
        "captures, by hand",
        "a function",
        "calls a function",
    ];
    let full = |event| format!("{event}: the disk is full");
    let expected = [
        "block",
        "closure",
        "captures, closure",
        "captures, block",
        "captures, by hand",
        "a function",
        "calls a function",
    ];
    assert_eq!(failures(builder, &events), expected.map(full));
    assert_eq!(pool.0.load(Relaxed), 3, "all handlers share the pool");
}

#[test]
fn handler_errors_use_builder_error_type() {
    async fn save(_: Conn, message: OwnedMessage) -> anyhow::Result<()> {
        store(message.text()?).await
    }
    fn check(_: &Conn, message: &Message<'_>) -> anyhow::Result<()> {
        anyhow::ensure!(message.payload != b"full", "the disk is full");
        Ok(())
    }
    let builder = Server::builder()
        .error_type::<anyhow::Error>()
        .on("nothing", |_, _| {})
        .on("Ok alone", |_, _| Ok(()))
        .on("check", check)
        .on_async("save", save)
        .on_async("calls save", save)
        .on_async("bail", async |_, message| {
            if message.text()? == "full" {
                anyhow::bail!("the disk is full");
            }
            Ok(())
        })
        .error_type::<io::Error>()
        .on("io", |_, message| match message.payload {
            b"full" => Err(io::Error::other("the disk is full")),
            _ => Ok(()),
        })
        .error_type::<String>()
        .on("text", |_, message| match message.payload {
            b"full" => Err("the disk is full".to_owned()),
            _ => Ok(()),
        });
    let events = ["nothing", "Ok alone", "check", "save", "calls save", "bail", "io", "text"];
    let full = |event| format!("{event}: the disk is full");
    let expected = ["check", "save", "calls save", "bail", "io", "text"];
    assert_eq!(failures(builder, &events), expected.map(full));
}

/// A handler body that compiles in both kinds of handlers, and passes on parts of a message in
/// every supported way.
macro_rules! body {
    ($conn:ident, $message:ident) => {{
        let text = $message.text()?.to_owned();
        assert_eq!($message.sender(), $conn.id());
        assert_eq!(text.len(), $message.payload.len());
        if $message.room == "root" && $message.event != "other" && $message.dst.is_empty() {
            $conn.reply(&$message, "reply", &text);
            $conn.send_to_client($message.src, "direct", &$message.payload);
            $conn.send("by name", &$message.room);
            $conn.send_to_room(&$message.room, &$message.event, text.as_bytes());
            $conn.server().send($message.src, "from the server", $message.src);
            $conn.send_to_room($message.room, $message.event, $message.payload);
        }
        Ok(())
    }};
}

#[test]
fn same_body_works_sync_and_async() {
    let builder = Server::builder()
        .on("quick", |conn, message| body!(conn, message))
        .on_async("slow", async |conn, message| body!(conn, message));
    let mut world = World::new(1, builder);
    let (ann, bob) = (world.connect(), world.connect());
    for event in ["quick", "slow"] {
        ann.clear_messages();
        bob.clear_messages();
        ann.send("root", event, "hello");
        world.settle();
        let got = |client: &Client, event: &str| client.texts("root", event);
        assert_eq!(got(&ann, "reply"), ["hello"], "{event}");
        assert_eq!(got(&ann, "direct"), ["hello"], "{event}");
        assert_eq!(got(&ann, "by name"), ["root"], "{event}");
        assert_eq!(got(&ann, "from the server"), [ann.id()], "{event}");
        assert_eq!(got(&bob, event), ["hello", "hello"], "{event}");
    }
}

#[test]
fn reply_uses_room_of_message() {
    let builder = Server::builder().on("ask", |conn, message| {
        conn.send_to_room(message.room, "asked", "");
        conn.reply(message, "answer", "42");
    });
    let mut world = World::new(1, builder);
    let (ann, bob) = (world.connect(), world.connect());
    ann.join("lobby");
    bob.join("lobby");
    world.settle();
    ann.send("lobby", "ask", "");
    world.settle();
    let answers = ann.messages("lobby");
    let answer = answers.iter().find(|packet| packet.event == "answer").unwrap();
    assert_eq!((&*answer.src, &*answer.dst), ("", &*ann.id()));
    assert_eq!(bob.texts("lobby", "asked"), [""]);
    assert_eq!(bob.texts("lobby", "answer"), [""; 0]);
}

#[test]
fn payloads_may_be_text_bytes_or_buffers() {
    let builder = Server::builder().on("all", |conn, message| {
        let server = conn.server();
        let bytes = roomer_engine::Bytes::from_static(b"x");
        conn.send("got", "x");
        conn.send("got", b"x");
        conn.send("got", String::from("x"));
        conn.send("got", vec![b'x']);
        conn.send("got", bytes.clone());
        conn.send("got", &bytes);
        conn.send(String::from("got"), &[b'x'][..]);
        conn.send("got", []);
        server.broadcast(message.room, "got", "x");
        server.broadcast(String::from("root"), "got", bytes.clone());
        server.send(conn.id(), "got", "x");
        server.send(conn.id(), "got", "x");
        server.send(conn.id(), "got", "x");
        assert!(!server.send("not an id", "got", "x"));
        assert!(server.conn(message.src).is_some_and(|same| same == *conn));
        assert_eq!(server.members(message.room), [message.src]);
        assert!(server.is_member(message.src, message.room));
        assert!(!server.is_member(message.src, "nowhere") && !server.is_member("x", message.room));
    });
    let mut world = World::new(1, builder);
    let ann = world.connect();
    ann.send("root", "all", "");
    world.settle();
    let texts = ann.texts("root", "got");
    assert_eq!(texts.iter().filter(|text| *text == "x").count(), 12);
    assert_eq!(texts.len(), 13);
}

#[test]
fn handles_of_same_connection_are_equal() {
    let mut world = World::new(1, Server::builder());
    let (_ann, _bob) = (world.connect(), world.connect());
    world.settle();
    let mut other = World::new(1, Server::builder());
    let _eve = other.connect();
    other.settle();
    let conns: std::collections::BTreeMap<String, Conn> =
        world.server().conns().into_iter().map(|conn| (conn.id().to_string(), conn)).collect();
    let [one, two] = &conns.into_values().collect::<Vec<_>>()[..] else { panic!("two") };
    let again = world.server().conn(one.id()).unwrap();
    assert_eq!(one, &again);
    assert_ne!(one, two);
    assert_ne!(one, &other.server().conns()[0]);
    #[allow(
        clippy::disallowed_types,
        clippy::mutable_key_type,
        reason = "stands for an application's hash table; a handle's hash does not change"
    )]
    let set: std::collections::HashSet<&Conn> = [one, two, &again].into();
    assert_eq!(set.len(), 2);
}
