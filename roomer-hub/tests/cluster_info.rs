//! The info and users of members on other nodes.

use roomer_hub::cluster::{PeerState, ResetReason};
use roomer_hub::{Command, Info, Profile};
use roomer_proto::cluster::{HEAD_MAX, Head, Item, Items};

use crate::support::net::Net;

impl Net {
    fn open_with(&mut self, node: usize, conn: u8, extended: bool, name: &str) {
        let (id, now) = (self.nodes[node].id(conn), self.now);
        let profile = Profile::new(Some(Info::string(name)), Some(&name.to_lowercase()));
        let input = roomer_hub::Input::OpenWithProfile { id, extended, profile: &profile };
        self.nodes[node].hub(now, input);
    }

    fn set_info(&mut self, node: usize, conn: u8, info: Option<&str>) {
        let (conn, now, info) = (self.nodes[node].key(conn), self.now, info.map(Info::string));
        let command = Command::SetInfo { conn, info: info.as_ref() };
        self.nodes[node].hub(now, roomer_hub::Input::Command(command));
    }

    /// Returns the members of `root`, as listed for a client that rejoins it.
    fn list(&mut self, node: usize, conn: u8) -> String {
        self.say(node, conn, "root", "join", "");
        let (_, list) = self.nodes[node].acks.pop().expect("a list");
        list.strip_prefix("join_ack root ").expect("a join_ack").to_owned()
    }

    fn resets(&self, node: usize) -> Vec<ResetReason> {
        self.nodes[node].cluster.statistics().resets.keys().copied().collect()
    }
}

/// Replaces the first occurrence of a string in a node's frames with another string of the same
/// length.
fn replace_once(net: &mut Net, node: usize, old: &'static [u8], new: &'static [u8]) {
    let mut is_done = false;
    net.change = Box::new(move |from, frame| {
        let at = frame.windows(old.len()).position(|part| part == old);
        let Some(at) = at.filter(|_| from == node && !is_done) else { return frame.clone() };
        is_done = true;
        [&frame[..at], new, &frame[at + old.len()..]].concat().into()
    });
}

#[test]
fn remote_members_have_info_and_user_in_message_order() {
    let mut net = Net::new(2);
    net.open_with(0, 1, true, "Ann");
    net.open(0, 3);
    net.run(10);
    net.open_with(1, 2, true, "Bob");
    net.run(10);
    let (ann, bob, plain) = (net.nodes[0].id(1), net.nodes[1].id(2), net.nodes[0].id(3));
    let joined = format!(r#"roomer:members root {{"joined":[["{bob}","Bob","bob"]]}}"#);
    assert_eq!(net.received(0, 1).pop(), Some(joined));
    assert_eq!(net.received(0, 3).pop(), Some(format!("new_member root {bob}")));
    let list = net.list(1, 2);
    assert!(list.contains(&format!(r#"["{ann}","Ann","ann"]"#)), "{list}");
    assert!(list.contains(&format!(r#"["{plain}",null]"#)), "{list}");

    net.say(0, 1, "root", "chat", "as Ann");
    net.set_info(0, 1, Some("Eve"));
    net.say(0, 1, "root", "chat", "as Eve");
    net.set_info(0, 1, None);
    // Set the info of a plain client that had none.
    net.set_info(0, 3, Some("Zoe"));
    net.run(10);
    let changed = |entry: String| format!(r#"roomer:members root {{"changed":[{entry}]}}"#);
    let expected = [
        "chat root as Ann".into(),
        changed(format!(r#"["{ann}","Eve","ann"]"#)),
        "chat root as Eve".into(),
        changed(format!(r#"["{ann}",null,"ann"]"#)),
        changed(format!(r#"["{plain}","Zoe"]"#)),
    ];
    assert_eq!(net.received(1, 2), expected);

    // A node that the others have declared dead sends its current info when it returns.
    net.nodes[0].is_up = false;
    net.run(6000);
    net.set_info(0, 1, Some("Fay"));
    net.received(1, 2);
    net.nodes[0].is_up = true;
    net.run(3000);
    let returned = net.received(1, 2).join("\n");
    assert!(returned.contains(&format!(r#"{{"joined":[["{ann}","Fay","ann"]]}}"#)), "{returned}");
    assert_eq!((net.resets(0), net.resets(1)), (vec![], vec![]));
}

/// A node with an earlier release skips these items, and does not send them.
#[test]
fn members_of_older_node_have_no_info() {
    let mut net = Net::new(2);
    net.change = Box::new(|_, frame| {
        let Ok((head, body)) = Head::decode(frame) else { return frame.clone() };
        let mut out = Vec::with_capacity(HEAD_MAX + body.len());
        head.encode(&mut out);
        for item in Items::new(body).flatten() {
            if !matches!(item, Item::Profile { .. } | Item::Profiles { .. }) {
                item.encode(&mut out);
            }
        }
        out.into()
    });
    net.open_with(0, 1, true, "Ann");
    net.open_with(1, 2, true, "Bob");
    net.run(10);
    net.set_info(0, 1, Some("Eve"));
    net.run(4000);
    let (ann, list) = (net.nodes[0].id(1), net.list(1, 2));
    assert!(list.contains(&format!(r#"["{ann}",null]"#)), "{list}");
    assert_eq!((net.states(0), net.states(1)), (vec![PeerState::Live], vec![PeerState::Live]));
    assert_eq!((net.resets(0), net.resets(1)), (vec![], vec![]));
}

#[test]
fn differing_info_is_repaired_after_next_beat() {
    let mut net = Net::new(2);
    net.open_with(0, 1, true, "Ann");
    net.open_with(1, 2, true, "Bob");
    net.run(10);
    replace_once(&mut net, 0, b"\"Eve\"", b"\"Adam");
    net.set_info(0, 1, Some("Eve"));
    net.run(10);
    assert_eq!(net.resets(1), [ResetReason::Malformed], "not JSON");
    net.run(1000);
    replace_once(&mut net, 0, b"\"Fay\"", b"\"Ray\"");
    net.set_info(0, 1, Some("Fay"));
    net.run(10);
    let ann = net.nodes[0].id(1);
    assert!(net.list(1, 2).contains("\"Ray\""));
    net.run(2500);
    assert_eq!(net.resets(1), [ResetReason::Divergence, ResetReason::Malformed]);
    let list = net.list(1, 2);
    assert!(list.contains(&format!(r#"["{ann}","Fay","ann"]"#)), "{list}");
}

#[test]
fn only_oversized_info_is_omitted() {
    let mut net = Net::new(2);
    net.open_with(0, 1, true, "Ann");
    net.open_with(1, 2, true, "Bob");
    net.run(10);
    for number in 0..20 {
        net.set_info(0, 1, Some(&format!("{number}{}", "x".repeat(1 << 16))));
        net.run(100);
    }
    net.say(0, 1, "root", "chat", "behind it");
    net.run(10);
    let ann = net.nodes[0].id(1);
    assert_eq!(net.received(1, 2).pop().as_deref(), Some("chat root behind it"));
    let list = net.list(1, 2);
    assert!(list.contains(&format!(r#"["{ann}",null,"ann"]"#)), "{list}");
    net.set_info(0, 1, Some("Eve"));
    net.run(2000);
    assert!(net.list(1, 2).contains(&format!(r#"["{ann}","Eve","ann"]"#)));
    assert_eq!((net.resets(1), net.states(1)), (vec![], vec![PeerState::Live]));
    assert_eq!(net.nodes[1].cluster.statistics().refused["too_large"], 20);
}
