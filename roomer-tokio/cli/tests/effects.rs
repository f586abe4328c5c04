//! Tests that each option of `roomer serve` has an effect, or is rejected with a helpful error.
//!
//! The error must say what the option needs.

use crate::support::{TempFile, certificate, run, succeeds};

/// Options that have an effect on their own, each with a value that is not the default.
const ALWAYS: &[(&str, &str)] = &[
    ("listen", "127.0.0.1:9"),
    ("path", "/a"),
    ("threads", "2"),
    ("anonymous", "true"),
    ("origins", "https://a.example"),
    ("trust_proxy", "10.0.0.1"),
    ("extended", "false"),
    ("compat", "true"),
    ("shared_room_only", "true"),
    ("drain", "1s"),
    ("drain_rate", "1"),
    ("operator.listen", "127.0.0.1:9"),
    ("log.format", "json"),
    ("log.level", "debug"),
    ("jwt.secret", "S"),
    ("jwt.keys", "tests/support/keys/rsa.pem"),
    ("jwt.jwks", "https://a.example/"),
    ("cluster.url", "nats://127.0.0.1"),
    ("limits.max_message", "1 KiB"),
    ("limits.max_name", "99"),
    ("limits.max_rooms", "9"),
    ("limits.max_backlog", "2 MiB"),
    ("limits.memory_budget", "1 GiB"),
    ("limits.max_connections", "99999"),
    ("limits.max_connections_per_address", "9"),
    ("limits.max_handshakes", "9999"),
    ("limits.max_handshakes_per_address", "9"),
    ("rates.messages", "1"),
    ("rates.bytes", "100000"),
    ("rates.joins", "1"),
    ("rates.violations", "1"),
    ("timeouts.handshake", "1s"),
    ("timeouts.ping", "1s"),
    ("timeouts.silence", "61s"),
    ("timeouts.write", "1s"),
    ("timeouts.message", "1s"),
    ("timeouts.close", "1s"),
    // These options need the extended protocol, which is enabled by default.
    ("client_info", "true"),
    ("limits.max_requests", "1"),
    ("limits.max_detached", "1"),
    ("limits.resume_buffer", "1 KiB"),
    ("timeouts.resume", "1s"),
    ("timeouts.retry", "1s"),
];

/// An option that has an effect only together with others.
struct Dependent {
    key: &'static str,
    value: &'static str,
    /// A part of the remedy that the error must contain.
    remedy: &'static str,
    /// Options that must be configured together with this one. `S` is replaced by the path of a
    /// secret, `C` by the path of a certificate, and `K` by the path of its key.
    beside: &'static str,
}

const fn needs(
    key: &'static str,
    value: &'static str,
    remedy: &'static str,
    beside: &'static str,
) -> Dependent {
    Dependent { key, value, remedy, beside }
}

const TOKENS: &str = "[jwt]\nsecret = \"S\"\n";
const SECRET: &str = "[webhooks]\nsecret = \"S\"\n";
const AUTHORIZE: &str = "[webhooks]\nsecret = \"S\"\nauthorize = \"https://a.example/\"\n";
const MAY_JOIN: &str = "[webhooks]\nsecret = \"S\"\nmay_join = \"https://a.example/\"\n";
const EVENTS: &str = "[webhooks]\nsecret = \"S\"\nevents = \"https://a.example/\"\n";
const MESSAGES: &str =
    "[webhooks]\nsecret = \"S\"\nevents = \"https://a.example/\"\nkinds = [\"message\"]\n";
const READER: &str =
    "[operator]\nlisten = \"127.0.0.1:9\"\n[[api_key]]\nname = \"a\"\nfile = \"S\"\n";
const CLUSTER: &str = "[cluster]\nurl = \"nats://127.0.0.1\"\n";
const HISTORY: &str = "[[room]]\npattern = \"a\"\nhistory = 1\n";

const DEPENDENT: &[Dependent] = &[
    needs("proxy_protocol", "true", "trust_proxy", "trust_proxy = [\"10.0.0.1\"]"),
    needs("operator.page", "true", "[[api_key]]", READER),
    needs("tls.certificate", "C", "tls.key", "[tls]\nkey = \"K\""),
    needs("tls.key", "K", "tls.certificate", "[tls]\ncertificate = \"C\""),
    needs("jwt.refresh", "1m", "jwt.jwks", "[jwt]\njwks = \"https://a.example/\""),
    needs("jwt.issuer", "a", "jwt.secret", TOKENS),
    needs("jwt.audience", "a", "jwt.secret", TOKENS),
    needs("jwt.leeway", "1s", "jwt.secret", TOKENS),
    needs("jwt.user_claim", "a", "jwt.secret", TOKENS),
    needs("jwt.info_claim", "a", "jwt.secret", TOKENS),
    needs("jwt.rooms_claim", "a", "jwt.secret", TOKENS),
    needs("webhooks.secret", "S", "webhooks.events", "[webhooks]\nevents = \"https://a.example/\""),
    needs("webhooks.authorize", "https://a.example/", "webhooks.secret", SECRET),
    needs("webhooks.may_join", "https://a.example/", "webhooks.secret", SECRET),
    needs("webhooks.events", "https://a.example/", "webhooks.secret", SECRET),
    needs("webhooks.headers", "Cookie", "webhooks.authorize", AUTHORIZE),
    needs("webhooks.rooms", "a", "webhooks.may_join", MAY_JOIN),
    needs("webhooks.kinds", "joined", "webhooks.events", EVENTS),
    needs("webhooks.message_events", "a", "webhooks.kinds", MESSAGES),
    needs("webhooks.plain_http", "true", "webhooks.authorize", AUTHORIZE),
    needs("webhooks.timeout", "1s", "webhooks.events", EVENTS),
    needs("webhooks.concurrency", "1", "webhooks.may_join", MAY_JOIN),
    needs("webhooks.queue", "1", "webhooks.events", EVENTS),
    needs("webhooks.queue_bytes", "1 KiB", "webhooks.events", MESSAGES),
    needs("webhooks.batch", "1", "webhooks.events", EVENTS),
    needs("webhooks.retries", "1", "webhooks.events", EVENTS),
    needs("webhooks.retry_after", "1s", "webhooks.events", EVENTS),
    needs("cluster.name", "a", "cluster.url", CLUSTER),
    needs("cluster.node", "a", "cluster.url", CLUSTER),
    needs("limits.max_info", "1 MiB", "client_info", "client_info = true"),
    needs("limits.max_history", "1 MiB", "[[room]]", HISTORY),
    needs("limits.max_connections_per_user", "1", "webhooks.authorize", AUTHORIZE),
    needs("rates.infos", "1", "client_info", "client_info = true"),
];

/// Options that need the extended protocol, either directly or because they need another option
/// that does.
const EXTENDED: &[&str] = &[
    "client_info",
    "jwt.info_claim",
    "limits.max_history",
    "limits.max_info",
    "limits.max_requests",
    "limits.max_detached",
    "limits.resume_buffer",
    "rates.infos",
    "timeouts.resume",
    "timeouts.retry",
];

/// The files to which options refer.
struct Files {
    secret: TempFile,
    certificate: TempFile,
    key: TempFile,
}

impl Files {
    fn new() -> Files {
        let (certificate, key) = certificate();
        Files { secret: TempFile::new("secret", "x".repeat(32)), certificate, key }
    }

    fn path<'a>(&'a self, value: &'a str) -> &'a str {
        match value {
            "S" => self.secret.path(),
            "C" => self.certificate.path(),
            "K" => self.key.path(),
            value => value,
        }
    }

    fn fill(&self, text: &str) -> String {
        ["S", "C", "K"].iter().fold(text.to_owned(), |text, name| {
            text.replace(&format!("{name:?}"), &format!("{:?}", self.path(name)))
        })
    }
}

/// Checks a file together with an option that is given as a flag. Returns the errors.
fn check(file: &str, key: &str, value: &str) -> Result<(), String> {
    let file = TempFile::new("effects.toml", file);
    let done = run(&["check", file.path(), &flag(key), value]);
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8(done.stderr).unwrap()),
    }
}

fn flag(key: &str) -> String {
    format!("--{}", key.replace(['.', '_'], "-"))
}

/// If an option is added, this test fails until the option is in one of the lists above, which the
/// other tests use.
#[test]
fn lists_contain_each_option() {
    let printed = succeeds(&run(&["serve", "--print-config"]));
    let mut section = String::new();
    let mut all = Vec::new();
    for line in printed.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((name, _)) = line.trim_start_matches("# ").split_once(" = ") {
            all.push(format!("{section}{name}"));
        }
    }
    let dependent = DEPENDENT.iter().map(|option| option.key);
    let mut listed: Vec<_> = ALWAYS.iter().map(|(key, _)| *key).chain(dependent).collect();
    all.sort_unstable();
    listed.sort_unstable();
    assert_eq!(all, listed);
}

#[test]
fn each_option_has_effect_or_names_its_requirement() {
    let files = Files::new();
    for (key, value) in ALWAYS {
        assert_eq!(check("", key, files.path(value)), Ok(()), "{key}");
    }
    for Dependent { key, value, remedy, beside } in DEPENDENT {
        let (value, beside) = (files.path(value), files.fill(beside));
        let error = check("", key, value).expect_err(key);
        let start = format!("roomer: {}: {key}: ", flag(key));
        assert!(error.starts_with(&start) && error.contains(remedy), "{start}…{remedy}: {error}");
        assert_eq!(check(&beside, key, value), Ok(()), "{key} beside {beside}");
    }
}

#[test]
fn extended_options_are_rejected_with_plain_protocol() {
    let files = Files::new();
    let alone = ALWAYS.iter().map(|(key, value)| (*key, *value, ""));
    let beside = DEPENDENT.iter().map(|option| (option.key, option.value, option.beside));
    for (key, value, beside) in alone.chain(beside).filter(|(key, ..)| *key != "extended") {
        let file = format!("extended = false\n{}", files.fill(beside));
        let checked = check(&file, key, files.path(value));
        assert_eq!(checked.is_err(), EXTENDED.contains(&key), "{key}: {checked:?}");
        let Err(error) = checked else { continue };
        assert!(error.contains("`extended`"), "{key}: {error}");
    }
    // With the API, the info and histories of plain clients can be read too.
    let reader = files.fill(READER);
    let file = format!("extended = false\n{}{reader}", files.fill(TOKENS));
    for (key, value) in [("jwt.info_claim", "a"), ("limits.max_info", "1 MiB")] {
        assert_eq!(check(&file, key, value), Ok(()), "{key}");
    }
    let file = format!("extended = false\n{HISTORY}{reader}");
    assert_eq!(check(&file, "limits.max_history", "1 MiB"), Ok(()));
}

#[test]
fn settings_without_effect_are_rejected() {
    let files = Files::new();
    for (file, key, value, words) in [
        ("[timeouts]\nresume = 0", "limits.max_detached", "1", "timeouts.resume = 0"),
        ("[timeouts]\nresume = 0", "limits.resume_buffer", "1 KiB", "timeouts.resume = 0"),
        ("[jwt]\nsecret = \"S\"", "jwt.refresh", "1m", "https://"),
        (EVENTS, "webhooks.kinds", "", "is empty"),
        (EVENTS, "webhooks.concurrency", "1", "webhooks.may_join"),
        (EVENTS, "webhooks.queue_bytes", "1 KiB", "webhooks.kinds"),
        (MAY_JOIN, "webhooks.queue", "1", "webhooks.events"),
    ] {
        let error = check(&files.fill(file), key, value).expect_err(key);
        assert!(error.starts_with(&format!("roomer: {}: {key}: ", flag(key))), "{error}");
        assert!(error.contains(words), "{key}: {words}: {error}");
    }
}
