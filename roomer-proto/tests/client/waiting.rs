//! Messages that wait for a room's other members after a reconnect.

use roomer_proto::client::{Action, Options, SendStatus};
use roomer_proto::{JOIN_ACK, PacketRef, ROOT};

use super::support::{ID, KEY, NOW, RESPONSE, connecting, events, receive, sent};

const OTHER: &str = "08080808-0808-4808-8808-080808080808";

#[test]
fn direct_message_does_not_wait() {
    let (mut client, _) = connecting(Options::default());
    let answer = |client: &mut _, room, members: &[&str]| {
        let payload = format!("{members:?}");
        let payload = payload.as_bytes();
        receive(client, &PacketRef { room, event: JOIN_ACK, src: ID, payload, dst: "" });
    };
    client.join(NOW, "lobby").unwrap();
    for members in [&[ID, OTHER][..], &[ID]] {
        client.receive(NOW, &mut RESPONSE.as_bytes().to_vec());
        answer(&mut client, ROOT, &[ID]);
        assert_eq!(sent(&mut client), ["lobby join"]);
        answer(&mut client, "lobby", members);
        if members.len() > 1 {
            client.disconnected(NOW);
            assert_eq!(client.poll(NOW, 0), Some(Action::Connect));
            client.connected(&"ws://h/ws".parse().unwrap(), KEY);
            super::support::transmit(&mut client);
        }
    }
    events(&mut client);
    assert_eq!(client.send(NOW, "lobby", "chat", None, b"to all"), Ok(SendStatus::Queued));
    client.send(NOW, "lobby", "whisper", Some(OTHER), b"to one").unwrap();
    assert_eq!(sent(&mut client), ["lobby whisper"]);
    assert!(client.is_joined("lobby"));
}
