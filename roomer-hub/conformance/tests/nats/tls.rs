//! Tests TLS between nodes and NATS, with certificates of a test authority.

use super::super::links::authority::Authority;
use super::*;

const LOGIN: &str = "authorization { user: u, password: p, timeout: 30 }";

/// Starts a server that requires TLS, and has the certificate of this name. `tls` and `more` are
/// further lines of its configuration.
fn serve(authority: &Authority, program: &Path, name: &str, [tls, more]: [&str; 2]) -> Nats {
    let (cert, key) = (authority.file(name), authority.file(&format!("{name}-key")));
    // By default, the server waits for two seconds. On a busy machine, the handshake may take longer.
    let config =
        format!("tls {{ cert_file: {cert:?}, key_file: {key:?}, timeout: 30\n{tls} }}\n{more}\n");
    Nats::configured(program, &config)
}

/// Returns the server's address, with the option that makes the node trust only this authority.
fn address(authority: &Authority, server: &Nats) -> String {
    format!("tls://127.0.0.1:{}?ca={}", server.port, authority.file("ca"))
}

#[test]
fn frames_travel_over_tls() {
    each_server(async |program| {
        let authority = Authority::new();
        authority.certify("server", "127.0.0.1", 2999);
        let server = serve(&authority, program, "server", ["", LOGIN]);
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

        let server = serve(&authority, program, "server", [""; 2]);
        let found = rejection(&address(&stranger, &server)).await;
        assert!(found.contains(": TLS fails: ") && found.contains("UnknownIssuer"), "{found}");
        let missing = format!("tls://127.0.0.1:{}?ca=missing.pem", server.port);
        let found = rejection(&missing).await;
        assert!(found.contains("the certificate missing.pem: "), "{found}");
        let key = format!("tls://127.0.0.1:{}?ca={}", server.port, authority.file("server-key"));
        let found = rejection(&key).await;
        assert!(found.contains("has no certificate in PEM"), "{found}");
        // If the server requires TLS, `nats://` uses it too, but the system does not trust this
        // authority.
        let found = rejection(&server.address("")).await;
        assert!(found.contains("TLS fails: ") || found.contains("write ?ca=FILE"), "{found}");

        let server = serve(&authority, program, "expired", [""; 2]);
        let found = rejection(&address(&authority, &server)).await;
        assert!(found.contains(": TLS fails: ") && found.contains("xpired"), "{found}");

        let server = serve(&authority, program, "other", [""; 2]);
        let found = rejection(&address(&authority, &server)).await;
        assert!(found.contains(": TLS fails: ") && found.contains("valid for"), "{found}");
    });
}

#[test]
fn login_for_tls_is_not_sent_in_plain_text() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let found = rejection(&address(&Authority::new(), &server)).await;
        assert!(found.contains("it does not offer TLS"), "{found}");
    });
}

#[test]
fn client_certificate_is_presented() {
    each_server(async |program| {
        let authority = Authority::new();
        authority.certify("server", "127.0.0.1", 2999);
        authority.certify("node", "node", 2999);
        let verify = format!("verify: true, ca_file: {:?}", authority.file("ca"));
        let server = serve(&authority, program, "server", [&verify, ""]);
        let address = address(&authority, &server);
        let (cert, key) = (authority.file("node"), authority.file("node-key"));
        let mut a = Node::up(1, &format!("{address}&cert={cert}&key={key}")).await;
        assert!(a.carrier.publish(Subject::All, "".into()));
        let found = rejection(&address).await;
        assert!(found.contains("ertificate") || found.contains("the connection"), "{found}");
    });
}
