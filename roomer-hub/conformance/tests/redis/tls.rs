//! Tests TLS between nodes and Redis, with certificates of a test authority.

use super::super::links::authority::Authority;
use super::*;

/// Starts a server that accepts only TLS. `clients` is `yes` if clients must present a certificate,
/// and `no` otherwise.
fn serve(authority: &Authority, clients: &str, args: &[&str]) -> Redis {
    authority.certify("server", "127.0.0.1", 2999);
    let (cert, key) = (authority.file("server"), authority.file("server-key"));
    let ca = authority.file("ca");
    let tls = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    Redis::start_tls(&[&tls[..], &["--tls-auth-clients", clients], args].concat())
}

#[test]
fn frames_travel_over_tls() {
    Runtime::run(async {
        let authority = Authority::new();
        let server = serve(&authority, "no", &["--requirepass", "p"]);
        let address = format!("{}?ca={}", server.address(":p@"), authority.file("ca"));
        let (mut a, mut b) = (Node::up(1, &address).await, Node::up(2, &address).await);
        for length in [0, 1, 5000, 1_048_576, 3] {
            a.publish(Subject::Node(b.id), pattern(length)).await;
            let ((), frame) = join(a.flush(), b.frame()).await;
            assert!(frame == pattern(length), "{length} bytes");
        }
    });
}

#[test]
fn rejected_certificate_error_names_remedy() {
    Runtime::run(async {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let server = serve(&authority, "no", &[]);
        let found = reason(&format!("{}?ca={}", server.address(""), stranger.file("ca"))).await;
        assert!(found.contains("TLS fails: ") && found.contains("UnknownIssuer"), "{found}");
    });
}

#[test]
fn tls_and_plain_text_mismatch_fails() {
    Runtime::run(async {
        let authority = Authority::new();
        let (secure, plain) = (serve(&authority, "no", &[]), Redis::start(&[]));
        // The server either sends an alert or closes the connection, depending on its version.
        let found = reason(&secure.address("").replace("rediss", "redis")).await;
        assert!(found.contains("expects TLS") || found.contains("the connection"), "{found}");
        let address = plain.address("").replace("redis", "rediss");
        let address = format!("{address}?ca={}", authority.file("ca"));
        let found = Node::new(1, &address).expect_down().await;
        // A server without TLS answers only if there happens to be a line end in the random bytes
        // of the client hello.
        let is_due =
            found.contains("TLS fails: ") || found.ends_with(": TLS does not start within 2 s");
        assert!(is_due, "{found}");
    });
}

#[test]
fn client_certificate_is_presented() {
    Runtime::run(async {
        let authority = Authority::new();
        authority.certify("node", "node", 2999);
        let server = serve(&authority, "yes", &[]);
        let address = format!("{}?ca={}", server.address(""), authority.file("ca"));
        let (cert, key) = (authority.file("node"), authority.file("node-key"));
        let mut a = Node::up(1, &format!("{address}&cert={cert}&key={key}")).await;
        assert!(a.carrier.publish(Subject::All, "".into()));
        let found = reason(&address).await;
        assert!(found.contains("ertificate") || found.contains("the connection"), "{found}");
    });
}
