//! Tests requests in all directions, their errors, and how they end when connections break.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use roomer_engine::{Builder, ReplyError, Server};
use roomer_proto::client::{Event, Options, Request, RequestError, SendError};
use roomer_simulator::client::net::*;

const SECOND: Duration = Duration::from_secs(1);

/// Builds a server whose handler doubles a number.
fn doubler() -> Builder {
    Server::builder().on_request("double", |_, message| {
        let number: i32 = message.text()?.parse().map_err(|_| ReplyError::invalid("a number"))?;
        Ok((2 * number).to_string())
    })
}

fn failed(code: &str, message: &str) -> RequestError {
    RequestError::Failed { code: code.into(), message: message.into() }
}

fn net(seed: u64, builder: Builder, clients: usize, options: &Options) -> Net {
    let mut net = Net::new(seed, builder);
    for _ in 0..clients {
        let number = net.add(options.clone());
        net.join(number, "lobby");
    }
    net.settle();
    net
}

#[test]
fn server_answers_requests_or_returns_error() {
    for seed in 0..8 {
        let mut net = net(seed, doubler(), 1, &Options::default());
        let [four, text, other] = [("double", "2"), ("double", "x"), ("other", "")]
            .map(|(event, payload)| net.request(0, event, payload));
        net.settle();
        let answers = net.answers(0);
        assert_eq!(answers.len(), 3);
        for (request, answer) in answers {
            match answer {
                Ok(text) => assert_eq!((request, &*text), (four, "4")),
                Err(RequestError::Failed { code, message }) if request == text => {
                    assert_eq!((&*code, &*message), ("invalid", "a number"));
                }
                Err(RequestError::Failed { code, .. }) => {
                    assert_eq!((request, &*code), (other, "unknown"));
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn clients_answer_requests_once() {
    let mut net = net(1, Server::builder(), 2, &Options::default());
    let (ann, bob) = (net.id(0), net.id(1));
    let first = net.try_request(0, Some(bob.as_str()), "name", "1").unwrap();
    let second = net.try_request(0, Some(bob.as_str()), "name", "2").unwrap();
    let absent = "01010101-0101-4101-8101-010101010101";
    let third = net.try_request(0, Some(absent), "name", "3").unwrap();
    net.settle();
    let received = net.received_requests(1);
    let of = |request: &Request| (request.from.to_string(), request.text().unwrap().to_owned());
    let expected = [(ann.to_string(), "1".into()), (ann.to_string(), "2".into())];
    assert_eq!(received.iter().map(of).collect::<Vec<_>>(), expected);
    assert_eq!(net.messages(1).len(), 0, "a request is not a message");
    // Answer the second request first.
    let now = net.world.now();
    net.ends[1].client.fail(now, &received[1], "shy", "not today").unwrap();
    assert_eq!(net.reply(1, &received[0], "Bob"), Ok(()));
    assert_eq!(net.reply(1, &received[0], "Rob"), Err(SendError::NotAsked));
    net.settle();
    let answers = net.answers(0);
    assert!(matches!(&answers[0], (id, Err(RequestError::Failed { code, .. }))
        if *id == third && code == "gone"));
    let expected = [(second, Err(failed("shy", "not today"))), (first, Ok("Bob".into()))];
    assert_eq!(answers[1..], expected);
    assert_eq!(net.world.server().stats().rejected_packets.violations, 0);
}

#[test]
fn server_requests_client() {
    let builder = Server::builder().on_request_async("ask me", async |conn, message| {
        let answer = conn.request("name", &message.payload, 10 * SECOND).await?;
        Ok(format!("you are {}", answer.text()?))
    });
    let mut net = net(1, builder, 1, &Options::default());
    let request = net.request(0, "ask me", "please");
    net.settle();
    let received = net.received_requests(0);
    assert_eq!((received.len(), &*received[0].from, received[0].text()), (1, "", Ok("please")));
    net.reply(0, &received[0], "Ann").unwrap();
    net.settle();
    assert_eq!(net.answers(0), [(request, Ok("you are Ann".into()))]);
}

#[test]
fn requests_survive_lost_socket_and_are_handled_once() {
    for seed in 0..40 {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = count.clone();
        let builder = Server::builder().on_request("count", move |_, _| {
            Ok(counted.fetch_add(1, Ordering::Relaxed).to_string())
        });
        let mut net = net(seed, builder, 2, &Options::default());
        let bob = net.id(1);
        let counting = net.request(0, "count", "");
        let asking = net.try_request(0, Some(bob.as_str()), "name", "").unwrap();
        if seed % 2 == 0 {
            net.settle();
        }
        net.cut(0);
        net.cut(1);
        net.advance(SECOND);
        let received = net.received_requests(1);
        assert_eq!(received.len(), 1, "seed {seed}");
        net.cut(1);
        net.reply(1, &received[0], "Bob").unwrap();
        net.cut(0);
        net.advance(2 * SECOND);
        let mut answers = net.answers(0);
        answers.sort_by_key(|(request, _)| *request);
        let expected = [(counting, Ok("0".into())), (asking, Ok("Bob".into()))];
        assert_eq!(answers, expected, "seed {seed}");
        assert_eq!(count.load(Ordering::Relaxed), 1, "seed {seed}");
    }
}

#[test]
fn lost_session_fails_sent_requests_and_keeps_queued_ones() {
    let builder = Server::builder()
        .resume_window(SECOND)
        .on_request_async("never", async |_, _| {
            std::future::pending::<()>().await;
            Ok(())
        })
        .on_request("now", |_, _| Ok("done"));
    let mut net = net(1, builder, 2, &Options::default());
    net.world.allow_waiting();
    let ann = net.id(0);
    let sent = net.request(0, "never", "");
    let asking = net.try_request(1, Some(ann.as_str()), "name", "").unwrap();
    net.settle();
    let received = net.received_requests(0);
    net.is_up = false;
    net.cut(0);
    let later = net.request(0, "now", "");
    net.advance(3 * SECOND);
    assert!(matches!(&net.answers(1)[..], [(id, Err(RequestError::Failed { code, .. }))]
        if *id == asking && code == "gone"));
    net.is_up = true;
    net.advance(5 * SECOND);
    assert_eq!(net.reply(0, &received[0], "Ann"), Err(SendError::NotAsked));
    assert_eq!(net.answers(0), [(sent, Err(RequestError::Lost)), (later, Ok("done".into()))]);
    assert_eq!(net.world.server().stats().rejected_packets.violations, 0);
}

#[test]
fn requests_end_on_timeout_cancel_and_close() {
    let builder = Server::builder().on_request_async("never", async |_, _| {
        std::future::pending::<()>().await;
        Ok(())
    });
    let mut net = net(1, builder, 1, &Options::default());
    net.world.allow_waiting();
    let late = net.request(0, "never", "");
    let cancelled = net.request(0, "never", "");
    net.ends[0].client.cancel(cancelled);
    net.advance(9 * SECOND);
    assert_eq!(net.answers(0), []);
    net.advance(SECOND);
    assert_eq!(net.answers(0), [(late, Err(RequestError::TimedOut))]);
    // The time limit of a request also expires without a connection.
    net.is_up = false;
    net.cut(0);
    let waiting = net.request(0, "never", "");
    net.advance(10 * SECOND);
    assert_eq!(net.ends[0].client.held(), 0, "it is not sent later");
    let unsent = net.request(0, "never", "");
    net.leave(0, "lobby");
    net.settle();
    let ends = net.answers(0);
    assert!(ends.contains(&(waiting, Err(RequestError::TimedOut))), "{ends:?}");
    assert!(ends.contains(&(unsent, Err(RequestError::Unsent))), "{ends:?}");
    assert_eq!(ends.len(), 3);
}

#[test]
fn plain_server_gets_no_requests() {
    let mut net = net(1, doubler(), 0, &plain());
    let ann = net.add(plain());
    net.join(ann, "lobby");
    let early = net.request(ann, "double", "1");
    net.settle();
    let late = net.request(ann, "double", "2");
    net.settle();
    let expected = [(early, Err(RequestError::Plain)), (late, Err(RequestError::Plain))];
    assert_eq!(net.answers(ann), expected);
    assert_eq!(net.world.server().stats().rejected_packets.violations, 0);
}

#[test]
fn rejected_packet_is_event() {
    let builder = Server::builder().may_publish(|_, message| message.event != "secret");
    let mut net = net(1, builder, 1, &Options::default());
    let now = net.world.now();
    net.ends[0].client.send(now, "lobby", "secret", None, b"").unwrap();
    net.settle();
    let events = net.take_events(0);
    let Some(Event::Error(error)) = events.last() else { panic!("{events:?}") };
    let is = (&*error.code, &*error.room, &*error.event);
    assert_eq!(is, ("refused", "lobby", "secret"));
}

#[test]
fn rejections_are_reported_or_counted() {
    let builder = Server::builder().may_publish(|_, message| message.event != "secret");
    let mut net = net(1, builder, 1, &Options::default());
    let now = net.world.now();
    for _ in 0..100 {
        net.ends[0].client.send(now, "lobby", "secret", None, b"").unwrap();
    }
    net.settle();
    net.advance(10 * SECOND);
    let events = net.take_events(0);
    let errors = events.iter().filter_map(|event| match event {
        Event::Error(error) => Some(error.more),
        _ => None,
    });
    let errors: Vec<u64> = errors.collect();
    assert!(errors.len() < 40, "{errors:?}");
    assert_eq!(errors.iter().map(|more| 1 + more).sum::<u64>(), 100);
}

#[test]
fn invalid_receivers_and_reserved_events_are_rejected() {
    let mut net = net(1, doubler(), 1, &Options::default());
    let now = net.world.now();
    let client = &mut net.ends[0].client;
    for to in [":1", "", "ann:1"] {
        let sent = client.send(now, "lobby", "chat", Some(to), b"");
        assert_eq!(sent, Err(SendError::Reserved), "{to}");
    }
    for (to, event) in [(Some("ann"), "name"), (None, "join"), (None, "roomer:reply")] {
        let sent = client.request(now, "lobby", event, to, b"", SECOND);
        assert_eq!(sent, Err(SendError::Reserved), "{event}");
    }
    let sent = client.request(now, "elsewhere", "double", None, b"1", SECOND);
    assert_eq!(sent, Err(SendError::NotJoined));
}

#[test]
fn each_request_ends_once() {
    for seed in 0..100 {
        let window = Duration::from_secs(1 + seed % 3 * 20);
        let mut net = net(seed, doubler().resume_window(window), 3, &Options::default());
        let mut sent = [0; 3];
        for _ in 0..80 {
            let number = net.rng.below(3);
            match net.rng.below(8) {
                0..=2 => {
                    let other = net.rng.below(3);
                    let to = net.ends[other].client.id().filter(|_| other != number);
                    let to = to.as_ref().map(|id| id.as_str());
                    let event = if to.is_some() { "name" } else { "double" };
                    sent[number] += usize::from(net.try_request(number, to, event, "7").is_ok());
                }
                3 => {
                    for request in net.received_requests(number) {
                        // Some requests are answered twice, and some after their session has ended.
                        let _ = net.reply(number, &request, "me");
                    }
                }
                4 => net.cut(number),
                5 => net.drop_silently(number),
                6 => {
                    let millis = net.rng.below(1500) as u64;
                    net.advance(Duration::from_millis(millis));
                }
                _ => net.settle(),
            }
        }
        net.advance(3 * MINUTE);
        for (number, sent) in sent.iter().enumerate() {
            let answers = net.answers(number);
            let mut ids: Vec<_> = answers.iter().map(|(id, _)| *id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!((ids.len(), answers.len()), (*sent, *sent), "seed {seed}");
            for (_, answer) in answers {
                let Ok(text) = answer else { continue };
                assert!(text == "14" || text == "me", "seed {seed}: {text}");
            }
        }
        assert_eq!(net.world.server().stats().rejected_packets.violations, 0, "seed {seed}");
    }
}
