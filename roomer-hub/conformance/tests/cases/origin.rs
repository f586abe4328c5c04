//! Which web pages may connect: the origin check (sections 2 and 12).

use super::site::Site;
use roomer_conformance::http::Ask;

fn status(site: &Site, origin: &str) -> u16 {
    Ask::upgrade(site.addr).add("Origin", origin).head(site.addr).status
}

#[test]
fn by_default_pages_of_the_same_host_may_connect() {
    let site = Site::open();
    assert_eq!(status(&site, &format!("http://{}", site.addr)), 101);
    assert_eq!(status(&site, &format!("HTTP://{}", site.addr)), 101);
    let ask = Ask::upgrade(site.addr).set("Host", "Chat.Example");
    let head = |origin| ask.clone().add("Origin", origin).head(site.addr).status;
    assert_eq!(head("https://chat.example"), 101);
    assert_eq!(head("http://chat.example:80"), 101);
    assert_eq!(head("http://chat.example:8080"), 403);
}

#[test]
fn by_default_pages_of_other_hosts_are_403_and_the_version_is_named() {
    let site = Site::open();
    let port = site.addr.port();
    for origin in [
        "https://elsewhere.example",
        &format!("http://127.0.0.1:{}", port ^ 1),
        &format!("http://127.0.0.1.elsewhere.example:{port}"),
        &format!("http://{}@elsewhere.example", site.addr),
        &format!("http://elsewhere.example/{}", site.addr),
        "null",
        "",
    ] {
        let answer = Ask::upgrade(site.addr).add("Origin", origin).refused(site.addr);
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
}

#[test]
fn who_sends_no_origin_is_no_browser_and_may_connect() {
    let site = Site::open();
    assert_eq!(Ask::upgrade(site.addr).head(site.addr).status, 101);
}

#[test]
fn listed_origins_may_connect_too() {
    let site = Site::with(|builder| {
        builder.allow_origin("https://a.example").allow_origin("http://b.example:8000")
    });
    for origin in ["https://a.example", "https://A.example:443", "http://b.example:8000"] {
        assert_eq!(status(&site, origin), 101, "{origin}");
    }
    assert_eq!(status(&site, &format!("http://{}", site.addr)), 101, "the same host still may");
    for origin in ["http://a.example", "https://b.example:8000", "https://x.a.example"] {
        assert_eq!(status(&site, origin), 403, "{origin}");
    }
}

#[test]
fn any_origin_may_connect_where_that_is_chosen() {
    for site in [Site::with(|builder| builder.allow_origin("any")), Site::compat()] {
        for origin in ["https://elsewhere.example", "null", ""] {
            assert_eq!(status(&site, origin), 101, "{origin}");
        }
    }
}

#[test]
fn two_origins_are_one_too_many() {
    let site = Site::open();
    let own = format!("http://{}", site.addr);
    let ask =
        Ask::upgrade(site.addr).add("Origin", &own).add("Origin", "https://elsewhere.example");
    assert_eq!(ask.refused(site.addr).status, 403);
}
