//! Addresses of brokers as text.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use thiserror::Error;

/// The addresses of a broker, which are tried in turn.
///
/// Written as `nats://host`, with a port unless it is 4222, and with `tls://` where TLS is required.
/// A login stands before the host: `user:password@` or `token@`, with special characters in percent
/// encoding. Several addresses are separated by commas:
/// `nats://user:password@one.example,nats://user:password@two.example:4333`.
///
/// With the feature `tls`, `tls://host?ca=/etc/broker/ca.pem` verifies the broker's certificate
/// against the authorities in that file, instead of the system's. `cert` and `key` name the files of
/// the node's own certificate, for a broker that requires one.
///
/// Neither `Debug` nor `Display` shows a login.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// At least one.
    brokers: Vec<Broker>,
}

/// One address of a broker.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) scheme: Scheme,
    /// A name or an IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Login,
    pub(crate) files: TlsFiles,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// TLS only if the broker requires it.
    Nats,
    /// NATS, and TLS in any case.
    Tls,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    None,
    Password { user: String, password: String },
    Token(String),
}

/// Files in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The authorities that may sign the broker's certificate; the system's if there is none.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// A text is not a [`BrokerAddress`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseBrokerAddressError {
    /// An address is empty.
    #[error("the broker's address is empty: write nats://host, or several of them with commas")]
    Empty,
    /// An address does not begin with a known scheme.
    #[error("the broker's address does not begin with nats:// or tls://")]
    Scheme,
    /// An address begins with `tls://`, and the feature `tls` is off.
    #[error("tls:// needs the feature `tls`")]
    TlsFeature,
    /// An address does not name a host.
    #[error("the broker's address has no host: write nats://host")]
    Host,
    /// The host contains a character that no host has.
    #[error(
        "the broker's host is neither a name nor an IP address: write @ and : of a login in percent \
         encoding (%40, %3A), and an IPv6 address in brackets"
    )]
    HostCharacter,
    /// The port is not a number from 1 to 65535.
    #[error("the broker's port is not a number from 1 to 65535")]
    Port,
    /// A part of the login is empty, or is not UTF-8 in percent encoding.
    #[error(
        "the broker's login is not valid: write user:password@ or token@ before the host, with \
         special characters in percent encoding"
    )]
    Login,
    /// Something that is not an option follows the host.
    #[error(
        "only options may follow the broker's host: ca, cert and key, with tls:// alone, and cert \
         and key together"
    )]
    Options,
}

impl BrokerAddress {
    pub(crate) fn brokers(&self) -> &[Broker] {
        &self.brokers
    }
}

impl FromStr for BrokerAddress {
    type Err = ParseBrokerAddressError;

    fn from_str(text: &str) -> Result<Self, ParseBrokerAddressError> {
        let brokers = text.split(',').map(|text| parse(text.trim())).collect::<Result<_, _>>()?;
        Ok(BrokerAddress { brokers })
    }
}

fn parse(text: &str) -> Result<Broker, ParseBrokerAddressError> {
    if text.is_empty() {
        return Err(ParseBrokerAddressError::Empty);
    }
    let (scheme, rest) = text.split_once("://").ok_or(ParseBrokerAddressError::Scheme)?;
    let scheme = match scheme {
        "nats" => Scheme::Nats,
        "tls" if cfg!(feature = "tls") => Scheme::Tls,
        "tls" => return Err(ParseBrokerAddressError::TlsFeature),
        _ => return Err(ParseBrokerAddressError::Scheme),
    };
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    // A plain @ in a password shows as a character that no host has.
    let (login, rest) = rest.split_once('@').map_or((None, rest), |(it, rest)| (Some(it), rest));
    let place = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = split_port(place)?;
    let login = login.map_or(Ok(Login::None), parse_login)?;
    let files = parse_options(scheme, options)?;
    Ok(Broker { scheme, host: host.to_owned(), port, login, files })
}

/// Returns the host without brackets, and the port.
fn split_port(place: &str) -> Result<(&str, u16), ParseBrokerAddressError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) =
                rest.split_once(']').ok_or(ParseBrokerAddressError::HostCharacter)?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(ParseBrokerAddressError::HostCharacter);
            }
            match port.strip_prefix(':') {
                None if !port.is_empty() => return Err(ParseBrokerAddressError::HostCharacter),
                port => (host, port),
            }
        }
        None => {
            let (host, port) =
                place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() {
                return Err(ParseBrokerAddressError::Host);
            }
            if !host.chars().all(is_plain) {
                return Err(ParseBrokerAddressError::HostCharacter);
            }
            (host, port)
        }
    };
    let is_number = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        None => 4222,
        Some(port) => Some(port)
            .filter(is_number)
            .and_then(|port| port.parse().ok())
            .filter(|port| *port > 0)
            .ok_or(ParseBrokerAddressError::Port)?,
    };
    Ok((host, port))
}

fn parse_login(text: &str) -> Result<Login, ParseBrokerAddressError> {
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().ok()?.into_owned();
        Some(text).filter(|text| !text.is_empty())
    };
    let login = match text.split_once(':') {
        Some((user, password)) => decode(user)
            .zip(decode(password))
            .map(|(user, password)| Login::Password { user, password }),
        None => decode(text).map(Login::Token),
    };
    login.ok_or(ParseBrokerAddressError::Login)
}

fn parse_options(scheme: Scheme, text: &str) -> Result<TlsFiles, ParseBrokerAddressError> {
    let mut files = TlsFiles::default();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let file = match &*name {
            "ca" => &mut files.ca,
            "cert" => &mut files.cert,
            "key" => &mut files.key,
            _ => return Err(ParseBrokerAddressError::Options),
        };
        if value.is_empty() || file.replace(PathBuf::from(&*value)).is_some() {
            return Err(ParseBrokerAddressError::Options);
        }
    }
    let is_plain = scheme == Scheme::Nats && files != TlsFiles::default();
    if is_plain || files.cert.is_some() != files.key.is_some() {
        return Err(ParseBrokerAddressError::Options);
    }
    Ok(files)
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Nats => "nats",
            Scheme::Tls => "tls",
        };
        let Broker { host, port, .. } = self;
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]:{port}"),
            false => write!(f, "{scheme}://{host}:{port}"),
        }
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, broker) in self.brokers.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{broker}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerAddress({self})")
    }
}

#[cfg(test)]
mod tests {
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
        assert!(
            one("nats://a%40b:p%3A%2F%2C+%F0%9F%8F%A0@broker").login == password("a@b", "p:/,+🏠")
        );
        assert!(one("nats://s3cr%65t@broker").login == Login::Token("s3cret".into()));
        // The first colon separates; a password may contain more of them.
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
    fn a_login_is_never_shown() {
        let address: BrokerAddress = "nats://ann:secret@a,nats://secret@b".parse().unwrap();
        for shown in [format!("{address}"), format!("{address:?}"), format!("{:#?}", Some(address))]
        {
            assert!(!shown.contains("secret") && !shown.contains("ann"), "{shown}");
        }
    }

    #[test]
    fn an_error_names_the_fault() {
        for (text, error) in [
            ("", E::Empty),
            ("nats://a,", E::Empty),
            ("broker:4222", E::Scheme),
            ("redis://broker", E::Scheme),
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
    fn files_of_tls_are_options() {
        let broker = one("tls://t@broker?ca=/a%20b.pem&cert=c.pem&key=k.pem");
        let path = |text: &str| Some(PathBuf::from(text));
        assert!(broker.scheme == Scheme::Tls);
        assert_eq!((broker.files.ca, broker.files.cert), (path("/a b.pem"), path("c.pem")));
        assert_eq!(one("tls://broker").files.ca, None);
        for text in ["?ca=", "?ca=a&ca=b", "?cert=c", "?key=k", "?other=x", "?ca"] {
            assert_eq!(fails(&format!("tls://broker{text}")), E::Options, "{text}");
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn tls_needs_its_feature() {
        assert_eq!(fails("tls://broker"), E::TlsFeature);
    }
}
