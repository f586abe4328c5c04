//! Tests of how tunnels are opened, and in which order their bytes are sent.

use roomer_proto::ConnId;
use roomer_proto::cluster::TunnelRequest;

use super::*;

const PEER: NodeId = NodeId(7);

fn receive(tunnels: &mut Tunnels, item: TunnelItem<'_>) {
    let mut encoded = Vec::new();
    item.encode(&mut encoded);
    tunnels.receive(PEER, &encoded.into());
}

fn open(tunnels: &mut Tunnels, number: u64) {
    let request = TunnelRequest {
        id: ConnId::from_bytes([1; 16]),
        proof: [2; 16],
        received: 0,
        sends_compressed: false,
        takes_compressed: false,
        address: None,
        valid_ms: None,
        user: None,
        claims: None,
    };
    receive(tunnels, TunnelItem::Open { number, request });
}

#[test]
fn open_of_disconnected_client_is_detected() {
    let mut tunnels = Tunnels::default();
    for number in 1..=3 {
        open(&mut tunnels, number);
    }
    receive(&mut tunnels, TunnelItem::End { number: 2, is_opener: true });
    let left = |arrivals: &[Arrival]| -> Vec<bool> {
        arrivals.iter().map(|arrival| arrival.end.is_left()).collect()
    };
    assert_eq!(left(&tunnels.arrivals), [false, true, false]);
    tunnels.lose(PEER);
    assert_eq!(left(&tunnels.take_arrivals()), [true; 3]);
}

#[test]
fn waiting_tunnels_are_served_round_robin() {
    let key = |number| TunnelKey { peer: PEER, number, is_opener: true };
    let numbers =
        |queue: &VecDeque<TunnelKey>| -> Vec<u64> { queue.iter().map(|key| key.number).collect() };
    let mut served = Vec::new();
    // Each tunnel always has an item to send, and the stream takes two items per turn.
    let mut turn = |queue| {
        let mut room = 2;
        serve(queue, |key| {
            room = match room {
                0 => return Err(Full),
                _ => room - 1,
            };
            served.push(key.number);
            Ok(true)
        })
    };
    let queue = turn((1..=5).map(key).collect());
    assert_eq!(numbers(&queue), [3, 4, 5, 1, 2]);
    let queue = turn(queue);
    let queue = turn(queue);
    assert_eq!(numbers(&queue), [2, 3, 4, 5, 1]);
    assert_eq!(served, [1, 2, 3, 4, 5, 1]);
}
