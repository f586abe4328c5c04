//! Prints the whole configuration as a file, for `--print-config`.

use std::fmt;

use crate::serve::config::Config;
use crate::serve::config::options::{Entry, TABLE};
use crate::serve::config::rooms::{ApiKey, Room, Who};
use crate::serve::config::setting::{Rate, Raw, Setting, Threshold, to_toml};
use crate::serve::config::values::Place;

/// Formats a file that has the same effect as all sources together. Options without a value are
/// comments in it.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = "";
        for entry in TABLE {
            let (section, name) = entry.split();
            if section != last {
                writeln!(f, "\n[{section}]")?;
                last = section;
            }
            writeln!(f, "# {}", entry.help)?;
            let Some((raw, place)) = self.values.raw(entry.key) else { continue };
            let source = match place {
                Place::Default => String::new(),
                place => format!(" # {place}"),
            };
            match raw {
                Raw::Text(text) if text.is_empty() => writeln!(f, "# {name} = {}", entry.form)?,
                // Use `Display`, which omits the credentials for the broker.
                _ if entry.key == "cluster.url" => {
                    let url = self.options.cluster_url.iter().map(ToString::to_string);
                    let url = to_toml(&Raw::Text(url.collect()));
                    writeln!(f, "{name} = {url}{source} (without a login)")?;
                }
                raw => writeln!(f, "{name} = {}{source}", written(raw, entry))?,
            }
        }
        for room in &self.lists.rooms {
            write!(f, "\n[[room]] # {}\n{}", room.place, room.value)?;
        }
        for key in &self.lists.api_keys {
            write!(f, "\n[[api_key]] # {}\n{}", key.place, key.value)?;
        }
        Ok(())
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| to_toml(&Raw::Text(text.into()));
        writeln!(f, "name = {}", text(&self.name))?;
        if let Some(file) = &self.file {
            writeln!(f, "file = {}", text(&file.to_string_lossy()))?;
        }
        if let Some(hash) = &self.sha256 {
            writeln!(f, "sha256 = {}", text(hash))?;
        }
        let rights = self.rights.iter().map(|right| right.name().to_owned());
        writeln!(f, "rights = {}", to_toml(&Raw::List(rights.collect())))?;
        match &self.rooms {
            Some(rooms) => writeln!(f, "rooms = {}", to_toml(&Raw::List(rooms.clone()))),
            // An empty list would mean no room.
            None => writeln!(f, "# rooms = [\"PATTERN\"]"),
        }
    }
}

/// Formats a value as the type of its option requires: numbers and switches have no quotation
/// marks.
pub(super) fn written(raw: &Raw, entry: &Entry) -> String {
    match raw {
        Raw::Text(text) if entry.is_list => {
            let items = text.split(',').map(|item| item.trim().to_owned());
            to_toml(&Raw::List(items.filter(|item| !item.is_empty()).collect()))
        }
        Raw::Text(text) if matches!(entry.form, <usize>::FORM | <bool>::FORM) => text.clone(),
        raw => to_toml(raw),
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: Option<String>| match value {
            Some(value) => writeln!(f, "{name} = {value}"),
            None => Ok(()),
        };
        let text = |text: &str| Some(to_toml(&Raw::Text(text.into())));
        let who = |who: Option<Who>| who.and_then(|who| text(who.name()));
        line("pattern", text(&self.pattern))?;
        line("presence", self.presence.and_then(|presence| text(presence.name())))?;
        line("history", self.history.map(|messages| messages.to_string()))?;
        // Use milliseconds, the smallest unit that the parser accepts.
        line("history_age", self.history_age.map(|age| format!("\"{}ms\"", age.as_millis())))?;
        line("history_bytes", self.history_bytes.map(|bytes| bytes.0.to_string()))?;
        line(
            "deflate",
            self.deflate.and_then(|threshold| match threshold {
                Threshold::From(size) => Some(size.0.to_string()),
                Threshold::Never => text("off"),
            }),
        )?;
        line("join", who(self.join))?;
        line("publish", who(self.publish))?;
        line("whisper", who(self.whisper))?;
        line("history_for", who(self.history_for))?;
        let rate = |rate: Option<Rate>| {
            rate.map(|rate| format!("\"{} burst {}\"", rate.per_second, rate.burst))
        };
        line("rate", rate(self.rate))?;
        line("join_rate", rate(self.join_rate))
    }
}
