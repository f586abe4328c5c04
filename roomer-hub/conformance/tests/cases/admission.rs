//! How many may come in, in all and from one address, and what the others hear.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use roomer_engine::Builder;
use socket2::{Domain, Socket, Type};

use super::load::resident;
use super::site::Site;
use roomer_conformance::client::{Client, PATIENCE};
use roomer_conformance::http::{Answer, Ask, dial};
use roomer_conformance::wire::{self, BINARY, FIN};

/// A socket from an address of one's own choice.
fn dial_from(source: &str, addr: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&addr.into()).expect("the server listens");
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What one hears who says nothing.
fn turned_away(mut stream: TcpStream) -> u16 {
    Answer::read(&mut stream, false).status
}

/// Asks until the answer is another than this.
fn until_not(status: u16, mut ask: impl FnMut() -> u16) -> u16 {
    let start = Instant::now();
    loop {
        match ask() {
            seen if seen == status => assert!(start.elapsed() < PATIENCE, "still {status}"),
            other => return other,
        }
    }
}

fn refused(site: &Site, status: u16) -> u64 {
    site.server.stats().refused.get(&status).copied().unwrap_or_default()
}

#[test]
fn handshakes_above_the_cap_hear_503_at_once_until_there_is_room() {
    let site = Site::with(|builder| builder.max_handshakes(3).handshake_timeout(PATIENCE * 10));
    let silent = [(); 3].map(|()| dial(site.addr));
    assert_eq!(turned_away(dial(site.addr)), 503);
    assert_eq!((site.server.stats().handshakes, refused(&site, 503)), (3, 1));
    drop(silent);
    assert_eq!(until_not(503, || Ask::plain(site.addr).refused(site.addr).status), 400);
    site.drained();
    // Who has come in takes no place of theirs.
    let clients: [Client; 5] = site.loners();
    assert_eq!(site.server.stats().connections, clients.len());
}

#[test]
fn handshakes_above_the_cap_of_an_address_hear_429_and_others_come_in() {
    let site = Site::with(|builder| {
        builder.max_handshakes_per_address(2).handshake_timeout(PATIENCE * 10)
    });
    let _silent = [(); 2].map(|()| dial(site.addr));
    assert_eq!(turned_away(dial(site.addr)), 429);
    assert_eq!(refused(&site, 429), 1);
    let mut neighbour = dial_from("127.0.0.2", site.addr);
    neighbour.write_all(&Ask::upgrade(site.addr).bytes()).unwrap();
    Client::welcomed(neighbour).goodbye();
}

#[test]
fn who_is_turned_away_can_read_the_answer_whatever_it_sends() {
    let site = Site::with(|builder| builder.max_handshakes(1));
    let _silent = dial(site.addr);
    for size in [1, 100, 20_000, 400_000] {
        let mut stream = dial(site.addr);
        // A reset may stop it, but only after the answer was there to be read.
        stream.write_all(&vec![b'x'; size]).unwrap();
        assert_eq!(turned_away(stream), 503, "after {size} bytes");
    }
    let answers = (0..50).map(|_| Ask::upgrade(site.addr).refused(site.addr).status);
    assert!(answers.collect::<Vec<_>>().iter().all(|status| *status == 503));
}

#[test]
fn who_is_turned_away_and_stays_is_ended_soon() {
    let site = Site::with(|builder| {
        builder.max_handshakes(1).handshake_timeout(PATIENCE * 10).close_timeout(PATIENCE * 10)
    });
    let silent = dial(site.addr);
    let stayers = [(); 20].map(|()| dial(site.addr));
    for mut stream in stayers.iter() {
        assert!(stream.read(&mut [0]).is_ok_and(|size| size == 1), "the answer begins");
    }
    drop(silent);
    // They neither read on nor go, and nobody else ends their wait.
    site.drained();
}

#[test]
fn connections_above_the_cap_hear_503_and_pages_are_served() {
    let site = Site::with(|builder| {
        let builder = builder.page("/", "text/plain", "hello").health("/live", "/ready");
        builder.max_connections(2)
    });
    let status = |target| Ask::plain(site.addr).target(target).refused(site.addr).status;
    let first = site.loner();
    assert_eq!((status("/live"), status("/ready")), (200, 200));
    let _second = site.loner();
    assert_eq!(Ask::upgrade(site.addr).refused(site.addr).status, 503);
    assert_eq!((status("/"), status("/live"), status("/ready")), (200, 200, 503));
    assert_eq!(refused(&site, 503), 1, "a health check is no handshake");
    first.goodbye();
    let upgraded = || {
        let mut stream = dial(site.addr);
        stream.write_all(&Ask::upgrade(site.addr).bytes()).unwrap();
        Answer::read_head(&mut stream).0.status
    };
    assert_eq!(until_not(503, upgraded), 101);
}

#[test]
fn connections_above_the_cap_of_an_address_hear_429() {
    let site = Site::with(|builder| builder.max_connections_per_address(2));
    let clients: [Client; 2] = site.loners();
    assert_eq!(Ask::upgrade(site.addr).refused(site.addr).status, 429);
    let mut neighbour = dial_from("127.0.0.2", site.addr);
    neighbour.write_all(&Ask::upgrade(site.addr).bytes()).unwrap();
    Client::welcomed(neighbour).goodbye();
    clients.into_iter().for_each(Client::goodbye);
    let ask = || Ask::upgrade(site.addr).head(site.addr).status;
    assert_eq!(until_not(429, ask), 101);
}

#[test]
fn a_cap_is_checked_before_the_hook_is_asked() {
    let site = Site::with(|builder| {
        builder.max_connections(1).authorize(|request| match request.query("first") {
            Some(_) => Ok([].into()),
            None => panic!("it is asked in vain"),
        })
    });
    let ask = Ask::upgrade(site.addr).target("/ws?first=1");
    let _client = Client::upgrade(dial(site.addr), &ask);
    assert_eq!(Ask::upgrade(site.addr).refused(site.addr).status, 503);
}

#[test]
fn a_trusted_proxy_speaks_for_many_addresses() {
    let one_each =
        |builder: Builder| builder.max_handshakes_per_address(1).max_connections_per_address(1);
    let site = Site::with(|builder| {
        one_each(builder).trust_proxy("127.0.0.1").handshake_timeout(PATIENCE * 10)
    });
    // However many handshakes come through it.
    let _silent = [(); 3].map(|()| dial(site.addr));
    let from = |client: &str| Ask::upgrade(site.addr).add("X-Forwarded-For", client);
    let mut clients = Vec::new();
    for client in ["1.2.3.4", "5.6.7.8", "2001:db8::1"] {
        clients.push(Client::upgrade(dial(site.addr), &from(client)));
    }
    for client in ["1.2.3.4", "6.6.6.6, 5.6.7.8", "2001:db8::2"] {
        assert_eq!(from(client).refused(site.addr).status, 429, "{client}");
    }
    // Nobody else is believed.
    let mut stranger = dial_from("127.0.0.2", site.addr);
    stranger.write_all(&from("9.9.9.9").bytes()).unwrap();
    clients.push(Client::welcomed(stranger));
    let mut stranger = dial_from("127.0.0.2", site.addr);
    stranger.write_all(&from("9.9.9.8").bytes()).unwrap();
    assert_eq!(turned_away(stranger), 429);
}

#[test]
fn after_a_storm_every_count_is_back_where_it_was() {
    let site = Site::with(|builder| {
        let builder = builder.max_handshakes(20).max_handshakes_per_address(10);
        builder.max_connections(10).max_connections_per_address(5)
    });
    let request = Ask::upgrade(site.addr).bytes();
    for round in 0..300 {
        let source = ["127.0.0.1", "127.0.0.2", "127.0.0.3"][round % 3];
        let mut stream = dial_from(source, site.addr);
        let cut = round * 7 % (request.len() + 40);
        let _ = stream.write_all(&request[..cut.min(request.len())]);
    }
    // The server comes to this one behind all others.
    let _ = Ask::plain(site.addr).refused(site.addr);
    site.drained();
    assert_eq!(site.server.stats().handshakes, 0);
    for source in ["127.0.0.1", "127.0.0.2"] {
        // Five fit again, and no sixth.
        let come = || {
            let mut stream = dial_from(source, site.addr);
            stream.write_all(&request).unwrap();
            stream
        };
        let clients = [(); 5].map(|()| Client::welcomed(come()));
        let mut late = come();
        let status = Answer::read_head(&mut late).0.status;
        assert!([429, 503].contains(&status), "{status}");
        drop((clients, late));
        site.drained();
    }
}

#[test]
fn a_flood_of_sockets_does_not_disturb_who_is_in() {
    let site = Site::with(|builder| builder.max_handshakes(10));
    let [mut a, mut b] = site.room("lobby");
    let mut flood = Vec::new();
    for n in 0..200u32 {
        flood.push(dial(site.addr));
        a.say("lobby", "n", &n.to_be_bytes());
        b.expect("lobby", "n", "", &a.id, &n.to_be_bytes());
    }
    let handshakes = site.server.stats().handshakes;
    assert!(handshakes <= 10, "{handshakes}");
    drop(flood);
    a.say("lobby", "last", b"");
    b.expect("lobby", "last", "", &a.id, b"");
}

#[test]
fn what_a_refused_client_sends_is_not_kept() {
    let site = Site::alone(|builder| builder.close_timeout(Duration::from_secs(5)));
    let before = resident();
    let frame = [wire::header(FIN | BINARY, 16_000_000), vec![0; 15_000_000]].concat();
    let streams = [(); 10].map(|()| {
        let mut stream = dial(site.addr);
        stream.write_all(&Ask::plain(site.addr).bytes()).unwrap();
        assert_eq!(Answer::read_head(&mut stream).0.status, 400);
        // It is read for a while, and then no more.
        stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(stream.write_all(&frame).is_err(), "all of it was read");
        stream
    });
    let grown = resident().saturating_sub(before);
    assert!(grown < 60 << 20, "{grown} bytes for what nobody wants");
    drop(streams);
}
