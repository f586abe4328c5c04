//! Tests the info of members on other nodes.

use std::io::Write;

use roomer_conformance::client::Client;
use roomer_conformance::http::{HttpRequest, dial};
use roomer_engine::Info;

use super::nodes::{Nodes, id};

impl Nodes {
    /// Connects an extended client to a node, and waits until all nodes show it in `root`. Returns
    /// the client, and the member list that it has received.
    pub(crate) fn extended_client(&self, index: usize) -> (Client, String) {
        let addr = self.addr(index);
        let mut stream = dial(addr);
        stream.write_all(&HttpRequest::upgrade(addr).target("/ws?roomer=2").bytes()).unwrap();
        let mut client = Client::unread(stream);
        let hello = client.expect_packet();
        assert_eq!(hello.event, "roomer:hello");
        client.id.clone_from(&hello.src);
        let list = client.expect_packet();
        assert_eq!(list.event, "join_ack");
        self.shows(&client, "root");
        (client, String::from_utf8(list.payload).unwrap())
    }
}

fn expect_change(client: &mut Client, kind: &str, entry: &str) {
    let change = format!("{{\"{kind}\":[{entry}]}}");
    client.expect("root", "roomer:members", "", "", change.as_bytes());
}

pub(crate) fn extended_members_see_info_of_remote_members(nodes: &mut Nodes) {
    nodes.start(2);
    let (mut ann, _) = nodes.extended_client(0);
    let info = |name: &str| Info::new(&format!("{{\"name\":\"{name}\"}}")).unwrap();
    let entry = |id: &str, info: &str| format!("[\"{id}\",{info}]");
    nodes.server(0).set_info(id(&ann), info("Ann")).unwrap();
    let named = entry(&ann.id, "{\"name\":\"Ann\"}");
    expect_change(&mut ann, "changed", &named);
    let (mut bob, _) = nodes.extended_client(1);
    expect_change(&mut ann, "joined", &entry(&bob.id, "null"));
    // Ann's change may arrive before or after Bob's list, but it must arrive before her later
    // messages.
    ann.send_to_room("root", "order", b"");
    while bob.expect_packet().event != "order" {}
    nodes.server(0).set_info(id(&ann), info("Eve")).unwrap();
    let eve = entry(&ann.id, "{\"name\":\"Eve\"}");
    expect_change(&mut ann, "changed", &eve);
    expect_change(&mut bob, "changed", &eve);
    let mut plain = nodes.client(1);
    expect_change(&mut bob, "joined", &entry(&plain.id, "null"));
    expect_change(&mut ann, "joined", &entry(&plain.id, "null"));
    nodes.server(1).set_info(id(&plain), info("Zoe")).unwrap();
    expect_change(&mut ann, "changed", &entry(&plain.id, "{\"name\":\"Zoe\"}"));
    // A node that starts later must receive the info of all members.
    let late = nodes.add(&|builder| builder, "chat");
    nodes.formed();
    let (carol, list) = nodes.extended_client(late);
    assert!(list.contains(&eve), "{list}");
    assert!(list.contains(&entry(&plain.id, "{\"name\":\"Zoe\"}")), "{list}");
    plain.expect_new_member("root", &carol.id);
}
