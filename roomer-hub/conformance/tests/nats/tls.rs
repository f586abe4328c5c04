//! TLS with certificates of the tests' own authority.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};

use super::*;

/// A folder of certificates; names of files in it are made from names of subjects.
struct Authority {
    folder: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (folder, name) = (env!("CARGO_TARGET_TMPDIR"), env!("CARGO_CRATE_NAME"));
        let folder = format!("{folder}/{name}-{number}");
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority {number}"));
        let key = KeyPair::generate().unwrap();
        fs::write(format!("{folder}/ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { folder, issuer: Issuer::new(params, key) }
    }

    fn file(&self, name: &str) -> String {
        format!("{}/{name}.pem", self.folder)
    }

    /// Writes a certificate with its key, for a host or an IP address, which expires in `year`.
    fn certify(&self, name: &str, host: &str, year: i32) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert: Certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.file(name), cert.pem()).unwrap();
        fs::write(self.file(&format!("{name}-key")), key.serialize_pem()).unwrap();
    }

    /// Starts a server that requires TLS, with one of the certificates.
    fn serve(&self, program: &Path, name: &str, args: &[&str]) -> Nats {
        let (cert, key) = (self.file(name), self.file(&format!("{name}-key")));
        let tls = ["--tls", "--tlscert", &cert, "--tlskey", &key];
        Nats::start(program, &[&tls[..], args].concat())
    }

    /// The address of a server, with this authority as the only one.
    fn address(&self, server: &Nats) -> String {
        format!("tls://127.0.0.1:{}?ca={}", server.port, self.file("ca"))
    }
}

async fn reason(address: &str) -> String {
    Node::new(1, address).expect_down().await
}

#[test]
fn frames_travel_over_tls() {
    each_server(async |program| {
        let authority = Authority::new();
        authority.certify("server", "127.0.0.1", 2999);
        let server = authority.serve(program, "server", &["--user", "u", "--pass", "p"]);
        let address = authority.address(&server).replace("tls://", "tls://u:p@");
        let (mut a, mut b) = (Node::up(1, &address).await, Node::up(2, &address).await);
        for length in [0, 1, 5000, 1_048_576, 3] {
            a.publish(Subject::Node(b.id), pattern(length)).await;
            let ((), frame) = futures_util::future::join(a.flush(), b.frame()).await;
            assert!(frame == pattern(length), "{length} bytes");
        }
    });
}

#[test]
fn a_certificate_that_is_not_accepted_is_explained() {
    each_server(async |program| {
        let (authority, stranger) = (Authority::new(), Authority::new());
        authority.certify("server", "127.0.0.1", 2999);
        authority.certify("expired", "127.0.0.1", 2021);
        authority.certify("other", "broker.example", 2999);

        let server = authority.serve(program, "server", &[]);
        let found = reason(&stranger.address(&server)).await;
        assert!(found.contains(": TLS fails: ") && found.contains("UnknownIssuer"), "{found}");
        let missing = format!("tls://127.0.0.1:{}?ca=missing.pem", server.port);
        let found = reason(&missing).await;
        assert!(found.contains("the certificate missing.pem: "), "{found}");
        let key = format!("tls://127.0.0.1:{}?ca={}", server.port, authority.file("server-key"));
        let found = reason(&key).await;
        assert!(found.contains("has no certificate in PEM"), "{found}");
        // `nats://` follows a server that requires TLS, and the system does not know this authority.
        let found = reason(&server.address("")).await;
        assert!(found.contains("TLS fails: ") || found.contains("write ?ca=FILE"), "{found}");

        let server = authority.serve(program, "expired", &[]);
        let found = reason(&authority.address(&server)).await;
        assert!(found.contains(": TLS fails: ") && found.contains("xpired"), "{found}");

        let server = authority.serve(program, "other", &[]);
        let found = reason(&authority.address(&server)).await;
        assert!(found.contains(": TLS fails: ") && found.contains("valid for"), "{found}");
    });
}

#[test]
fn a_server_without_tls_gets_no_login_for_tls() {
    each_server(async |program| {
        let server = Nats::start(program, &[]);
        let found = reason(&Authority::new().address(&server)).await;
        assert!(found.contains("it does not offer TLS"), "{found}");
    });
}

#[test]
fn a_node_may_need_a_certificate() {
    each_server(async |program| {
        let authority = Authority::new();
        authority.certify("server", "127.0.0.1", 2999);
        authority.certify("node", "node", 2999);
        let ca = authority.file("ca");
        let server = authority.serve(program, "server", &["--tlsverify", "--tlscacert", &ca]);
        let address = authority.address(&server);
        let (cert, key) = (authority.file("node"), authority.file("node-key"));
        let mut a = Node::up(1, &format!("{address}&cert={cert}&key={key}")).await;
        assert!(a.carrier.publish(Subject::All, "".into()));
        let found = reason(&address).await;
        assert!(found.contains("ertificate") || found.contains("the connection"), "{found}");
    });
}
