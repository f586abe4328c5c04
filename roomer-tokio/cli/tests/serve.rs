//! Tests `roomer serve` as a program, over real sockets.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{self, Answer, Serving, Tail, TempFile, certificate, roomer, run, succeeds};
use roomer_conformance::http::refusing_port;
use rustix::process::Signal;
use serde_json::Value;

#[test]
fn server_serves_clients_and_operators_and_drains_on_signal() {
    let mut serving = Serving::start(&["--client-info", "true"]);
    succeeds(&run(&["send", &serving.url, "lobby", "chat", "hello"]));
    let metrics = serving.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert!(metrics.head.contains("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
    assert!(metrics.text().contains("\nroomer_opened_total 1\n"), "{}", metrics.text());
    for path in ["/live", "/ready"] {
        assert_eq!(serving.get(path).text(), "ok\n");
        // HAProxy's health checks use OPTIONS by default.
        assert_eq!(serving.request("OPTIONS", path, &[], b"").status, 200);
        // The clients' listener also answers health checks, which load balancers send.
        let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
        let mut public = TcpStream::connect(host).unwrap();
        write!(public, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(Answer::read(&mut public).status, 200);
        // The clients' listener must not serve metrics.
        let mut public = TcpStream::connect(host).unwrap();
        write!(public, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert_eq!(Answer::read(&mut public).status, 404);
    }
    serving.signal(Signal::TERM);
    serving.logged("drain ended");
    serving.logged("stopped");
    assert!(serving.wait().success());
}

#[test]
fn presence_in_root_requires_pattern_root() {
    for (pattern, is_shown) in [("*", false), ("r*", false), ("root", true)] {
        let text = format!("[[room]]\npattern = {pattern:?}\npresence = \"full\"\n");
        let file = TempFile::new("root.toml", text);
        let serving = Serving::start(&[file.path()]);
        let _other = Tail::start(&serving, "lobby", &[]);
        let listed = run(&["members", &serving.url, "root", "--json"]);
        let has_ids = String::from_utf8(listed.stdout).unwrap().contains("\"id\"");
        assert_eq!(has_ids, is_shown, "{pattern}");
    }
}

#[test]
fn log_contains_memory_budget() {
    let file = TempFile::new("budget.toml", "[limits]\nmemory_budget = \"96 MiB\"\n");
    let serving = Serving::start(&[file.path()]);
    assert_eq!(serving.memory_budget, "96 MiB");
    let serving = Serving::start(&[]);
    let of_the_machine = &serving.memory_budget;
    let number = of_the_machine.strip_suffix(" MiB").unwrap().parse::<u32>().unwrap();
    assert!((1..=1024).contains(&number), "{of_the_machine}");
}

#[test]
fn room_rules_of_file_apply() {
    let file = TempFile::new(
        "rooms.toml",
        "[[room]]\npattern = \"news*\"\nhistory = 2\n[[room]]\npattern = \"*\"\npresence = \"off\"\n",
    );
    let serving = Serving::start(&[file.path()]);
    let url = &*serving.url;
    for text in ["1", "2", "3"] {
        succeeds(&run(&["send", url, "news", "item", text]));
        succeeds(&run(&["send", url, "lobby", "item", text]));
    }
    let tail = run(&["tail", url, "news", "--history", "9", "--count", "2", "--json"]);
    let texts: Vec<Value> = succeeds(&tail)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].clone())
        .collect();
    assert_eq!(texts, ["2", "3"]);
}

#[test]
fn clients_connect_over_tls() {
    let (certificate, key) = certificate();
    let serving =
        Serving::start(&["--tls-certificate", certificate.path(), "--tls-key", key.path()]);
    assert!(serving.url.starts_with("wss://"));
    let url = serving.url.replace("127.0.0.1", "localhost");
    succeeds(&run(&["send", &url, "lobby", "chat", "x", "--ca", certificate.path()]));
    // If the key does not belong to the certificate, the server must not start.
    let (_, other) = support::certificate();
    let files = ["--tls-certificate", certificate.path(), "--tls-key", other.path()];
    let done = run(&[&["check"][..], &files].concat());
    let error = String::from_utf8(done.stderr).unwrap();
    assert!(error.contains("--tls-key: tls.key: does not match the certificate"), "{error}");
}

#[test]
fn tls_mistakes_are_reported_with_remedy() {
    let sent = |url: &str, ca: &TempFile| {
        let (_, rest) = url.split_once("://127.0.0.1").unwrap();
        let url = format!("wss://localhost{rest}");
        let done = run(&["send", &url, "lobby", "chat", "x", "--ca", ca.path()]);
        assert_eq!(done.status.code(), Some(3));
        String::from_utf8(done.stderr).unwrap()
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".into()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = TempFile::new("ca.pem", params.self_signed(&key).unwrap().pem());
    let key = TempFile::new("ca.key", key.serialize_pem());
    let serving = Serving::start(&["--tls-certificate", authority.path(), "--tls-key", key.path()]);
    let error = sent(&serving.url, &authority);
    assert!(error.contains("CA:FALSE"), "{error}");
    let error = sent(&Serving::start(&[]).url, &authority);
    assert!(error.contains("does not use TLS"), "{error}");
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = TempFile::new("locked.key", text);
    let files = ["--tls-certificate", authority.path(), "--tls-key", locked.path()];
    let error = String::from_utf8(run(&[&["check"][..], &files].concat()).stderr).unwrap();
    assert!(error.contains("is encrypted: decrypt it"), "{error}");
}

#[test]
fn unreachable_broker_does_not_reject_clients() {
    let (_held, port) = refusing_port();
    let broker = format!("nats://127.0.0.1:{port}");
    let serving = Serving::start(&["--cluster-url", &broker, "--cluster-node", "a"]);
    succeeds(&run(&["send", &serving.url, "lobby", "chat", "hello"]));
    let metrics = serving.get("/metrics");
    assert!(metrics.text().contains("roomer_cluster_link_up 0"), "{}", metrics.text());
}

#[test]
fn address_in_use_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["listen", "operator.listen"] {
        let flag = format!("--{}", key.replace('.', "-"));
        let other = if key == "listen" { "--operator-listen" } else { "--listen" };
        let done = run(&["serve", &flag, &address, other, "127.0.0.1:0"]);
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(2));
        assert!(error.contains(&format!("{flag}: {key}: cannot listen at {address}")), "{error}");
    }
}

#[test]
fn slow_and_invalid_operator_requests_end() {
    let serving = Serving::start(&[]);
    assert_eq!(serving.request("POST", "/metrics", &[], b"x").status, 405);
    assert_eq!(serving.get("/../etc/passwd").status, 404);
    let long = format!("X: {}", "x".repeat(20_000));
    assert_eq!(serving.request("GET", "/live", &[&long], b"").status, 431);
    let heads = ["GET /live HTTP/1.1\r\nHost: x\r\n", "", "GET /live HTTP/1.1\r\nHost: x\r\n\r\n"];
    let streams = heads.map(|head| {
        let mut stream = TcpStream::connect(&serving.operator).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    });
    // The server must close connections that stop sending, whether or not they have sent a request
    // before.
    for mut stream in streams {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
    }
    assert_eq!(serving.get("/live").status, 200);
}

#[test]
fn sighup_reloads_certificates_and_keeps_old_on_mistake() {
    let ((first, first_key), (second, second_key)) = (certificate(), certificate());
    let (files, key) = (certificate(), TempFile::new("key", "the-first-key-of-an-api"));
    let copy = |from: &TempFile, to: &TempFile| {
        std::fs::copy(from.path(), to.path()).unwrap();
    };
    copy(&first, &files.0);
    copy(&first_key, &files.1);
    let text = format!("[[api_key]]\nname = \"a\"\nfile = {:?}\n", key.path());
    let file = TempFile::new("reload.toml", text);
    let tls = ["--tls-certificate", files.0.path(), "--tls-key", files.1.path()];
    let mut serving = Serving::start_with(roomer(&["serve", file.path()]).args(tls));
    let url = serving.url.replace("127.0.0.1", "localhost");
    let connects = |ca: &TempFile| {
        run(&["send", &url, "lobby", "chat", "x", "--ca", ca.path()]).status.success()
    };
    let opens = |serving: &Serving, key: &str| {
        let header = format!("Authorization: Bearer {key}");
        serving.request("GET", "/v1/stats", &[&header], b"").status
    };
    assert!(connects(&first) && !connects(&second));
    assert_eq!(opens(&serving, "the-first-key-of-an-api"), 200);

    // Replace the certificate, but not its key.
    copy(&second, &files.0);
    serving.signal(Signal::HUP);
    let problem = serving.logged("cannot read the configuration again: all of the old one stays");
    assert!(problem["problem"].as_str().unwrap().contains("does not match"), "{problem}");
    assert!(connects(&first));

    copy(&second_key, &files.1);
    std::fs::write(key.path(), "the-second-key-of-an-api").unwrap();
    serving.signal(Signal::HUP);
    serving.logged("configuration read again");
    assert!(connects(&second) && !connects(&first));
    assert_eq!(opens(&serving, "the-first-key-of-an-api"), 401);
    assert_eq!(opens(&serving, "the-second-key-of-an-api"), 200);
}
