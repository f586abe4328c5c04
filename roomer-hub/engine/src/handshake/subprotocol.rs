//! Subprotocols (RFC 6455 section 1.9): the server's choice, and the client's token.
//!
//! A client may include a token among the subprotocols that it offers.

use http::HeaderMap;
use http::header::SEC_WEBSOCKET_PROTOCOL;

/// The subprotocol that every server selects, so that a client can offer it together with a token.
pub(crate) const ROOMER: &str = "roomer";

/// The prefix of an offered name that contains a token.
const TOKEN_PREFIX: &str = "token.";

/// The subprotocols that a server selects, in addition to [`ROOMER`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Subprotocols(Vec<String>);

impl Subprotocols {
    /// Adds a name. Returns false if it is invalid.
    pub(crate) fn add(&mut self, name: &str) -> bool {
        let is_token = !name.is_empty() && name.bytes().all(is_token_char);
        // The response repeats the selected name, so the name must not be a token.
        let is_valid = is_token && !name.starts_with(TOKEN_PREFIX);
        if is_valid {
            self.0.push(name.to_owned());
        }
        is_valid
    }

    /// Returns the first offered name that the server supports. A client lists its offers in order
    /// of preference.
    pub(crate) fn select(&self, headers: &HeaderMap) -> Option<String> {
        offers(headers).find(|name| self.knows(name)).map(str::to_owned)
    }

    fn knows(&self, name: &str) -> bool {
        name == ROOMER || self.0.iter().any(|known| known == name)
    }
}

/// Returns the number of subprotocols that a client offers.
pub(crate) fn offered(headers: &HeaderMap) -> usize {
    offers(headers).count()
}

/// Returns the token that a client offers: `token.`, followed by the token's UTF-8 in URL-safe Base64
/// without padding.
pub(crate) fn token(headers: &HeaderMap) -> Option<String> {
    let encoded = offers(headers).find_map(|name| name.strip_prefix(TOKEN_PREFIX))?;
    let bytes = data_encoding::BASE64URL_NOPAD.decode(encoded.as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

fn offers(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty())
}

/// Returns true if the byte may be part of an HTTP token (RFC 9110 section 5.6.2).
fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn first_known_offer_is_selected() {
        let mut known = Subprotocols::default();
        assert!(known.add("chat.v1") && known.add("chat.v2"));
        let select = |lines: &[&'static str]| known.select(&headers(lines));
        assert_eq!(select(&["chat.v2, chat.v1"]).as_deref(), Some("chat.v2"));
        assert_eq!(select(&["other", " chat.v1\t,chat.v2"]).as_deref(), Some("chat.v1"));
        assert_eq!(select(&["other, token.eA, roomer"]).as_deref(), Some("roomer"));
        assert_eq!(select(&["CHAT.V1", "token.eA", "chat.v1x", ", ,"]), None);
        assert_eq!(select(&[]), None);
    }

    #[test]
    fn subprotocol_names_are_http_tokens_without_token_prefix() {
        for name in ["", "a b", "a,b", "a/b", "ä", "token.x"] {
            assert!(!Subprotocols::default().add(name), "{name:?}");
        }
    }

    #[test]
    fn malformed_token_is_ignored() {
        let token = |lines: &[&'static str]| token(&headers(lines));
        assert_eq!(token(&["roomer, token.c8O8w58_Pg"]).as_deref(), Some("süß?>"));
        assert_eq!(token(&["roomer", "token.c2VjcmV0"]).as_deref(), Some("secret"));
        assert_eq!(token(&["token."]).as_deref(), Some(""));
        for line in ["roomer", "token.c2VjcmV0=", "token.c", "token.//__", "token._w", "token"] {
            assert_eq!(token(&[line]), None, "{line}");
        }
    }
}
