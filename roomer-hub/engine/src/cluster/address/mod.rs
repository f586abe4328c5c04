//! Broker addresses, and their parse errors.

mod parse;
#[cfg(test)]
#[cfg(all(feature = "nats", feature = "redis"))]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// A broker's addresses, which are tried in order.
///
/// | broker | address | with TLS | default port | login before the host | feature |
/// |---|---|---|---|---|---|
/// | NATS | `nats://host` | `tls://host` | 4222 | `user:password@` or `token@` | `nats` |
/// | Redis, Valkey | `redis://host` | `rediss://host` | 6379 | `user:password@`, `:password@`, `user@` | `redis` |
///
/// Special characters in a login are percent-encoded. Several addresses, all for the same kind of
/// broker, are separated by commas:
/// `nats://user:password@one.example,nats://user:password@two.example:4333`. Each of these brokers
/// must forward what is published on the others.
///
/// With the `tls` feature, `tls://host?ca=/etc/broker/ca.pem` verifies the broker's certificate
/// against the authorities in that file, instead of the system's. `cert` and `key` name the files
/// with the node's own certificate and key, for a broker that requires them. `rediss://` has the
/// same options.
///
/// A database number after the host, as in `redis://host/0`, is accepted but has no effect, since
/// Redis publishes to all databases.
///
/// `Debug` and `Display` do not print logins.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// At least one address.
    brokers: Vec<Broker>,
}

/// One of a broker's addresses.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Broker {
    pub(crate) protocol: Protocol,
    /// True if TLS is always used. If false, TLS is used only if the broker itself requires it.
    pub(crate) requires_tls: bool,
    /// A host name, or an IP address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) login: Login,
    pub(crate) files: TlsFiles,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[cfg(feature = "nats")]
    Nats,
    #[cfg(feature = "redis")]
    Redis,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    None,
    Password {
        user: String,
        password: String,
    },
    #[cfg(feature = "nats")]
    Token(String),
}

/// Paths to the PEM files in the TLS options.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate authorities for verifying the broker's certificate; `None` for the system's.
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// The reason why a [`BrokerAddress`] cannot be parsed.
#[derive(Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseBrokerAddressError {
    /// An address is empty.
    #[error(
        "the broker's address is empty: write nats://host, or several addresses separated by commas"
    )]
    Empty,
    /// An address does not begin with a known scheme.
    #[error("the broker's address does not begin with nats://, tls://, redis:// or rediss://")]
    Scheme,
    /// An address needs a feature that is not enabled.
    #[error("{scheme}:// needs the `{feature}` feature")]
    Feature {
        /// The text before `://`.
        scheme: &'static str,
        /// The name of the missing feature, in the engine and in the adapters.
        feature: &'static str,
    },
    /// The addresses belong to different kinds of brokers.
    #[error(
        "the addresses belong to different kinds of brokers: write only NATS or only Redis addresses"
    )]
    Mixed,
    /// The broker's address does not name a host.
    #[error("the broker's address has no host: write nats://host or redis://host")]
    Host,
    /// The host contains an invalid character.
    #[error(
        "the broker's host is neither a name nor an IP address: percent-encode @ and : in a login \
         (%40, %3A), and write an IPv6 address in brackets"
    )]
    HostCharacter,
    /// The port is not a number from 1 to 65535.
    #[error("the broker's port is not a number from 1 to 65535")]
    Port,
    /// A part of the login is empty, or is not valid percent-encoded UTF-8.
    #[error(
        "the broker's login is not valid: write user:password@ before the host, token@ for NATS or \
         :password@ for Redis, with special characters percent-encoded"
    )]
    Login,
    /// The host is followed by something other than options.
    #[error(
        "only options may follow the broker's host: ca, cert and key, only with tls:// and \
         rediss://, and cert and key only together"
    )]
    Options,
}

roomer_proto::debug_as_display!(ParseBrokerAddressError);

impl BrokerAddress {
    pub(crate) fn brokers(&self) -> &[Broker] {
        &self.brokers
    }
}

impl FromStr for BrokerAddress {
    type Err = ParseBrokerAddressError;

    fn from_str(text: &str) -> Result<Self, ParseBrokerAddressError> {
        // Commas in a login are percent-encoded, so each plain comma is a separator.
        let brokers = text.split(',').map(|text| parse::broker(text.trim()));
        let brokers = brokers.collect::<Result<Vec<_>, _>>()?;
        match brokers.windows(2).all(|pair| pair[0].protocol == pair[1].protocol) {
            true => Ok(BrokerAddress { brokers }),
            false => Err(ParseBrokerAddressError::Mixed),
        }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.protocol, self.requires_tls) {
            #[cfg(feature = "nats")]
            (Protocol::Nats, false) => "nats",
            #[cfg(feature = "nats")]
            (Protocol::Nats, true) => "tls",
            #[cfg(feature = "redis")]
            (Protocol::Redis, false) => "redis",
            #[cfg(feature = "redis")]
            (Protocol::Redis, true) => "rediss",
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
