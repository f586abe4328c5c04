//! Tests of rights in tokens, and of the rules for delayed messages.

use std::time::Duration;

use roomer_tokio::testkit::TokioWorld;
use roomer_tokio::{Claims, Server};

use super::*;
use crate::serve::replaceable::replace_all;

#[test]
fn token_rights_are_list_or_object() {
    let grants = Grants::read(&serde_json::json!(["lobby", "team-*"])).unwrap();
    assert!(grants.has("team-1", Right::Whisper) && !grants.has("lobby2", Right::Join));
    let grants = Grants::read(&serde_json::json!({ "news": ["join"], "*": [] })).unwrap();
    assert!(grants.has("news", Right::Join) && !grants.has("news", Right::Publish));
    for claim in [
        "\"lobby\"",
        "[1]",
        "{\"a\": [\"kick\"]}",
        "{\"a\": \"join\"}",
        "null",
        "[\"a*b\"]",
        "{\"*b\": []}",
    ] {
        let claim = serde_json::from_str(claim).unwrap();
        assert!(Grants::read(&claim).is_none(), "{claim}");
    }
}

/// A reload of the configuration replaces the rules in the same way.
#[tokio::test(start_paused = true)]
async fn delayed_message_is_checked_by_rules_at_send_time() {
    let room = |publish: &str| -> Room {
        toml::from_str(&format!("pattern = \"*\"\nrate = \"1 burst 1\"\npublish = \"{publish}\""))
            .unwrap()
    };
    let rules = Rules::new([room("all")].iter());
    let counted = rules.clone();
    let builder = Server::builder().authorize(move |_| {
        let buckets = counted.buckets().ok_or(roomer_tokio::Rejection::forbidden("no rate"))?;
        Ok(Claims::new().with(buckets))
    });
    let mut world = TokioWorld::new(1, rules.add_message_rates(builder, None, false));
    let (ann, bob) = (world.connect(), world.connect());
    ann.join("lobby");
    bob.join("lobby");
    world.settle().await;
    for text in ["1", "2", "3"] {
        ann.send("lobby", "chat", text);
    }
    world.settle().await;
    world.advance(Duration::from_secs(1)).await;
    assert_eq!(bob.texts("lobby", "chat"), ["1", "2"]);
    // The last message waits for another second.
    replace_all(vec![rules.replace([room("none")].iter())]);
    world.advance(Duration::from_secs(2)).await;
    assert_eq!(bob.texts("lobby", "chat"), ["1", "2"]);
    assert_eq!(world.server().stats().rejected_packets.by_application, 1);
}
