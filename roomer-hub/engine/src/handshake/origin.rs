//! The origins of web pages that may connect.

use http::Uri;
use http::uri::Authority;

/// A rule for the `Origin` header, which browsers send and scripts cannot forge. Clients that do not
/// send it are not browsers and are always accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Only pages from the host in the request's `Host` header.
    #[default]
    SameHost,
    /// Pages from the host in the request's `Host` header, and from these origins.
    List(Vec<Origin>),
    /// Pages from any origin.
    Any,
}

/// A scheme, a host and a port (RFC 6454 section 4), compared after parsing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        // `Uri` returns the path `/` for a URL that has none.
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let is_host =
            |authority: &&Authority| !has_user(authority) && !authority.host().contains('*');
        let authority = uri.authority().filter(|authority| is_bare && is_host(authority))?;
        // Browsers omit an empty port, so it is a mistake in an option.
        let port = port(authority, &scheme).filter(|_| !authority.as_str().ends_with(':'))?;
        Some(Origin { host: authority.host().to_ascii_lowercase(), port, scheme })
    }

    /// Returns true if a `Host` header names this origin's host. The header contains no scheme, so
    /// a missing port means the default port for the origin's scheme.
    fn matches_host(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else {
            return false;
        };
        // In `example.com@evil.org`, the host is `evil.org`, although the text begins with the
        // origin's host.
        !has_user(&authority)
            && authority.host().eq_ignore_ascii_case(&self.host)
            && port(&authority, &self.scheme) == Some(self.port)
    }
}

impl Origins {
    pub(crate) fn allow(&mut self, origin: Origin) {
        match self {
            Origins::SameHost => *self = Origins::List(vec![origin]),
            Origins::List(list) => list.push(origin),
            Origins::Any => {}
        }
    }

    /// Returns true if a request with these headers is accepted.
    pub(crate) fn admit(&self, origin: Option<&[u8]>, host: Option<&str>) -> bool {
        let (Some(origin), false) = (origin, *self == Origins::Any) else {
            return true;
        };
        let text = std::str::from_utf8(origin).ok();
        // This also rejects `null`, the origin of sandboxed pages.
        let Some(origin) = text.and_then(Origin::parse) else {
            return false;
        };
        let is_listed = matches!(self, Origins::List(list) if list.contains(&origin));
        is_listed || host.is_some_and(|host| origin.matches_host(host))
    }
}

fn has_user(authority: &Authority) -> bool {
    authority.as_str().contains('@')
}

/// Returns the port, or the scheme's default if there is none. Returns `None` if the port is not a
/// number up to 65535, such as `*`: it must not be mistaken for the default.
fn port(authority: &Authority, scheme: &str) -> Option<Option<u16>> {
    let bare = authority.as_str().rsplit('@').next().unwrap_or_default();
    match bare.strip_prefix(authority.host()).unwrap_or_default() {
        "" | ":" => Some(default_port(scheme)),
        _ => authority.port_u16().map(Some),
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_host_compares_host_and_port() {
        let rule = Origins::default();
        let admit = |origin: &str, host| rule.admit(Some(origin.as_bytes()), Some(host));
        assert!(admit("http://example.com", "example.com"));
        assert!(admit("http://example.com", "example.com:80"));
        assert!(admit("https://EXAMPLE.com", "example.COM"));
        assert!(admit("http://127.0.0.1:8080", "127.0.0.1:8080"));
        assert!(admit("http://[::1]:8080", "[::1]:8080"));
        assert!(!admit("http://example.com:8080", "example.com"));
        assert!(!admit("http://example.com.evil.org", "example.com"));
        assert!(!admit("http://evil.org/example.com", "example.com"));
        assert!(!admit("http://example.com@evil.org", "example.com"));
        assert!(!admit("null", "example.com"));
        assert!(!admit("", "example.com"));
        assert!(!rule.admit(Some(b"http://example.com"), None));
        assert!(admit("http://example.com", "example.com:"));
        assert!(!admit("http://example.com", "example.com:99999"));
        assert!(!admit("http://example.com:*", "example.com"));
        assert!(!rule.admit(Some(b"\xff"), Some("example.com")));
    }

    #[test]
    fn clients_without_origin_are_admitted() {
        assert!(Origins::default().admit(None, Some("example.com")));
    }

    #[test]
    fn listed_origins_are_admitted_in_addition_to_same_host() {
        let mut rule = Origins::default();
        rule.allow(Origin::parse("https://app.example.com").unwrap());
        assert!(rule.admit(Some(b"https://app.example.com:443"), Some("api.example.com")));
        assert!(rule.admit(Some(b"https://api.example.com"), Some("api.example.com")));
        assert!(!rule.admit(Some(b"http://app.example.com"), Some("api.example.com")));
        assert!(Origins::Any.admit(Some(b"null"), None));
    }

    #[test]
    fn origin_is_scheme_and_authority() {
        for text in
            ["example.com", "http://", "http://a/b", "http://a?b", "*", "http://u@a", "https://*.a"]
        {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
        for port in ["*", "99999", "abc", "", "-1"] {
            for host in ["localhost", "[::1]"] {
                let text = format!("http://{host}:{port}");
                assert_eq!(Origin::parse(&text), None, "{text}");
            }
        }
        assert_eq!(Origin::parse("http://[::1]:5173").unwrap().port, Some(5173));
    }
}
