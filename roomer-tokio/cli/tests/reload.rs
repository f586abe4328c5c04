//! Tests reloading the configuration while `roomer serve` runs.
#![cfg(unix)]

use crate::support::{self, Serving, Tail, TempFile, roomer, run, succeeds};
use rustix::process::Signal;

/// Replaces the file, and waits until the server has reloaded it.
fn reload(serving: &mut Serving, file: &TempFile, text: &str) {
    std::fs::write(file.path(), text).unwrap();
    serving.signal(Signal::HUP);
    serving.logged("configuration read again");
}

/// Sends a message to a room. Returns false if a rule forbids it.
fn sends(serving: &Serving, room: &str) -> bool {
    let done = run(&["send", &serving.url, room, "chat", "x"]);
    let error = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success() || error.contains("an application rule forbids it"), "{error}");
    done.status.success()
}

#[test]
fn reloaded_room_rules_apply_immediately() {
    const NEWS: &str = "[[room]]\npattern = \"news\"\npublish = \"none\"\n";
    const OTHER: &str = "[[room]]\npattern = \"other\"\npublish = \"none\"\n";
    let file = TempFile::new("rules.toml", NEWS);
    let mut serving = Serving::start_with(&mut roomer(&["serve", file.path()]));
    assert!(!sends(&serving, "news") && sends(&serving, "other"));
    reload(&mut serving, &file, OTHER);
    assert!(sends(&serving, "news") && !sends(&serving, "other"));

    // If there is an error anywhere, the whole previous configuration stays in effect.
    std::fs::write(file.path(), format!("{NEWS}rate = \"much\"\n")).unwrap();
    serving.signal(Signal::HUP);
    let problem =
        serving.logged("cannot read the configuration again: all of the old one stays")["problem"]
            .to_string();
    assert!(problem.contains("rules.toml:4"), "{problem}");
    assert!(sends(&serving, "news") && !sends(&serving, "other"));
}

#[test]
fn reloaded_room_rates_apply_immediately() {
    let text = |rate| format!("[[room]]\npattern = \"*\"\nrate = \"1 burst {rate}\"\n");
    let file = TempFile::new("rates.toml", text(1));
    let mut serving = Serving::start_with(&mut roomer(&["serve", file.path()]));
    reload(&mut serving, &file, &format!("[[room]]\npattern = \"a\"\n{}", text(100_000)));
    let mut tail = Tail::start(&serving, "lobby", &[]);
    let lines = "x\n".repeat(50);
    let send = ["send", &serving.url, "lobby", "chat", "--lines"];
    succeeds(&support::run_with(&send, lines.as_bytes()));
    for _ in 0..50 {
        assert_eq!(tail.message()["text"], "x");
    }
}

#[test]
fn reload_reports_only_rules_that_need_restart() {
    const ALL: &str = "join = \"none\"\npublish = \"none\"\nwhisper = \"none\"\n";
    for (key, keys) in [
        ("rate", "[[room]] join, [[room]] whisper"),
        ("join_rate", "[[room]] publish, [[room]] whisper"),
    ] {
        let rule = format!("[[room]]\npattern = \"lobby\"\n{key} = \"9 burst 9\"\n");
        let file = TempFile::new("restart.toml", &rule);
        let mut serving = Serving::start_with(&mut roomer(&["serve", file.path()]));
        assert!(sends(&serving, "lobby"));
        reload(&mut serving, &file, &(rule + ALL));
        assert_eq!(serving.logged("some changes need a restart")["keys"], keys);
        // The client may not join the room, or may not send to it.
        assert!(!run(&["send", &serving.url, "lobby", "chat", "x"]).status.success(), "{key}");
    }
}

#[test]
fn reload_applies_log_and_api_keys_only() {
    let key = |name: &str| {
        let key = format!("a-key-of-the-api-with-the-name-{name}");
        (TempFile::new("key", &key), format!("Authorization: Bearer {key}"))
    };
    let (first, second) = (key("first"), key("second"));
    let text = |key: &TempFile| format!("[[api_key]]\nname = \"a\"\nfile = {:?}\n", key.path());
    let file = TempFile::new("keys.toml", text(&first.0));
    let mut serving = Serving::start_with(&mut roomer(&["serve", file.path()]));
    let opens = |serving: &Serving, header: &str| {
        serving.request("GET", "/v1/stats", &[header], b"").status == 200
    };
    assert!(opens(&serving, &first.1) && !opens(&serving, &second.1));
    let both = format!(
        "[log]\nlevel = \"debug\"\n[limits]\nmax_rooms = 7\n[rates]\nmessages = \"1 burst 9\"\n[[room]]\n\
         pattern = \"a\"\nhistory = 2\njoin = \"none\"\n{}{}",
        text(&first.0),
        text(&second.0).replace("\"a\"", "\"b\"")
    );
    reload(&mut serving, &file, &both);
    assert_eq!(
        serving.logged("some changes need a restart")["keys"],
        "limits.max_rooms, rates.messages, [[room]] presence, history, deflate, [[room]] join"
    );
    assert!(opens(&serving, &first.1) && opens(&serving, &second.1));
    let key = text(&second.0);
    reload(&mut serving, &file, &format!("[log]\nlevel = \"debug\"\n{key}"));
    assert!(!opens(&serving, &first.1) && opens(&serving, &second.1));
    // Before the reload, lines at this level were not logged.
    assert!(sends(&serving, "lobby"));
    serving.signal(Signal::TERM);
    assert!(serving.rest_of_log().contains("\"level\":\"DEBUG\""));
}

#[test]
fn mistake_in_one_file_keeps_old_configuration() {
    let (first, second) = ("the-first-key-of-an-api", "the-second-key-of-an-api");
    let (key, secret) =
        (TempFile::new("key", first), TempFile::new("secret", "a-secret-of-at-least-32-bytes----"));
    let api = format!("[[api_key]]\nname = \"a\"\nfile = {:?}\n", key.path());
    let jwt = format!("[jwt]\nsecret = {:?}\n", secret.path());
    let denied = "[[room]]\npattern = \"news\"\npublish = \"none\"\n";
    let file = TempFile::new("whole.toml", format!("anonymous = true\n{jwt}{denied}{api}"));
    let mut serving = Serving::start_with(&mut roomer(&["serve", file.path()]));
    let opens = |serving: &Serving, key: &str| {
        let header = format!("Authorization: Bearer {key}");
        serving.request("GET", "/v1/stats", &[&header], b"").status == 200
    };
    assert!(!sends(&serving, "news") && opens(&serving, first));

    // The new configuration has new rules and a new API key, but its secret is too short.
    std::fs::write(key.path(), second).unwrap();
    std::fs::write(secret.path(), "short").unwrap();
    std::fs::write(file.path(), format!("anonymous = true\n[log]\nlevel = \"debug\"\n{jwt}{api}"))
        .unwrap();
    serving.signal(Signal::HUP);
    let message = "cannot read the configuration again: all of the old one stays";
    let problem = serving.logged(message)["problem"].to_string();
    assert!(problem.contains("whole.toml:5: jwt.secret: ") && problem.contains("32"), "{problem}");
    assert!(!sends(&serving, "news") && opens(&serving, first) && !opens(&serving, second));

    // With this option, no server could be started.
    std::fs::write(secret.path(), "another-secret-of-32-bytes-or-more").unwrap();
    std::fs::write(file.path(), format!("anonymous = true\n[limits]\nmax_rooms = 0\n{jwt}{api}"))
        .unwrap();
    serving.signal(Signal::HUP);
    let problem = serving.logged(message)["problem"].to_string();
    assert!(problem.contains("whole.toml:3: limits.max_rooms: "), "{problem}");
    assert!(!sends(&serving, "news") && opens(&serving, first) && !opens(&serving, second));

    std::fs::write(file.path(), format!("anonymous = true\n{jwt}{api}")).unwrap();
    serving.signal(Signal::HUP);
    serving.logged("configuration read again");
    assert!(sends(&serving, "news") && !opens(&serving, first) && opens(&serving, second));
    serving.signal(Signal::TERM);
    assert!(!serving.rest_of_log().contains("\"level\":\"DEBUG\""));
}
