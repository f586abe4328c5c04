//! Requests above the server's limit, which wait until others have been answered.

use std::time::Duration;

use roomer_proto::client::{Client, Event, RequestError, RequestId, SendError, SendStatus};
use roomer_proto::extended::{HELLO, REPLY};
use roomer_proto::{PacketRef, ROOT};

use super::support::*;

const OTHER: &str = "08080808-0808-4808-8808-080808080808";
const MINUTE: Duration = Duration::from_secs(60);

/// Opens a session with a server that permits three unanswered requests to itself, and three to
/// other clients.
fn hello(client: &mut Client) {
    let payload = b"{\"session\":\"t\",\"limits\":{\"requests\":3}}";
    receive(client, &PacketRef { room: ROOT, event: HELLO, src: ID, payload, dst: "" });
    let payload = b"[]";
    let event = roomer_proto::JOIN_ACK;
    receive(client, &PacketRef { room: ROOT, event, src: ID, payload, dst: "" });
    events(client);
}

fn opened() -> Client {
    let mut client = upgraded();
    hello(&mut client);
    client
}

/// Sends several requests.
fn ask_times(client: &mut Client, times: usize, event: &str, to: Option<&str>) {
    for _ in 0..times {
        ask(client, event, to).unwrap();
    }
}

fn ask(client: &mut Client, event: &str, to: Option<&str>) -> Result<RequestId, SendError> {
    client.request(NOW, ROOT, event, to, b"", MINUTE)
}

/// Answers the request with this number.
fn reply(client: &mut Client, number: usize) {
    let dst = format!("{ID}:{number}");
    receive(client, &PacketRef { room: ROOT, event: REPLY, dst: &dst, ..PacketRef::default() });
}

/// Returns the results of requests that have ended.
fn ended(client: &mut Client) -> Vec<Result<(), RequestError>> {
    let results = events(client).into_iter().filter_map(|event| match event {
        Event::Answered { result, .. } => Some(result.map(drop)),
        _ => None,
    });
    results.collect()
}

#[test]
fn requests_above_servers_limit_wait_for_answers() {
    let mut client = opened();
    ask_times(&mut client, 5, "a", None);
    // Requests to other clients have a separate limit.
    ask_times(&mut client, 5, "b", Some(OTHER));
    assert_eq!(sent(&mut client), ["root a", "root a", "root a", "root b", "root b", "root b"]);
    reply(&mut client, 1);
    assert_eq!(ended(&mut client), [Ok(())]);
    assert_eq!(sent(&mut client), ["root a"]);
    (0..5).for_each(|number| reply(&mut client, number));
    assert_eq!(ended(&mut client).len(), 4);
    assert_eq!(sent(&mut client), ["root a"]);
}

#[test]
fn queued_requests_neither_delay_nor_displace_messages() {
    let mut client = opened();
    let mut accepted = 0;
    while ask(&mut client, "a", None).is_ok() {
        accepted += 1;
        assert!(accepted < 10_000);
    }
    assert_eq!(accepted, 3 + 1000);
    assert_eq!(ask(&mut client, "a", None), Err(SendError::Full));
    assert_eq!(client.send(NOW, ROOT, "m", None, b""), Ok(SendStatus::Sent));
    assert_eq!(sent(&mut client), ["root a", "root a", "root a", "root m"]);
    assert!(client.held() > 1000);
}

#[test]
fn queued_requests_can_time_out_or_be_cancelled() {
    let mut client = opened();
    let first = ask(&mut client, "a", None).unwrap();
    ask_times(&mut client, 2, "a", None);
    client.request(NOW, ROOT, "b", None, b"", MINUTE / 2).unwrap();
    let cancelled = ask(&mut client, "c", None).unwrap();
    ask(&mut client, "d", None).unwrap();
    assert_eq!(sent(&mut client).len(), 3);
    assert_eq!(client.poll(NOW + MINUTE / 2, 0), None);
    assert_eq!(ended(&mut client), [Err(RequestError::TimedOut)]);
    client.cancel(cancelled);
    client.cancel(first);
    client.poll(NOW, 0);
    assert_eq!(sent(&mut client), ["root d"]);
}

#[test]
fn queued_requests_survive_session_but_not_room() {
    let mut client = upgraded();
    ask_times(&mut client, 6, "a", None);
    hello(&mut client);
    // Before, the client did not know the server's limit.
    assert_eq!(sent(&mut client), ["root a", "root a", "root a"]);
    reconnect(&mut client);
    hello(&mut client);
    assert_eq!(sent(&mut client), ["root a", "root a", "root a"]);
    ask_times(&mut client, 2, "b", None);
    client.leave(NOW, ROOT);
    let unsent = ended(&mut client);
    assert_eq!(unsent, [Err(RequestError::Unsent), Err(RequestError::Unsent)]);
    client.close(NOW);
    client.disconnected(NOW);
    assert_eq!(ended(&mut client).len(), 3);
    assert_eq!(client.held(), 0);
}

#[test]
fn cancelled_unwritten_request_frees_slot() {
    let mut client = opened();
    let first: Vec<_> = (0..3).map(|_| ask(&mut client, "a", None).unwrap()).collect();
    first.into_iter().for_each(|request| client.cancel(request));
    ask_times(&mut client, 4, "b", None);
    reconnect(&mut client);
    hello(&mut client);
    let is_new = |packet: &String| packet == "root b";
    assert_eq!(sent(&mut client).into_iter().filter(is_new).count(), 3);
    (3..6).for_each(|number| reply(&mut client, number));
    assert_eq!(sent(&mut client), ["root b"]);
}
