//! Member profiles, and lists of members in `join_ack` and [`MEMBERS`](crate::extended::MEMBERS).

use alloc::string::String;
use alloc::vec::Vec;

use crate::ConnId;
use crate::extended::json_text::{Scanner, quote, unquote};
use crate::extended::{Info, InvalidInfo, Position};

/// A connection's info and user, which other members receive along with its id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    info: Option<Info>,
    /// The user's name as a JSON string.
    user: Option<String>,
}

impl Profile {
    /// Creates a profile. The info `null` counts as no info.
    #[must_use]
    pub fn new(info: Option<Info>, user: Option<&str>) -> Self {
        let user = user.map(|user| {
            let mut quoted = String::with_capacity(user.len() + 2);
            quote(user, &mut quoted);
            quoted
        });
        // To other members, a client that sets `null` must look like one without info.
        Profile { info: info.filter(|info| !info.is_null()), user }
    }

    /// Creates a profile from info and a user name that is a quoted JSON string. An empty string
    /// means that the part is missing.
    ///
    /// # Errors
    ///
    /// Returns an [`InvalidInfo`] if the info is not exactly one JSON value, or the user's name is
    /// not exactly one JSON string.
    pub fn from_json(info: &str, quoted_user: &str) -> Result<Self, InvalidInfo> {
        let info = if info.is_empty() { None } else { Some(Info::new(info)?) };
        let user = match quoted_user {
            "" => None,
            // Any other JSON value would be invalid at this place in a member's entry.
            user if user.starts_with('"') && user.ends_with('"') => Some(Info::new(user)?),
            _ => return Err(InvalidInfo),
        };
        let user = user.map(|user| user.as_str().into());
        Ok(Profile { info: info.filter(|info| !info.is_null()), user })
    }

    /// Returns the info.
    #[must_use]
    pub fn info(&self) -> Option<&Info> {
        self.info.as_ref()
    }

    /// Returns the user's name as a JSON string, including quotes.
    #[must_use]
    pub fn quoted_user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Replaces the info. Returns false if the info is unchanged.
    pub fn set_info(&mut self, info: Option<Info>) -> bool {
        let info = info.filter(|info| !info.is_null());
        let is_other = self.info != info;
        self.info = info;
        is_other
    }

    /// Returns true if there is neither info nor a user.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.info.is_none() && self.user.is_none()
    }
}

/// Appends a member's entry: `["id",info]`, or `["id",info,"user"]` if it has a user. Missing info
/// is written as `null`.
pub fn write_member(id: &str, profile: Option<&Profile>, out: &mut Vec<u8>) {
    let info = profile.and_then(Profile::info).map_or("null", Info::as_str);
    let parts = ["[\"", id, "\",", info];
    parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    if let Some(user) = profile.and_then(Profile::quoted_user) {
        out.push(b',');
        out.extend_from_slice(user.as_bytes());
    }
    out.push(b']');
}

/// A member of a room, as listed for extended clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The member's id.
    pub id: ConnId,
    /// The member's info, if any.
    pub info: Option<Info>,
    /// The name of the member's user, if any.
    pub user: Option<String>,
}

/// The parsed payload of a `join_ack` or [`MEMBERS`](crate::extended::MEMBERS) packet.
///
/// ```
/// use roomer_proto::extended::Members;
///
/// let id = "01010101-0101-4101-8101-010101010101";
/// let text = format!(r#"{{"joined":[["{id}",{{"name":"Ann"}},"ann"]],"left":[]}}"#);
/// let Some(Members { joined, left, .. }) = Members::parse(text.as_bytes()) else { panic!() };
/// assert_eq!(joined[0].id, *id);
/// assert_eq!(joined[0].user.as_deref(), Some("ann"));
/// assert!(left.is_empty());
/// assert_eq!(Members::parse(br#"{"count":3}"#).and_then(|members| members.count), Some(3));
/// assert_eq!(Members::parse(b"[]"), None);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// All members of the room; present only in a `join_ack`.
    pub members: Option<Vec<Member>>,
    /// The number of members, if the room only counts them.
    pub count: Option<u64>,
    /// Members that have joined.
    pub joined: Vec<Member>,
    /// Members that have left.
    pub left: Vec<ConnId>,
    /// Members whose info has changed.
    pub changed: Vec<Member>,
    /// Members that have lost their connection but may still resume their session.
    pub away: Vec<ConnId>,
    /// Members that were away and have resumed their session.
    pub back: Vec<ConnId>,
    /// The position of the newest message, in the `join_ack` of a room with history.
    pub at: Option<Position>,
    /// True if the server has all messages after the position that the client sent.
    pub recovered: bool,
}

impl Members {
    /// Parses a payload, ignoring unknown keys. Returns `None` if the payload is invalid.
    #[must_use]
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut scanner = Scanner::new(core::str::from_utf8(payload).ok()?);
        let mut found = Members::default();
        scanner.take(b'{').then_some(())?;
        if !scanner.take(b'}') {
            loop {
                // The key may be any JSON value here; the last match arm rejects keys that are not
                // strings.
                let key = scanner.value()?;
                scanner.take(b':').then_some(())?;
                let value = scanner.value()?;
                match key {
                    // Compare including quotes and without unescaping: servers do not escape these
                    // keys.
                    "\"members\"" => found.members = Some(list(value, member)?),
                    "\"count\"" => found.count = Some(value.parse().ok()?),
                    "\"joined\"" => found.joined = list(value, member)?,
                    "\"left\"" => found.left = list(value, conn_id)?,
                    "\"away\"" => found.away = list(value, conn_id)?,
                    "\"back\"" => found.back = list(value, conn_id)?,
                    "\"at\"" => found.at = Some(Position::parse(value)?),
                    "\"recovered\"" => found.recovered = value == "true",
                    "\"changed\"" => found.changed = list(value, member)?,
                    // Later versions may add keys.
                    _ if key.starts_with('"') => {}
                    _ => return None,
                }
                if !scanner.take(b',') {
                    break;
                }
            }
            scanner.take(b'}').then_some(())?;
        }
        scanner.is_at_end().then_some(found)
    }
}

/// Parses a JSON array.
fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let mut scanner = Scanner::new(text);
    let mut items = Vec::new();
    scanner.take(b'[').then_some(())?;
    if scanner.take(b']') {
        return Some(items);
    }
    loop {
        items.push(item(scanner.value()?)?);
        if !scanner.take(b',') {
            return scanner.take(b']').then_some(items);
        }
    }
}

fn conn_id(text: &str) -> Option<ConnId> {
    ConnId::parse(text.strip_prefix('"')?.strip_suffix('"')?)
}

fn member(text: &str) -> Option<Member> {
    let parts = list(text, |part| Some(String::from(part)))?;
    let [id, info, more @ ..] = &parts[..] else { return None };
    let info = Info::new(info).ok().filter(|info| !info.is_null());
    // Later versions may add elements, or users that are not strings; both are ignored.
    let is_user = more.first().is_some_and(|user| user.starts_with('"'));
    let user = more.first().filter(|_| is_user).map(|user| unquote(user));
    Some(Member { id: conn_id(id)?, info, user })
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use super::*;

    fn id(byte: u8) -> ConnId {
        ConnId::from_random_bytes([byte; 16])
    }

    #[test]
    fn entry_round_trips() {
        let info = Info::new(r#"{"name":"Ann","tags":["a",{}]}"#).unwrap();
        for (info, user) in [
            (None, None),
            (Some(info.clone()), None),
            (None, Some("ann")),
            (Some(info), Some("\"],[\\\u{1f}é")),
        ] {
            let (mut entry, profile) = (Vec::new(), Profile::new(info.clone(), user));
            write_member(id(1).as_str(), Some(&profile), &mut entry);
            let entry = String::from_utf8(entry).unwrap();
            let members = Members::parse(format!("{{\"members\":[{entry},{entry}]}}").as_bytes());
            let member = Member { id: id(1), info, user: user.map(String::from) };
            assert_eq!(members.unwrap().members, Some(vec![member.clone(), member]));
        }
        let mut entry = Vec::new();
        write_member(id(1).as_str(), None, &mut entry);
        assert_eq!(entry, format!("[\"{}\",null]", id(1)).as_bytes());
    }

    #[test]
    fn null_means_no_info() {
        let null = Info::new(" null ").unwrap();
        let mut profile = Profile::new(Some(null.clone()), None);
        assert!(profile.is_empty() && !profile.set_info(Some(null)));
        assert!(profile.set_info(Some(Info::string("x"))));
        assert!(!profile.set_info(Some(Info::string("x"))));
        assert!(profile.set_info(None) && profile.is_empty());
    }

    #[test]
    fn other_payloads_are_rejected() {
        let id = id(1);
        for text in [
            "",
            "[]",
            "{",
            "{}x",
            "{\"count\":-1}",
            "{\"count\":\"1\"}",
            "{\"members\":{}}",
            "{\"members\":[[]]}",
            "{\"members\":[[\"no id\",null]]}",
            "{\"left\":[1]}",
            "{\"away\":[1]}",
            "{\"back\":[[]]}",
            "{1:2}",
            &format!("{{\"members\":[[\"{id}\"]]}}"),
            &format!("{{\"left\":[\"{id}\",]}}"),
        ] {
            assert_eq!(Members::parse(text.as_bytes()), None, "{text}");
        }
        let away = format!("{{\"members\":[[\"{id}\",null]],\"away\":[\"{id}\"]}}");
        assert_eq!(Members::parse(away.as_bytes()).unwrap().away, [id]);
        let back = format!("{{\"back\":[\"{id}\"]}}");
        assert_eq!(Members::parse(back.as_bytes()).unwrap().back, [id]);
        let other = format!("{{\"x\":[1], \"left\" : [\"{id}\"] ,\"y\":null}}");
        assert_eq!(Members::parse(other.as_bytes()).unwrap().left, [id]);
    }
}
