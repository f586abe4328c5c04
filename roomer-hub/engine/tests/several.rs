//! Several servers in one process know nothing of each other.

use roomer_engine::Server;
use roomer_testkit::World;

#[test]
fn what_a_handler_says_on_another_server_goes_out_at_once() {
    let mut other = World::new(1, Server::builder());
    let listener = other.connect();
    other.settle();
    let there = other.server().clone();
    let relay = Server::builder().on("relay", move |_, message| {
        there.broadcast("root", "news", message.payload);
        Ok(())
    });
    let mut world = World::new(2, relay);
    let speaker = world.connect();
    world.settle();
    speaker.send("root", "relay", "hello");
    world.settle();
    // No task of the other server is woken by that: it has been written, or nobody comes for it.
    other.settle();
    assert_eq!(listener.texts("root", "news"), ["hello"]);
}
