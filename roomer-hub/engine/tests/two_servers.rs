//! Tests that several servers in one process are independent.

use roomer_engine::Server;
use roomer_testkit::World;

#[test]
fn handler_send_through_another_server_is_flushed() {
    let mut other = World::new(1, Server::builder());
    let listener = other.connect();
    other.settle();
    let there = other.server().clone();
    let relay = Server::builder().on("relay", move |_, message| {
        there.broadcast("root", "news", message.payload);
        Ok(())
    });
    let mut world = World::new(2, relay);
    let sender = world.connect();
    world.settle();
    sender.send("root", "relay", "hello");
    world.settle();
    // This wakes no task of the server in `other`, so that server must already have written the
    // message.
    other.settle();
    assert_eq!(listener.texts("root", "news"), ["hello"]);
}
