//! Tests the test kit with handlers that use tokio, in the way applications would.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use roomer_tokio::testkit::{Client, Faults, TokioWorld, World};
use roomer_tokio::{Builder, Claims, HandlerError, Rejection, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, interval, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// The patience of worlds whose handlers wait for threads. On a busy machine, these may take longer
/// than the default patience.
const FOR_THREADS: Duration = Duration::from_secs(60);

/// Starts a server other than roomer that returns its input in upper case, once per connection.
fn shouter() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut bytes) = (stream.unwrap(), [0; 64]);
            let size = stream.read(&mut bytes).unwrap();
            stream.write_all(&bytes[..size].to_ascii_uppercase()).unwrap();
        }
    });
    address
}

async fn shout(address: SocketAddr, text: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Builds an application whose handlers and rules all need tokio.
fn application(shouter: SocketAddr) -> Builder {
    Server::builder()
        .may_join_async(|_, room| async move {
            spawn_blocking(move || room != "staff").await.unwrap_or(false)
        })
        .on_async("blocking", |conn, message| async move {
            let text = spawn_blocking(move || message.text().map(str::to_uppercase)).await??;
            conn.send_to_room("root", "said", text.as_bytes());
            Ok(())
        })
        .on_async("socket", move |conn, message| async move {
            let text = timeout(60 * SECOND, shout(shouter, message.text()?)).await??;
            conn.send_to_room("root", "said", text.as_bytes());
            Ok(())
        })
        .on_async("timer", |conn, message| async move {
            sleep(5 * SECOND).await;
            conn.send_to_room("root", "said", &message.payload);
            Ok(())
        })
        .on("spawned", |conn, message| {
            let (conn, text) = (conn.clone(), message.text()?.to_owned());
            tokio::spawn(async move {
                tokio::task::yield_now().await;
                conn.send_to_room("root", "said", text.as_bytes());
            });
            Ok(())
        })
}

async fn room(seed: u64) -> (TokioWorld, Client, Client) {
    let shouter = shouter();
    let builder = application(shouter).authorize_async(move |request| async move {
        let token = request.query("token").map(|token| token.into_owned());
        match shout(shouter, &token.unwrap_or_default()).await {
            Ok(token) if token == "SECRET" => Ok(Claims::default()),
            _ => Err(Rejection::unauthorized("token required")),
        }
    });
    let mut world = TokioWorld::new(seed, builder);
    world.set_patience(FOR_THREADS);
    let ann = world.connect_to("/ws?token=secret", "");
    let bob = world.connect_to("/ws?token=secret", "");
    world.settle().await;
    assert!(ann.is_open() && bob.is_open(), "{:?} {:?}", ann.status(), bob.status());
    world.set_patience(SECOND);
    (world, ann, bob)
}

#[tokio::test(start_paused = true)]
async fn hooks_rules_and_handlers_use_tokio() {
    for seed in 0..20 {
        let (mut world, ann, bob) = room(seed).await;
        world.set_patience(FOR_THREADS);
        let eve = world.connect_to("/ws?token=guess", "");
        ann.join("lobby");
        ann.join("staff");
        ann.send("root", "blocking", "blocking");
        ann.send("root", "socket", "socket");
        ann.send("root", "spawned", "spawned");
        world.settle().await;
        assert_eq!(eve.status(), Some(401));
        assert_eq!(ann.rooms(), ["lobby", "root"]);
        assert_eq!(bob.texts("root", "said"), ["BLOCKING", "SOCKET", "spawned"], "seed {seed}");
        assert_eq!(world.now(), Duration::ZERO);
        assert!(world.errors().is_empty() && world.waiting().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn world_uses_tokio_time() {
    let (mut world, ann, bob) = room(1).await;
    let start = Instant::now();
    ann.send("root", "timer", "ding");
    world.settle().await;
    assert_eq!(world.waiting().len(), 1);
    world.advance(5 * SECOND - Duration::from_millis(1)).await;
    assert!(bob.texts("root", "said").is_empty());
    world.advance(Duration::from_millis(1)).await;
    assert_eq!(bob.texts("root", "said"), ["ding"]);
    assert_eq!((world.now(), start.elapsed()), (5 * SECOND, 5 * SECOND));

    // In the meantime, pings are answered, and a client that has vanished is detected.
    bob.unplug();
    ann.send("root", "timer", "dong");
    world.advance(300 * SECOND).await;
    assert_eq!(ann.members("root").unwrap(), [ann.id()]);
    assert_eq!((world.now(), start.elapsed()), (305 * SECOND, 305 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn timers_fire_in_order() {
    let builder = Server::builder().on_async("count", |conn, message| async move {
        for second in 1..=3 {
            sleep(SECOND).await;
            let text = format!("{} {second}", message.text()?);
            conn.send_to_room("root", "counted", text.as_bytes());
        }
        Ok(())
    });
    let mut world = TokioWorld::new(2, builder);
    world.set_patience(Duration::ZERO);
    let (ann, bob, eve) = (world.connect(), world.connect(), world.connect());
    ann.send("root", "count", "ann");
    world.settle().await;
    world.advance(SECOND / 2).await;
    bob.send("root", "count", "bob");
    world.advance(10 * SECOND).await;
    let heard = eve.texts("root", "counted");
    assert_eq!(heard, ["ann 1", "bob 1", "ann 2", "bob 2", "ann 3", "bob 3"]);
}

#[tokio::test]
async fn running_clock_is_paused() {
    sleep(Duration::from_micros(300)).await; // the clock is between two ticks of tokio's
    let (mut world, ann, bob) = room(3).await;
    for round in 1..=3 {
        ann.send("root", "timer", "ding");
        world.settle().await;
        world.advance(5 * SECOND - Duration::from_millis(1)).await;
        assert_eq!(bob.texts("root", "said").len(), round - 1);
        world.advance(Duration::from_millis(1)).await;
        assert_eq!(bob.texts("root", "said").len(), round);
    }
    assert_eq!(world.now(), 15 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn handler_may_wait_for_another_handler() {
    let notify = Arc::new(Notify::new());
    let notifier = notify.clone();
    let builder = Server::builder()
        .on_async("wait", move |conn, _| {
            let notify = notify.clone();
            async move {
                notify.notified().await;
                conn.send_to_room("root", "told", b"");
                Ok(())
            }
        })
        .on("tell", move |_, _| {
            notifier.notify_one();
            Ok(())
        });
    let mut world = TokioWorld::new(4, builder);
    world.set_patience(Duration::from_millis(10));
    let (ann, bob) = (world.connect(), world.connect());
    ann.send("root", "wait", "");
    world.settle().await;
    assert_eq!(world.waiting()[0].part, "the handler of `wait`");
    bob.send("root", "tell", "");
    world.settle().await;
    assert_eq!(bob.texts("root", "told"), [""]);
}

/// Database drivers often use their own thread.
#[tokio::test(start_paused = true)]
async fn world_waits_for_application_thread() {
    let (queries, asked) = std::sync::mpsc::channel::<(String, oneshot::Sender<String>)>();
    let database = thread::spawn(move || {
        for (query, answer) in asked {
            thread::yield_now();
            let _ = answer.send(query.to_uppercase());
        }
    });
    let builder = Server::builder().on_async("query", move |conn, message| {
        let queries = queries.clone();
        async move {
            for query in message.text()?.split(' ') {
                let (answer, answered) = oneshot::channel();
                queries.send((query.to_owned(), answer))?;
                // Virtual time does not advance while the handler waits, so this timeout does not
                // fire early.
                let answer = timeout(SECOND, answered).await??;
                conn.send_to_room("root", "answer", answer);
            }
            Ok::<_, HandlerError>(())
        }
    });
    let mut world = TokioWorld::new(12, builder);
    world.set_patience(FOR_THREADS);
    let (ann, bob) = (world.connect(), world.connect());
    world.settle().await;
    ann.send("root", "query", "one two three");
    world.settle().await;
    assert_eq!(bob.texts("root", "answer"), ["ONE", "TWO", "THREE"]);
    drop(world);
    database.join().unwrap();
}

/// An application task that runs concurrently with its handlers.
#[tokio::test(start_paused = true)]
async fn background_task_ticks_in_virtual_time() {
    let mut world = TokioWorld::new(5, Server::builder());
    let (ann, server) = (world.connect(), world.server().clone());
    world.settle().await;
    let ticker = tokio::spawn(async move {
        let mut interval = interval(SECOND);
        for tick in 0.. {
            interval.tick().await;
            server.broadcast("root", "tick", i32::to_string(&tick).as_bytes());
        }
    });
    world.advance(3 * SECOND).await;
    assert_eq!(ann.texts("root", "tick"), ["0", "1", "2", "3"]);
    ticker.abort();
}

/// tokio limits the work that a task does per poll, and a world with many connections is a single
/// task.
#[tokio::test(start_paused = true)]
async fn coop_budget_does_not_starve_connections() {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let builder = Server::builder().on_async("ask", move |conn, _| {
        let sender = sender.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            sender.send(answer)?;
            conn.send_to_room("root", "answered", answered.await?);
            Ok(())
        }
    });
    tokio::spawn(async move {
        while let Some(answer) = receiver.recv().await {
            let _: Result<(), _> = oneshot::Sender::send(answer, b"yes");
        }
    });
    let mut world = TokioWorld::with_faults(6, Faults::none(), builder);
    let clients: Vec<Client> = (0..300).map(|_| world.connect()).collect();
    world.settle().await;
    clients.iter().for_each(|client| client.send("root", "ask", ""));
    world.settle().await;
    // Each client receives all messages except its own.
    assert_eq!(clients[0].texts("root", "answered").len(), 299);
}

fn panic_message(run: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("the scenario passes");
    *panic.downcast::<String>().expect("a text")
}

fn on_tokio(scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    { runtime }.enable_all().start_paused(true).build().unwrap().block_on(scenario);
}

#[test]
fn panic_fails_test_with_message_and_seed() {
    let message = panic_message(|| {
        on_tokio(async {
            let builder = Server::builder().on_async("sink", |_, _| async {
                spawn_blocking(|| panic!("an iceberg")).await?;
                Ok(())
            });
            let builder = builder.on_async("sail", |_, _| async {
                sleep(SECOND).await;
                panic!("a storm")
            });
            let mut world = TokioWorld::new(7, builder);
            world.set_patience(FOR_THREADS);
            let ann = world.connect();
            ann.send("root", "sink", "");
            world.settle().await;
            world.set_patience(SECOND);
            assert!(world.errors()[0].message.contains("an iceberg"), "{:?}", world.errors());
            ann.send("root", "sail", "");
            world.advance(SECOND).await;
        });
    });
    assert!(message.contains("under seed 7, at 1s") && message.contains("a storm"), "{message}");
}

#[test]
fn endless_handler_is_reported() {
    let message = panic_message(|| {
        on_tokio(async {
            let builder = Server::builder();
            let builder = builder.on_async("hang", |_, _| std::future::pending::<()>());
            let mut world = TokioWorld::new(8, builder);
            world.connect().send("root", "hang", "");
            world.settle().await;
        });
    });
    assert!(message.contains("the handler of `hang`, for client 0, waits"), "{message}");
}

#[test]
fn unmet_condition_reports_pending_calls() {
    let message = panic_message(|| {
        on_tokio(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let silent = listener.local_addr().unwrap();
            let builder = Server::builder().on_async("ask", move |_, _| async move {
                shout(silent, "hello?").await?;
                Ok(())
            });
            let mut world = TokioWorld::new(9, builder);
            world.set_patience(Duration::from_millis(20));
            let ann = world.connect();
            ann.send("root", "ask", "");
            world.until(|_| !ann.texts("root", "answer").is_empty()).await;
        });
    });
    assert!(message.contains("does not hold after 200ms"), "{message}");
    assert!(message.contains("the handler of `ask`, for client 0, waits"), "{message}");
}

#[test]
fn world_without_tokio_is_error() {
    for event in ["blocking", "socket", "timer", "spawned"] {
        let message = panic_message(|| {
            let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
            let mut world = World::new(10, application(nowhere));
            world.connect().send("root", event, "hello");
            world.settle();
        });
        assert!(message.contains(&format!("`{event}`, for client 0, panicked")), "{message}");
        assert!(message.contains("This world has no tokio: use "), "{message}");
    }
}

/// In a plain world within a runtime's task, tokio runs no tasks while the world settles.
#[test]
fn plain_world_in_runtime_reports_pending_calls() {
    let message = panic_message(|| {
        on_tokio(async {
            let builder = Server::builder().on_async("ask", |conn, _| async move {
                spawn_blocking(|| ()).await?;
                conn.send_to_room("root", "answer", b"");
                Ok(())
            });
            let mut world = World::new(11, builder);
            let ann = world.connect();
            ann.send("root", "ask", "");
            while ann.texts("root", "answer").is_empty() {
                world.settle();
            }
        });
    });
    assert!(message.contains("the handler of `ask`, for client 0, waits"), "{message}");
    assert!(message.contains("TokioWorld"), "{message}");
}

#[test]
fn tokio_world_requires_current_thread_runtime() {
    let nowhere = || drop(TokioWorld::new(1, Server::builder()));
    let panic = catch_unwind(nowhere).unwrap_err();
    let message = *panic.downcast::<&str>().unwrap();
    assert!(message.contains("#[tokio::test(start_paused = true)]"), "{message}");
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let panic = catch_unwind(|| runtime.block_on(async { nowhere() })).unwrap_err();
    assert_eq!(*panic.downcast::<&str>().unwrap(), message);
}
