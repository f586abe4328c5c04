//! Tests TLS between nodes and NATS, with certificates of a test authority.

use super::super::links::authority::Authority;
use super::*;

/// Starts a server that requires TLS, and has the certificate of this name.
fn serve(authority: &Authority, program: &Path, name: &str, args: &[&str]) -> Nats {
    let (cert, key) = (authority.file(name), authority.file(&format!("{name}-key")));
    let tls = ["--tls", "--tlscert", &cert, "--tlskey", &key];
    Nats::start(program, &[&tls[..], args].concat())
}

/// Returns the server's address, with the option that makes the node trust only this authority.
fn address(authority: &Authority, server: &Nats) -> String {
    format!("tls://127.0.0.1:{}?ca={}", server.port, authority.file("ca"))
}

async fn reason(address: &str) -> String {
    Node::new(1, address).expect_down().await
}

#[test]
fn frames_travel_over_tls() {
    each_server(async |program| {
        let authority = Authority::new();
        authority.certify("server", "127.0.0.1", 2999);
        let server = serve(&authority, program, "server", &["--user", "u", "--pass", "p"]);
        let address = address(&authority, &server).replace("tls://", "tls://u:p@");
        let (mut a, mut b) = (Node::up(1, &address).await, Node::up(2, &address).await);
        for length in [0, 1, 5000, 1_048_576, 3] {
            a.publish(Subject::Node(b.id), pattern(length)).await;
            let ((), frame) = futures_util::future::join(a.flush(), b.frame()).await;
            assert!(frame == pattern(length), "{length} bytes");
        }
    });
}

#[test]
fn rejected_certificate_error_names_remedy() {
    each_server(async |program| {
        let (authority, stranger) = (Authority::new(), Authority::new());
        authority.certify("server", "127.0.0.1", 2999);
        authority.certify("expired", "127.0.0.1", 2021);
        authority.certify("other", "broker.example", 2999);

        let server = serve(&authority, program, "server", &[]);
        let found = reason(&address(&stranger, &server)).await;
        assert!(found.contains(": TLS fails: ") && found.contains("UnknownIssuer"), "{found}");
        let missing = format!("tls://127.0.0.1:{}?ca=missing.pem", server.port);
        let found = reason(&missing).await;
        assert!(found.contains("the certificate missing.pem: "), "{found}");
        let key = format!("tls://127.0.0.1:{}?ca={}", server.port, authority.file("server-key"));
        let found = reason(&key).await;
        assert!(found.contains("has no certificate in PEM"), "{found}");
        // If the server requires TLS, `nats://` uses it too, but the system does not trust this
        // authority.
        let found = reason(&server.address("")).await;
        assert!(found.contains("TLS fails: ") || found.contains("write ?ca=FILE"), "{found}");

        let server = serve(&authority, program, "expired", &[]);
        let found = reason(&address(&authority, &server)).await;
        assert!(found.contains(": TLS fails: ") && found.contains("xpired"), "{found}");

        let server = serve(&authority, program, "other", &[]);
        let found = reason(&address(&authority, &server)).await;
        assert!(found.contains(": TLS fails: ") && found.contains("valid for"), "{found}");
    });
}

#[test]
fn login_for_tls_is_not_sent_in_plain_text() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let found = reason(&address(&Authority::new(), &server)).await;
        assert!(found.contains("it does not offer TLS"), "{found}");
    });
}

#[test]
fn client_certificate_is_presented() {
    each_server(async |program| {
        let authority = Authority::new();
        authority.certify("server", "127.0.0.1", 2999);
        authority.certify("node", "node", 2999);
        let ca = authority.file("ca");
        let server = serve(&authority, program, "server", &["--tlsverify", "--tlscacert", &ca]);
        let address = address(&authority, &server);
        let (cert, key) = (authority.file("node"), authority.file("node-key"));
        let mut a = Node::up(1, &format!("{address}&cert={cert}&key={key}")).await;
        assert!(a.carrier.publish(Subject::All, "".into()));
        let found = reason(&address).await;
        assert!(found.contains("ertificate") || found.contains("the connection"), "{found}");
    });
}
