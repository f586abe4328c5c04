//! Tests of parsing broker addresses.

use super::*;
use ParseBrokerAddressError as E;

fn one(text: &str) -> Broker {
    let address: BrokerAddress = text.parse().unwrap();
    assert_eq!(address.brokers().len(), 1);
    address.brokers()[0].clone()
}

fn fails(text: &str) -> E {
    text.parse::<BrokerAddress>().unwrap_err()
}

fn password(user: &str, password: &str) -> Login {
    Login::Password { user: user.into(), password: password.into() }
}

#[test]
fn hosts_and_ports() {
    for (text, host, port) in [
        ("nats://broker", "broker", 4222),
        ("nats://broker/", "broker", 4222),
        ("nats://127.0.0.1:14222", "127.0.0.1", 14222),
        ("nats://[::1]", "::1", 4222),
        ("nats://u:p@[fe80::1]:4333", "fe80::1", 4333),
    ] {
        let broker = one(text);
        assert_eq!((&*broker.host, broker.port), (host, port), "{text}");
    }
}

#[test]
fn logins_are_decoded() {
    assert!(one("nats://broker").login == Login::None);
    assert!(one("nats://ann:secret@broker").login == password("ann", "secret"));
    assert!(one("nats://a%40b:p%3A%2F%2C+%F0%9F%8F%A0@broker").login == password("a@b", "p:/,+🏠"));
    assert!(one("nats://s3cr%65t@broker").login == Login::Token("s3cret".into()));
    // The first colon is the separator; a password may contain further ones.
    assert!(one("nats://a:b:c@broker").login == password("a", "b:c"));
    assert!(one("nats://a:b/c@broker").login == password("a", "b/c"));
}

#[test]
fn several_addresses_keep_their_order() {
    let address: BrokerAddress = "nats://one,nats://t@two:1, nats://[::1]".parse().unwrap();
    assert_eq!(address.to_string(), "nats://one:4222,nats://two:1,nats://[::1]:4222");
    let round: BrokerAddress = address.to_string().parse().unwrap();
    assert_eq!(round.to_string(), address.to_string());
}

#[test]
fn login_is_redacted() {
    let address: BrokerAddress = "nats://ann:secret@a,nats://secret@b".parse().unwrap();
    for shown in [format!("{address}"), format!("{address:?}"), format!("{:#?}", Some(address))] {
        assert!(!shown.contains("secret") && !shown.contains("ann"), "{shown}");
    }
}

#[test]
fn error_names_fault() {
    for (text, error) in [
        ("", E::Empty),
        ("nats://a,", E::Empty),
        ("broker:4222", E::Scheme),
        ("NATS://broker", E::Scheme),
        ("nats://", E::Host),
        ("nats://:4222", E::Host),
        ("nats://t@", E::Host),
        ("nats://a b", E::HostCharacter),
        ("nats://u:p@ss@broker", E::HostCharacter),
        ("nats://[::1", E::HostCharacter),
        ("nats://[::1]4222", E::HostCharacter),
        ("nats://[broker]", E::HostCharacter),
        ("nats://::1", E::Host),
        ("nats://broker/path", E::HostCharacter),
        ("nats://broker:", E::Port),
        ("nats://broker:0", E::Port),
        ("nats://broker:+1", E::Port),
        ("nats://broker:65536", E::Port),
        ("nats://@broker", E::Login),
        ("nats://u:@broker", E::Login),
        ("nats://%FF@broker", E::Login),
        ("nats://broker?ca=x", E::Options),
    ] {
        assert_eq!(fails(text), error, "{text}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_files_are_options() {
    let broker = one("tls://t@broker?ca=/a%20b.pem&cert=c.pem&key=k.pem");
    let path = |text: &str| Some(PathBuf::from(text));
    assert!(broker.requires_tls);
    assert_eq!((broker.files.ca, broker.files.cert), (path("/a b.pem"), path("c.pem")));
    assert_eq!(one("tls://broker").files.ca, None);
    for text in ["?ca=", "?ca=a&ca=b", "?cert=c", "?key=k", "?other=x", "?ca"] {
        assert_eq!(fails(&format!("tls://broker{text}")), E::Options, "{text}");
    }
}

#[cfg(feature = "tls")]
#[test]
fn redis_over_tls_uses_rediss_scheme() {
    let broker = one("rediss://u:p@broker?ca=ca.pem");
    assert!(broker.protocol == Protocol::Redis && broker.requires_tls && broker.port == 6379);
    assert_eq!(broker.files.ca, Some(PathBuf::from("ca.pem")));
    assert_eq!(broker.to_string(), "rediss://broker:6379");
    assert_eq!(fails("redis://broker?ca=x"), E::Options);
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_needs_its_feature() {
    for scheme in ["tls", "rediss"] {
        assert_eq!(fails(&format!("{scheme}://broker")), E::Feature { scheme, feature: "tls" });
    }
}

#[test]
fn redis_has_own_default_port_and_logins() {
    for (text, host, port) in [
        ("redis://broker", "broker", 6379),
        ("redis://broker/", "broker", 6379),
        ("redis://broker:1/0", "broker", 1),
        ("redis://[::1]/15", "::1", 6379),
    ] {
        let broker = one(text);
        assert!(broker.protocol == Protocol::Redis && !broker.requires_tls);
        assert_eq!((&*broker.host, broker.port), (host, port), "{text}");
    }
    assert!(one("redis://broker").login == Login::None);
    assert!(one("redis://ann:s%3Acret@broker").login == password("ann", "s:cret"));
    assert!(one("redis://:secret@broker").login == password("default", "secret"));
    assert!(one("redis://ann@broker").login == password("ann", ""));
    for text in ["redis://@broker", "redis://:@broker", "redis://ann:@broker"] {
        assert_eq!(fails(text), E::Login, "{text}");
    }
    for text in ["redis://broker/db", "redis://broker/0/0", "nats://broker/0"] {
        assert_eq!(fails(text), E::HostCharacter, "{text}");
    }
}

#[test]
fn mixed_broker_kinds_are_rejected() {
    assert_eq!(fails("nats://a,redis://b"), E::Mixed);
    let address: BrokerAddress = "redis://a,redis://u:p@b:1".parse().unwrap();
    assert_eq!(address.to_string(), "redis://a:6379,redis://b:1");
}
