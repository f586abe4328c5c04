//! Tests rooms with a presence mode that limits notices about members.

use roomer_engine::Presence;

use super::test_server::{TestServer, expect_nothing};
use roomer_conformance::client::Client;

#[test]
fn presence_off_lists_only_joining_client() {
    let test = TestServer::with(|builder| builder.presence("root", Presence::Off));
    let mut a = test.client();
    let mut b = test.client();
    assert_eq!((&a.root_members, &b.root_members), (&vec![a.id.clone()], &vec![b.id.clone()]));
    let own = a.id.clone();
    a.send_to_room("root", "chat", b"hi");
    b.expect("root", "chat", "", &own, b"hi");
    b.leave("root");
    a.expect_nothing();
    assert_eq!(b.join("root"), [b.id.clone()]);
    assert_eq!(b.join("root"), [b.id.clone()], "also again");
    expect_nothing([&mut a, &mut b]);
    assert_eq!(test.server.members("root").len(), 2, "the server knows them all");
}

#[test]
fn presence_count_returns_number_only() {
    let test = TestServer::with(|builder| {
        builder.presence("stadium:*", Presence::Count).presence("*", Presence::Full)
    });
    let [mut a, mut b, mut c] = test.roomless_clients();
    for (number, client) in [&mut a, &mut b, &mut c].into_iter().enumerate() {
        client.send_to_room("stadium:1", "join", b"");
        let id = client.id.clone();
        client.expect("stadium:1", "join_ack", "", &id, (number + 1).to_string().as_bytes());
    }
    a.leave("stadium:1");
    c.send_to_room("stadium:1", "join", b"");
    let id = c.id.clone();
    c.expect("stadium:1", "join_ack", "", &id, b"2");
    // The other rooms keep the default, full presence.
    a.join("stadium");
    b.join("stadium");
    a.expect_new_member("stadium", &b.id);
    expect_nothing([&mut a, &mut b, &mut c]);
}

#[test]
fn presence_off_keeps_bytes_per_connection_constant() {
    let cost = |many: u64| {
        let test = TestServer::with(|builder| builder.presence("root", Presence::Off));
        let clients: Vec<_> = (0..many).map(|_| test.client()).collect();
        clients.into_iter().for_each(Client::close);
        test.wait_for_drain();
        test.server.stats().bytes_out / many
    };
    assert_eq!(cost(5), cost(50));
}
