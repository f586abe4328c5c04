//! Pages over plain HTTP, beside the WebSocket on the same port.

use super::site::Site;
use roomer_conformance::http::Ask;

fn site() -> Site {
    Site::with(|builder| {
        builder
            .page("/", "text/html; charset=utf-8", "<h1>é</h1>")
            .page("/app.js", "text/javascript", "go()")
            .page("/empty", "text/plain", "")
    })
}

#[test]
fn a_page_is_served_whole_with_its_type() {
    let site = site();
    for (target, kind, body) in [
        ("/", "text/html; charset=utf-8", "<h1>é</h1>"),
        ("/app.js?v=1", "text/javascript", "go()"),
        ("/empty", "text/plain", ""),
    ] {
        let answer = Ask::plain(site.addr).target(target).refused(site.addr);
        assert_eq!((answer.status, &*answer.body), (200, body.as_bytes()), "{target}");
        assert_eq!(answer.header("content-type"), Some(kind));
    }
}

#[test]
fn a_page_s_head_has_no_body() {
    let site = site();
    let answer = Ask::plain(site.addr).target("/").method("HEAD").refused(site.addr);
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("11")));
}

#[test]
fn a_page_answers_no_other_method() {
    let site = site();
    for method in ["POST", "PUT", "DELETE"] {
        let answer = Ask::plain(site.addr).target("/").method(method).refused(site.addr);
        assert_eq!(answer.status, 405, "{method}");
    }
}

#[test]
fn everything_else_is_404() {
    let site = site();
    for target in ["/ws/", "/WS", "/wss", "/app", "//", "/app.js/"] {
        assert_eq!(
            Ask::upgrade(site.addr).target(target).refused(site.addr).status,
            404,
            "{target}"
        );
        assert_eq!(Ask::plain(site.addr).target(target).refused(site.addr).status, 404, "{target}");
    }
}

#[test]
fn the_websocket_can_be_elsewhere() {
    let site = Site::with(|builder| builder.path("/rooms"));
    assert_eq!(Ask::upgrade(site.addr).target("/rooms").head(site.addr).status, 101);
    assert_eq!(Ask::upgrade(site.addr).refused(site.addr).status, 404);
}

#[test]
fn a_folder_s_path_without_its_slash_leads_to_its_page() {
    let site = Site::with(|builder| {
        builder.page("/gallery/", "text/plain", "g").page("/both", "text/plain", "b").page(
            "/both/",
            "text/plain",
            "c",
        )
    });
    let get = |target| Ask::plain(site.addr).target(target).refused(site.addr);
    for (target, location) in [("/gallery", "/gallery/"), ("/gallery?a=b&c", "/gallery/?a=b&c")] {
        let answer = get(target);
        assert_eq!((answer.status, answer.header("location")), (308, Some(location)));
    }
    assert_eq!((get("/gallery/").status, &*get("/both").body), (200, &b"b"[..]));
    for target in ["/galler", "//gallery", "/gallery//"] {
        assert_eq!(get(target).status, 404, "{target}");
    }
    let post = Ask::plain(site.addr).target("/gallery").method("POST").refused(site.addr);
    assert_eq!(post.status, 405);
}

#[test]
fn load_balancers_may_ask_by_options() {
    let site = Site::with(|builder| {
        builder.page("/page", "text/plain", "").health("/live", "/ready").max_connections(1)
    });
    let options =
        |target| Ask::plain(site.addr).target(target).method("OPTIONS").refused(site.addr);
    for target in ["/", "*", "/page", "/live", "/ready"] {
        let answer = options(target);
        assert_eq!(answer.status, 200, "{target}");
        assert!(answer.header("allow").unwrap().contains("OPTIONS"), "{target}");
    }
    assert_eq!(options("/nowhere").status, 404);
    assert_eq!(options("/ws").status, 405);
    let _last = site.client();
    let answer = options("/ready");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "it is full");
    assert_eq!(options("/live").status, 200);
}
