//! Parses the text of one broker address.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::{Broker, Login, ParseBrokerAddressError, Protocol, TlsFiles};

pub(super) fn broker(text: &str) -> Result<Broker, ParseBrokerAddressError> {
    if text.is_empty() {
        return Err(ParseBrokerAddressError::Empty);
    }
    let (scheme, rest) = text.split_once("://").ok_or(ParseBrokerAddressError::Scheme)?;
    let (protocol, requires_tls) = parse_scheme(scheme)?;
    let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
    // An unencoded `@` in a password becomes part of the host, where it is rejected as an invalid
    // character.
    let (login, rest) = rest.split_once('@').map_or((None, rest), |(it, rest)| (Some(it), rest));
    let (host, port) = split_port(without_path(protocol, rest))?;
    let port = match port {
        Some(port) => port,
        None => match protocol {
            #[cfg(feature = "nats")]
            Protocol::Nats => 4222,
            #[cfg(feature = "redis")]
            Protocol::Redis => 6379,
        },
    };
    let login = match login {
        None => Login::None,
        Some(login) => parse_login(protocol, login).ok_or(ParseBrokerAddressError::Login)?,
    };
    let files = parse_options(requires_tls, options)?;
    Ok(Broker { protocol, requires_tls, host: host.to_owned(), port, login, files })
}

fn parse_scheme(text: &str) -> Result<(Protocol, bool), ParseBrokerAddressError> {
    let (scheme, feature, requires_tls) = match text {
        "nats" => ("nats", "nats", false),
        "tls" => ("tls", "nats", true),
        "redis" => ("redis", "redis", false),
        "rediss" => ("rediss", "redis", true),
        _ => return Err(ParseBrokerAddressError::Scheme),
    };
    let protocol = match feature {
        #[cfg(feature = "nats")]
        "nats" => Protocol::Nats,
        #[cfg(feature = "redis")]
        "redis" => Protocol::Redis,
        _ => return Err(ParseBrokerAddressError::Feature { scheme, feature }),
    };
    if requires_tls && cfg!(not(feature = "tls")) {
        return Err(ParseBrokerAddressError::Feature { scheme, feature: "tls" });
    }
    Ok((protocol, requires_tls))
}

/// Removes a trailing slash and, for Redis, a database number.
fn without_path(protocol: Protocol, text: &str) -> &str {
    match (protocol, text.split_once('/')) {
        (_, Some((place, ""))) => place,
        #[cfg(feature = "redis")]
        (Protocol::Redis, Some((place, path))) if path.bytes().all(|it| it.is_ascii_digit()) => {
            place
        }
        _ => text,
    }
}

/// Splits the host, without its brackets, from the port.
fn split_port(place: &str) -> Result<(&str, Option<u16>), ParseBrokerAddressError> {
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
    // `parse` alone would accept `+1`.
    let is_number = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.map(|port| {
        let port = Some(port).filter(is_number).and_then(|port| port.parse().ok());
        port.filter(|port| *port > 0).ok_or(ParseBrokerAddressError::Port)
    });
    Ok((host, port.transpose()?))
}

fn parse_login(protocol: Protocol, text: &str) -> Option<Login> {
    let decode = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    let some = |text: &str| decode(text).filter(|text| !text.is_empty());
    match (protocol, text.split_once(':')) {
        // A password without a user name belongs to the user `default`, which always exists.
        #[cfg(feature = "redis")]
        (Protocol::Redis, Some(("", password))) => {
            Some(Login::Password { user: "default".into(), password: some(password)? })
        }
        // A user may have been created without a password.
        #[cfg(feature = "redis")]
        (Protocol::Redis, None) => {
            Some(Login::Password { user: some(text)?, password: String::new() })
        }
        (_, Some((user, password))) => {
            Some(Login::Password { user: some(user)?, password: some(password)? })
        }
        #[cfg(feature = "nats")]
        (Protocol::Nats, None) => Some(Login::Token(some(text)?)),
    }
}

fn parse_options(requires_tls: bool, text: &str) -> Result<TlsFiles, ParseBrokerAddressError> {
    let mut files = TlsFiles::default();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let file = match &*name {
            "ca" => &mut files.ca,
            "cert" => &mut files.cert,
            "key" => &mut files.key,
            _ => return Err(ParseBrokerAddressError::Options),
        };
        // Reject a repeated option, since it would be ambiguous which value applies.
        if value.is_empty() || file.replace(PathBuf::from(&*value)).is_some() {
            return Err(ParseBrokerAddressError::Options);
        }
    }
    // Reject files if the broker decides whether to use TLS, since the files might silently be
    // ignored.
    let is_plain = !requires_tls && files != TlsFiles::default();
    if is_plain || files.cert.is_some() != files.key.is_some() {
        return Err(ParseBrokerAddressError::Options);
    }
    Ok(files)
}

#[cfg(test)]
#[cfg(not(all(feature = "nats", feature = "redis")))]
mod tests {
    #[test]
    fn scheme_needs_its_feature() {
        use super::ParseBrokerAddressError as E;
        let off = if cfg!(feature = "nats") { ["redis", "rediss"] } else { ["nats", "tls"] };
        let feature = if cfg!(feature = "nats") { "redis" } else { "nats" };
        for scheme in off {
            let found = super::broker(&format!("{scheme}://broker")).err();
            assert_eq!(found, Some(E::Feature { scheme, feature }));
        }
    }
}
