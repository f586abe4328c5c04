//! Tests the examples in other languages. They run as programs with `roomer serve`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::support::tokens::SECRET;
use crate::support::{self, Serving, Tail, TempFile, roomer, succeeds};
use serde_json::{Value, json};

const KEY: &str = "the-key-of-an-example";

/// Returns a command that runs an example in `program` with these arguments.
fn example(program: &str, file: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    let path = format!("{}/examples/{file}", env!("CARGO_MANIFEST_DIR"));
    command.arg(path).args(args).env("KEY", KEY);
    command
}

#[test]
fn scripts_sign_tokens_and_publish() {
    let (secret, key) = (TempFile::new("secret", SECRET), TempFile::new("key", KEY));
    let text = format!("[[api_key]]\nname = \"a\"\nfile = {:?}\n", key.path());
    let file = TempFile::new("examples.toml", text);
    let args = ["serve", file.path(), "--jwt-secret", secret.path()];
    let serving = Serving::start_with(&mut roomer(&args));
    let api = &*format!("http://{}", serving.operator);

    let sign = |user: &str, room: &str| {
        let signed = example("python3", "token.py", &[secret.path(), user, room]).output().unwrap();
        succeeds(&signed).trim().to_owned()
    };
    let mut tail = Tail::start(&serving, "news", &["--token", &sign("ann", "news")]);
    let mut other = Tail::start(&serving, "a/b ü", &["--token", &sign("bob", "a/*")]);

    let published =
        example("sh", "publish.sh", &[api, "news", "item", "by curl"]).output().unwrap();
    assert_eq!(succeeds(&published), r#"{"members":1}"#);
    assert_eq!(tail.message()["text"], "by curl");

    let args = [api, "a/b ü", "item", "by Python"];
    let published = example("python3", "publish.py", &args).output().unwrap();
    assert_eq!(succeeds(&published), "1 members\n");
    let payload: Value = serde_json::from_str(other.message()["text"].as_str().unwrap()).unwrap();
    assert_eq!(payload, json!({ "text": "by Python" }));

    let args = [api, "item", "by Node", "news", "a/b ü"];
    let published = example("node", "publish.mjs", &args).output().unwrap();
    assert_eq!(succeeds(&published), "a/b ü 1\nnews 1\n");
    for tail in [&mut tail, &mut other] {
        assert_eq!(tail.message()["text"], r#"{"text":"by Node"}"#);
    }
    // Each example must fail if its request is rejected.
    for (program, file, args) in [
        ("sh", "publish.sh", vec![api, "news", "join", "x"]),
        ("python3", "publish.py", vec![api, "news", "join", "x"]),
        ("node", "publish.mjs", vec![api, "join", "x", "news"]),
    ] {
        assert!(!example(program, file, &args).output().unwrap().status.success(), "{file}");
    }
}

#[test]
fn webhook_receiver_decides_and_rejects_forged_requests() {
    let secret = TempFile::new("secret", SECRET);
    let mut receiver = example("python3", "webhook.py", &[secret.path(), "0"])
        .stdout(Stdio::piped())
        .spawn()
        .map(Ending)
        .unwrap();
    let mut lines = BufReader::new(receiver.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.next().unwrap();
    let hooks = ["--webhooks-authorize", "--webhooks-may-join", "--webhooks-events"];
    let hooks = hooks.map(|name| [name, &*address]).concat();
    let serving = Serving::start(&[&["--webhooks-secret", secret.path()], &hooks[..]].concat());
    let send = |room: &str, token: &str| {
        let args = ["send", &serving.url, room, "chat", "hello", "--token", token];
        roomer(&args).output().unwrap().status.success()
    };
    assert!(send("lobby", "of-ann"));
    let told: Vec<String> = lines.by_ref().take(4).collect();
    assert_eq!(told, ["1 connected ", "2 joined lobby", "3 left lobby", "4 disconnected "]);
    assert!(!send("secret", "of-ann"));
    assert!(!send("lobby", "of-bob"));
    // This server has another secret.
    let other = TempFile::new("other", "x".repeat(32));
    let forged = ["--webhooks-secret", other.path(), "--webhooks-authorize", &address];
    let forging = Serving::start(&forged);
    assert_eq!(support::handshake(&forging, "?token=of-ann", "").0, 503);
}

/// A process that is killed when dropped.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
