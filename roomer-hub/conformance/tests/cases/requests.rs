//! Tests requests over real sockets.

use std::time::Duration;

use roomer_engine::{Json, ReplyError};

use super::sessions::Session;
use super::test_server::TestServer;

#[test]
fn client_and_server_request_each_other() {
    let test = TestServer::with(|builder| {
        builder
            .on_request("add", |_, message| {
                let (a, b): (i64, i64) = message.json()?;
                Ok(Json(a + b))
            })
            .on_request_async("rename", async |conn, message| {
                let limit = Duration::from_secs(60);
                let answer = conn.request_json("sure", &["yes", "no"], limit)?.await?;
                Ok(format!("{}: {}", message.text()?, answer.json::<String>()?))
            })
            .on_request_async("wait", async |conn, _| {
                conn.request("silent", "", Duration::from_millis(20)).await?;
                Ok(())
            })
            .on_request_async("delete", async |conn, _| match conn.user() {
                Some(_) => Ok(()),
                None => Err(ReplyError::refused("log in to delete").into()),
            })
    });
    let mut ann = Session::new(&test).client;
    let id = ann.id.clone();
    ann.send_to_client(":1", "root", "add", b"[40,2]");
    ann.expect("root", "roomer:reply", ":1", "", b"42");
    ann.send_to_client(":2", "root", "add", b"{}");
    let invalid = br#"{"code":"invalid","message":"the handler has failed"}"#;
    ann.expect("root", "roomer:error", ":2", "", invalid);
    ann.send_to_client(":3", "root", "rename", b"ann");
    let asked = ann.expect_packet();
    assert_eq!(
        (&*asked.event, &*asked.src, &*asked.payload),
        ("sure", "", &br#"["yes","no"]"#[..])
    );
    let tag = asked.dst.strip_prefix(&*id).unwrap();
    ann.send_to_client(tag, "root", "roomer:reply", b"\"yes\"");
    ann.expect("root", "roomer:reply", ":3", "", b"ann: yes");
    // This request by the server is never answered, and ends at its timeout.
    ann.send_to_client(":4", "root", "wait", b"");
    assert_eq!(&*ann.expect_packet().event, "silent");
    let failed = br#"{"code":"failed","message":"the handler has failed"}"#;
    ann.expect("root", "roomer:error", ":4", "", failed);
    ann.send_to_client(":5", "root", "delete", b"");
    let refused = br#"{"code":"refused","message":"log in to delete"}"#;
    ann.expect("root", "roomer:error", ":5", "", refused);
}

#[test]
fn rejections_are_reported_before_acknowledgement() {
    let test = TestServer::start();
    let mut ann = Session::new(&test).client;
    for _ in 0..200 {
        ann.send_to_room("hall", "chat", b"hi");
    }
    ann.send_to_client("?", "root", "roomer:ack", b"1");
    let (mut errors, mut reported) = (0, 0);
    loop {
        let packet = ann.expect_packet();
        let payload: serde_json::Value = serde_json::from_slice(&packet.payload).unwrap();
        if &*packet.event == "roomer:error" {
            assert_eq!((&payload["room"], &payload["event"]), (&"hall".into(), &"chat".into()));
            errors += 1;
            reported += 1 + payload["more"].as_u64().unwrap_or(0);
            continue;
        }
        assert_eq!(&*packet.event, "roomer:ack");
        let acknowledged = payload.as_u64().unwrap();
        assert!(reported >= acknowledged, "{reported} of {acknowledged}");
        if acknowledged == 200 {
            break;
        }
    }
    assert!(reported == 200 && errors < 200, "{errors} errors report {reported} packets");
}

#[test]
fn packets_denied_by_rules_are_reported_with_reason() {
    let test = TestServer::with(|builder| {
        builder
            .may_join(|_, room| room != "staff")
            .may_publish_async(async |_, message| &*message.event != "shout")
            .may_send(|_, message| message.event != "whisper")
    });
    let mut ann = Session::new(&test).client;
    let id = ann.id.clone();
    let reason = r#"{"code":"refused","message":"an application rule forbids it""#;
    let error = |room: &str, event: &str| {
        format!(r#"{reason},"room":"{room}","event":"{event}"}}"#).into_bytes()
    };
    ann.send_to_room("staff", "join", b"");
    ann.expect("root", "roomer:error", "", "", &error("staff", "join"));
    ann.expect("staff", "leave_ack", "", &id, id.as_bytes());
    ann.send_to_room("root", "shout", b"hi");
    ann.expect("root", "roomer:error", "", "", &error("root", "shout"));
    ann.send_to_client(&id, "root", "whisper", b"hi");
    ann.expect("root", "roomer:error", "", "", &error("root", "whisper"));
    ann.expect_nothing();
}

#[test]
fn direct_message_arrives_without_shared_room() {
    let test = TestServer::start();
    let (mut ann, mut bob) = (Session::new(&test).client, Session::new(&test).client);
    let joined = format!("{{\"joined\":[[\"{}\",null]]}}", bob.id);
    ann.expect("root", "roomer:members", "", "", joined.as_bytes());
    let to_bob = bob.id.clone();
    bob.send_to_room("root", "leave", b"");
    bob.expect("root", "leave_ack", "", &to_bob, to_bob.as_bytes());
    let left = format!("{{\"left\":[\"{to_bob}\"]}}");
    ann.expect("root", "roomer:members", "", "", left.as_bytes());
    for room in ["kitchen", "root"] {
        ann.send_to_client(&to_bob, room, "whisper", b"hi");
        bob.expect(room, "whisper", &to_bob, &ann.id, b"hi");
    }
    let payload = b"{}";
    bob.send_to_client(&ann.id, "cellar", "whisper", payload);
    ann.expect("cellar", "whisper", &ann.id.clone(), &bob.id, payload);
}

#[test]
fn client_requests_peer_and_gets_errors() {
    let test = TestServer::start();
    let (mut ann, mut bob) = (Session::new(&test).client, Session::new(&test).client);
    let joined = format!("{{\"joined\":[[\"{}\",null]]}}", bob.id);
    ann.expect("root", "roomer:members", "", "", joined.as_bytes());
    let (to_bob, to_ann) = (format!("{}:a1", bob.id), format!("{}:a1", ann.id));
    ann.send_to_client(&to_bob, "root", "where", b"?");
    bob.expect("root", "where", &to_bob, &ann.id, b"?");
    bob.send_to_client(&to_ann, "root", "roomer:reply", b"?");
    ann.expect("root", "roomer:reply", &to_ann, &bob.id, b"?");
    ann.send_to_client(&to_bob, "root", "where", b"?");
    bob.expect("root", "where", &to_bob, &ann.id, b"?");
    bob.close();
    let left = [ann.expect_packet(), ann.expect_packet()];
    let gone = br#"{"code":"gone","message":"the receiver does not exist"}"#;
    let error = left.iter().find(|packet| &*packet.event == "roomer:error").unwrap();
    assert_eq!((&*error.dst, &*error.src, &*error.payload), (&*to_ann, "", &gone[..]));
}
