//! Parses the configuration file: TOML, in which each value's line is recorded for error messages.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::serve::config::options::TABLE;
use crate::serve::config::rooms::{ApiKey, Room};
use crate::serve::config::setting::Raw;
use crate::serve::config::values::{Place, Problem, Values, sections, unknown};

/// The tables in the file that are not options: rooms and API keys.
#[derive(Default)]
pub(crate) struct Lists {
    pub(crate) rooms: Vec<Placed<Room>>,
    pub(crate) api_keys: Vec<Placed<ApiKey>>,
}

/// A table in a list, and the line at which it begins.
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// The state while a file is being parsed.
struct File<'a> {
    name: String,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
}

/// The maximum size of a file, in bytes. Reading a device, or a wrong file, must not exhaust the
/// memory.
const MAX_FILE: u64 = 4 << 20;

/// Reads a file into `values`. Adds all problems to `problems`.
pub(crate) fn read(path: &Path, values: &mut Values, problems: &mut Vec<Problem>) -> Lists {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(text) => {
            let text = format!("{}: {text}", path.display());
            problems.push(Problem { place: Place::Default, key: String::new(), text });
            return Lists::default();
        }
    };
    let mut lists = Lists::default();
    let mut file = File { name: path.display().to_string(), text: &text, problems };
    match DeTable::parse(&text) {
        Ok(table) => file.table("", table.into_inner(), values, &mut lists),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            file.fail(at, "", with_remedy(error.message()));
        }
    }
    lists
}

fn read_text(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    // Read one byte more than is permitted, so that a file that is too long is detected.
    let read =
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if read as u64 > MAX_FILE {
        return Err("has more than 4 MiB; is it a configuration file?".into());
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".into())
}

impl File<'_> {
    fn place(&self, at: usize) -> Place {
        // Count the lines from the start for each value. Such files are short.
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Place::File { name: self.name.clone(), line }
    }

    fn fail(&mut self, at: usize, key: &str, text: impl Into<String>) {
        let place = self.place(at);
        self.problems.push(Problem { place, key: key.into(), text: text.into() });
    }

    /// Reads the options of a section, or of the top level.
    fn table(&mut self, section: &str, table: DeTable<'_>, values: &mut Values, lists: &mut Lists) {
        for (name, value) in table {
            let at = name.span().start;
            let key = match section {
                "" => name.get_ref().to_string(),
                section => format!("{section}.{}", name.get_ref()),
            };
            let entry = TABLE.iter().find(|entry| entry.key == key);
            match (entry, value.get_ref()) {
                (Some(entry), _) => match raw(value.get_ref()) {
                    Ok(raw) => {
                        let place = self.place(value.span().start);
                        values.set(entry, raw, place);
                    }
                    Err(text) => self.fail(at, &key, text),
                },
                (None, DeValue::Table(_)) if sections().any(|section| section == key) => {
                    if let DeValue::Table(table) = value.into_inner() {
                        self.table(&key, table, values, lists);
                    }
                }
                (None, _) if key == "room" => lists.rooms = self.list(&key, value),
                (None, _) if key == "api_key" => {
                    lists.api_keys = self.list(&key, value);
                    for Placed { value, place } in &mut lists.api_keys {
                        value.file = value.file.take().map(|file| place.resolve(&file));
                    }
                }
                // The key is the name of a section, but its value is not a table.
                (None, _) if sections().any(|section| section == key) => {
                    self.fail(at, &key, format!("is a section: write [{key}] above its keys"));
                }
                (None, _) => self.fail(at, &key, unknown(section)),
            }
        }
    }

    /// Reads all tables of a list such as `[[room]]`.
    fn list<T: DeserializeOwned>(
        &mut self,
        key: &str,
        value: Spanned<DeValue<'_>>,
    ) -> Vec<Placed<T>> {
        let at = value.span().start;
        let DeValue::Array(array) = value.into_inner() else {
            self.fail(at, key, format!("is a list: write [[{key}]], once for each"));
            return Vec::new();
        };
        let mut list = Vec::new();
        for value in array {
            let at = value.span().start;
            let keys = keys(&value);
            match T::deserialize(ValueDeserializer::from(value)) {
                Ok(value) => list.push(Placed { value, place: self.place(at) }),
                Err(error) => {
                    let at = error.span().map_or(at, |span| span.start);
                    let key = match keys.iter().find(|(_, span)| span.contains(&at)) {
                        Some((name, _)) => format!("{key}.{name}"),
                        // The error is about the whole table: a key is missing.
                        None => key.into(),
                    };
                    self.fail(at, &key, with_remedy(error.message()));
                }
            }
        }
        list
    }
}

/// Returns the keys of a table, each with the place of the key and its value in the file.
fn keys(table: &Spanned<DeValue<'_>>) -> Vec<(String, Range<usize>)> {
    let DeValue::Table(table) = table.get_ref() else { return Vec::new() };
    let key = |(name, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        (name.get_ref().to_string(), name.span().start..value.span().end)
    };
    table.iter().map(key).collect()
}

/// Adds what to write to an error of the parser, if the error says only what is wrong.
fn with_remedy(error: &str) -> String {
    let remedy = if error.contains("expected a string")
        || (error.starts_with("invalid") && error.contains("expected nothing"))
    {
        ": write text in quotation marks"
    } else if error.contains("expected a sequence") {
        ": write a list, such as [\"one\", \"two\"]"
    } else {
        ""
    };
    format!("{error}{remedy}")
}

fn raw(value: &DeValue<'_>) -> Result<Raw, String> {
    Ok(match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Raw::Number(number.as_str().into()),
        // The parser removes the prefix of a hexadecimal, octal or binary number, so its digits
        // would be read as decimal.
        DeValue::Integer(_) => return Err("write the number in decimal digits".into()),
        // Keep the number as text, since the range of valid numbers depends on the option.
        DeValue::Float(number) => Raw::Number(number.as_str().into()),
        DeValue::Boolean(toggle) => Raw::Toggle(*toggle),
        DeValue::Array(items) => {
            let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
            let items: Option<Vec<String>> = items.iter().map(text).collect();
            Raw::List(items.ok_or("write a list of texts, such as [\"one\", \"two\"]")?)
        }
        DeValue::Datetime(_) => return Err("is a date; write another value".into()),
        DeValue::Table(_) => return Err("is one option, not a section; write a value".into()),
    })
}
