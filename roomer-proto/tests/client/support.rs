//! Helpers that drive a client and act as its server.

use std::time::Duration;

use roomer_proto::client::{Action, Client, Event, Options};
use roomer_proto::websocket::{self, Decoder, Limits, packet_frame};
use roomer_proto::{Packet, PacketRef};

pub(crate) const ID: &str = "07070707-0707-4707-8707-070707070707";
pub(crate) const NOW: Duration = Duration::from_secs(100);
pub(crate) const KEY: [u8; 16] = [7; 16];

/// The response that matches the key [`KEY`].
pub(crate) const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: CdXSYUsvsaMthlEXWDNURGWA/1o=\r\n\r\n";

/// Returns a client that has sent its request.
pub(crate) fn connecting(options: Options) -> (Client, Vec<u8>) {
    let mut client = Client::new(options);
    assert_eq!(client.poll(NOW, 0), Some(Action::Connect));
    client.connected(&"ws://h/ws".parse().unwrap(), KEY);
    let request = transmit(&mut client);
    (client, request)
}

/// Returns a client whose handshake is complete.
pub(crate) fn upgraded() -> Client {
    let (mut client, _) = connecting(Options::default());
    client.receive(NOW, &mut RESPONSE.as_bytes().to_vec());
    client
}

/// Breaks the connection of a client and completes the handshake of the next one.
pub(crate) fn reconnect(client: &mut Client) {
    client.disconnected(NOW);
    assert_eq!(client.poll(NOW, 0), Some(Action::Connect));
    client.connected(&"ws://h/ws".parse().unwrap(), KEY);
    transmit(client);
    client.receive(NOW, &mut RESPONSE.as_bytes().to_vec());
}

pub(crate) fn transmit(client: &mut Client) -> Vec<u8> {
    let mut out = Vec::new();
    client.transmit(NOW, &mut out, &mut || [1, 2, 3, 4]);
    out
}

/// Passes a packet from the server to a client.
pub(crate) fn receive(client: &mut Client, packet: &PacketRef<'_>) {
    let mut frame = Vec::new();
    packet_frame(packet, &mut frame).unwrap();
    client.receive(NOW, &mut frame);
}

pub(crate) fn events(client: &mut Client) -> Vec<Event> {
    std::iter::from_fn(|| client.next_event()).collect()
}

/// Returns the rooms and events of the packets that the client sends.
pub(crate) fn sent(client: &mut Client) -> Vec<String> {
    let mut wire = transmit(client);
    let mut frames = Decoder::new();
    let limits = Limits::default();
    let mut feed = frames.feed(&limits, &mut wire);
    let mut sent = Vec::new();
    while let Some(Ok(event)) = feed.next() {
        if let websocket::Event::Message { data, .. } = event {
            let Packet { room, event, .. } = Packet::decode(data.to_vec().into()).unwrap();
            sent.push(format!("{room} {event}"));
        }
    }
    sent
}
