//! Tests the operators' page without a browser. `js/test/browser/admin.browser.test.js` uses one.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Answer, Serving, TempFile, roomer};

const KEY: &str = "the-key-of-an-operator-1";

/// Starts a server with the operators' page. Its queues have space for output that a client does
/// not read.
fn start(page: &str) -> (Serving, [TempFile; 2]) {
    let key = TempFile::new("key", KEY);
    let text = format!(
        "[operator]\npage = {page}\n[limits]\nmax_backlog = \"8 MiB\"\n[timeouts]\nwrite = \"5m\"\n\
         [[api_key]]\nname = \"a\"\nfile = {:?}\n",
        key.path()
    );
    let file = TempFile::new("admin.toml", text);
    (Serving::start_with(&mut roomer(&["serve", file.path()])), [key, file])
}

#[test]
fn page_loads_no_external_resources_and_forbids_framing() {
    let (serving, _files) = start("true");
    let page = serving.get("/admin/");
    assert_eq!(page.status, 200);
    let policy = "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; \
                  img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                  frame-ancestors 'none'";
    let expected = [
        policy,
        "content-type: text/html; charset=utf-8",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
        "cache-control: no-cache",
    ];
    for header in expected {
        assert!(page.head.contains(header), "{header}: {}", page.head);
    }
    let mut texts = vec![page.text().to_owned()];
    for (before, after) in [("href=\"", "\""), ("src=\"", "\"")] {
        for name in page.text().split(before).skip(1).map(|rest| rest.split(after).next().unwrap())
        {
            if !name.starts_with("data:") {
                let file = serving.get(&format!("/admin/{name}"));
                assert_eq!(file.status, 200, "{name}");
                texts.push(file.text().to_owned());
            }
        }
    }
    assert_eq!(texts.len(), 3, "the page, its style and its program");
    for text in texts {
        let elsewhere = text.split("http").skip(1).filter(|rest| rest.starts_with("s://"));
        assert_eq!(elsewhere.count(), 0);
    }
    let short = serving.get("/admin");
    assert!(
        short.status == 308 && short.head.contains("\r\nlocation: /admin/\r\n"),
        "{}",
        short.head
    );
    assert_eq!(serving.request("POST", "/admin/", &[], b"").status, 405);
    // The clients' listener must not serve the page.
    let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
    let mut public = TcpStream::connect(host).unwrap();
    write!(public, "GET /admin/ HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(Answer::read(&mut public).status, 404);
}

#[test]
fn page_is_served_only_if_configured() {
    let (serving, _files) = start("false");
    for path in ["/admin", "/admin/", "/admin/main.js"] {
        // Without a key, the API must not reveal which paths exist.
        assert_eq!(serving.get(path).status, 401, "{path}");
    }
}

#[test]
fn slow_readers_are_listed() {
    let (serving, _files) = start("true");
    let key = format!("Authorization: Bearer {KEY}");
    let slowest = || serving.request("GET", "/v1/slowest?limit=5", &[&key], b"").json();
    assert_eq!(slowest(), serde_json::json!({ "connections": [] }));
    let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
    let mut slow = TcpStream::connect(host).unwrap();
    write!(
        slow,
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    slow.read_exact(&mut [0; 12]).unwrap();
    let body = "x".repeat(60_000);
    let listed = loop {
        let sent =
            serving.request("POST", "/v1/rooms/root/messages/news", &[&key], body.as_bytes());
        assert_eq!(sent.status, 200);
        let listed = slowest();
        if listed["connections"][0]["waiting_bytes"].as_u64().is_some() {
            break listed;
        }
    };
    assert_eq!(listed["connections"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(serving.request("GET", "/v1/slowest", &[], b"").status, 401);
}
