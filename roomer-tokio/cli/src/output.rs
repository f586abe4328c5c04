//! The output of commands: text for people, or lines of JSON for programs.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use data_encoding::BASE64;
use roomer_proto::ConnId;
use roomer_tokio::client::{Event, Members, Message, Room};
use serde_json::{Value, json};

use crate::failure::Failure;

/// The number of characters shown of an id.
const SHORT_ID: usize = 8;

/// The format of the output. Colours are used only if standard output is a terminal that supports
/// them (`NO_COLOR`, `CLICOLOR_FORCE`).
pub(crate) struct Output {
    pub(crate) is_json: bool,
}

impl Output {
    pub(crate) fn new(is_json: bool) -> Output {
        Output { is_json }
    }

    /// Writes a line, and flushes it, since a program may be waiting for it.
    pub(crate) fn line(&self, line: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        writeln!(out, "{line}")?;
        Ok(out.flush()?)
    }

    /// If the output is JSON, writes `value`. Otherwise, writes the text that `human` returns.
    pub(crate) fn either(
        &self,
        value: &Value,
        human: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.is_json {
            true => self.line(&value.to_string()),
            false => self.line(&human()),
        }
    }

    pub(crate) fn message(&self, message: &Message) -> Result<(), Failure> {
        let Message { room, event, from, payload, .. } = message;
        let mut value =
            json!({ "on": "message", "room": &**room, "event": &**event, "from": &**from });
        if message.is_direct {
            value["direct"] = true.into();
        }
        if let Some(number) = message.number {
            value["number"] = number.into();
        }
        put_payload(&mut value, payload);
        self.either(&value, || {
            let direct = if message.is_direct { " (to this client)" } else { "" };
            format!(
                "{} {} {}{direct} {}",
                styled(&escape(room), dim()),
                styled(&escape(event), AnsiColor::Cyan.on_default()),
                sender(from),
                readable(payload)
            )
        })
    }

    /// Writes a line about a member that joined, left or changed.
    fn member(&self, on: &str, room: &str, id: &ConnId, profile: &Profile) -> Result<(), Failure> {
        let mut value = json!({ "on": on, "room": room, "id": id.as_str() });
        profile.put(&mut value);
        self.either(&value, || {
            format!(
                "{} {} {}{profile}",
                styled(&escape(room), dim()),
                styled(on, AnsiColor::Yellow.on_default()),
                id.as_str()
            )
        })
    }

    /// If an event reports that a member of the room has joined, left or changed, writes a line
    /// about it. Returns false for any other event.
    pub(crate) fn members(&self, event: &Event, room: &Room) -> Result<bool, Failure> {
        let (on, id) = match event {
            Event::MemberJoined { id, .. } => ("joined", id),
            Event::MemberChanged { id, .. } => ("changed", id),
            Event::MemberLeft { id, .. } => ("left", id),
            _ => return Ok(false),
        };
        // When a member has left, its profile is no longer available, and is empty here.
        let profile = room.with_members(|members| Profile::of(members, id));
        self.member(on, room.name(), id, &profile)?;
        Ok(true)
    }

    /// Reports a connection event on standard error.
    pub(crate) fn connection(&self, event: &Event) {
        match event {
            Event::Opened { id, is_resumed: false } => self.notice(&format!("connected as {id}")),
            Event::Opened { .. } => self.notice("connected again; nothing is lost"),
            Event::Suspended(failure) => {
                self.notice(&format!("{failure}; connecting again"));
            }
            Event::Missed { room } => {
                self.notice(&format!("messages of the room {room:?} are missing"));
            }
            Event::Removed { room } => {
                self.notice(&format!("the server has removed this client from the room {room:?}"));
            }
            Event::Error(error) => self.notice(&format!("{}: {}", error.code, error.message)),
            _ => {}
        }
    }

    /// Writes a notice to standard error, as JSON if the output is JSON.
    pub(crate) fn notice(&self, text: &str) {
        let text = escape(text);
        match self.is_json {
            true => anstream::eprintln!("{}", json!({ "on": "notice", "text": text })),
            false => anstream::eprintln!("{}", styled(&text, dim())),
        }
    }

    pub(crate) fn failure(&self, failure: &Failure) {
        let lines = match failure {
            Failure::Config(problems) => problems.clone(),
            failure => vec![failure.to_string()],
        };
        for text in lines {
            let text = escape(&text);
            match self.is_json {
                true => anstream::eprintln!("{}", json!({ "on": "failure", "text": text })),
                false => {
                    let red = AnsiColor::Red.on_default().bold();
                    anstream::eprintln!("{} {text}", styled("roomer:", red));
                }
            }
        }
    }

    /// Writes an answer. If standard output is not a terminal, its bytes are unchanged.
    pub(crate) fn answer(&self, payload: &[u8]) -> Result<(), Failure> {
        if self.is_json {
            let mut value = json!({ "on": "answer" });
            put_payload(&mut value, payload);
            return self.line(&value.to_string());
        }
        let mut out = io::stdout().lock();
        if out.is_terminal() {
            // Unlock standard output first, since `line` locks it again.
            drop(out);
            return self.line(&readable(payload));
        }
        out.write_all(payload)?;
        Ok(out.flush()?)
    }
}

fn dim() -> Style {
    Style::new().dimmed()
}

pub(crate) fn styled(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}

/// Returns the id of a sender in its short form.
pub(crate) fn sender(from: &str) -> String {
    match from {
        "" => styled("server", AnsiColor::Magenta.on_default()),
        id => {
            // Cut after whole characters, since on other servers an id may be any text.
            let short: String = id.chars().take(SHORT_ID).collect();
            styled(&escape(&short), AnsiColor::Green.on_default())
        }
    }
}

/// Escapes characters that could control the terminal, or change the order of the characters in a
/// line.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Bidirectional controls could make the line look different from the text that was sent.
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            '\t' => out.push(c),
            c if c.is_control() || turns => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Formats a payload for people: as text if it is text, otherwise as bytes.
pub(crate) fn readable(payload: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(payload) {
        return escape(text);
    }
    const SHOWN: usize = 32;
    let mut out = format!("<{} bytes:", payload.len());
    for byte in payload.iter().take(SHOWN) {
        let _ = write!(out, " {byte:02x}");
    }
    out.push_str(if payload.len() > SHOWN { " …>" } else { ">" });
    out
}

/// Adds a payload to a JSON object: as `text` if it is UTF-8, otherwise as `base64`.
pub(crate) fn put_payload(value: &mut Value, payload: &[u8]) {
    match std::str::from_utf8(payload) {
        Ok(text) => value["text"] = text.into(),
        Err(_) => value["base64"] = BASE64.encode(payload).into(),
    }
}

/// The user and the info of a member, as sent by the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    user: Option<String>,
    /// The member's info, as JSON.
    info: Option<String>,
}

impl Profile {
    /// Copies a member's details, since no output may be written while the client's members are
    /// borrowed.
    pub(crate) fn of(members: &Members, id: &ConnId) -> Profile {
        Profile {
            user: members.user(id).map(Into::into),
            info: members.info(id).map(|info| info.as_str().into()),
        }
    }

    /// Returns the value of `name` in the info, for display.
    pub(crate) fn name(&self) -> Option<String> {
        let info: Value = serde_json::from_str(self.info.as_deref()?).ok()?;
        Some(info.get("name")?.as_str()?.to_owned())
    }

    pub(crate) fn put(&self, value: &mut Value) {
        if let Some(user) = &self.user {
            value["user"] = user.as_str().into();
        }
        // The info is valid JSON, but it may be nested more deeply than serde_json permits. It is
        // then omitted.
        if let Some(Ok(info)) = self.info.as_deref().map(serde_json::from_str::<Value>) {
            value["info"] = info;
        }
    }
}

/// Formats the details as they are displayed after the id.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "  {}", escape(user))?;
        }
        if let Some(info) = &self.info {
            write!(f, "  {}", styled(&escape(info), dim()))?;
        }
        Ok(())
    }
}
