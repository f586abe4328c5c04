//! Values of options that have not been parsed yet, and the places where they were set.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::serve::config::options::{Entry, TABLE};
use crate::serve::config::print;
use crate::serve::config::setting::{Raw, Setting};

/// A problem in the configuration: its place, and a text that says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    /// The key that has the problem; empty if it is not about a key.
    pub(crate) key: String,
    pub(crate) text: String,
}

/// The place in the configuration that sets a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Default,
    File { name: String, line: usize },
    Variable(String),
    Flag(String),
}

impl Place {
    /// Makes a path absolute. A path in a file is relative to the folder of that file, so that its
    /// meaning does not depend on where the server is started; all others are relative to the working
    /// directory.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        let path = match self {
            Place::File { name, .. } => {
                Path::new(name).parent().unwrap_or(Path::new("")).join(path)
            }
            _ => path.to_owned(),
        };
        // This fails only if the path is empty or there is no working directory. Opening the file then
        // reports it.
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Makes the paths in the value of an option absolute.
    fn resolve_all(&self, raw: Raw, entry: &Entry) -> Raw {
        let resolve = |text: &str| match text {
            // Empty text means that there is no value.
            "" => String::new(),
            url if url.contains("://") => url.into(),
            path => self.resolve(Path::new(path)).to_string_lossy().into_owned(),
        };
        match raw {
            Raw::Text(text) if entry.is_list => Raw::List(
                text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(resolve).collect(),
            ),
            Raw::Text(text) => Raw::Text(resolve(&text)),
            Raw::List(items) => Raw::List(items.iter().map(|item| resolve(item)).collect()),
            raw => raw,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Default => f.write_str("default"),
            Place::File { name, line } => write!(f, "{name}:{line}"),
            Place::Variable(name) => write!(f, "environment variable {name}"),
            Place::Flag(name) => write!(f, "--{name}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &*self.key) {
            (Place::Default, "") => f.write_str(&self.text),
            (Place::Default, key) => write!(f, "{key}: {}", self.text),
            (place, "") => write!(f, "{place}: {}", self.text),
            (place, key) => write!(f, "{place}: {key}: {}", self.text),
        }
    }
}

/// For each option, its value from the last source that sets it. The sources are, in order: the
/// defaults, the file, the environment, the flags.
pub(crate) struct Values(BTreeMap<&'static str, (Raw, Place)>);

impl Values {
    pub(crate) fn new() -> Values {
        Values(TABLE.iter().map(|entry| (entry.key, (default(entry), Place::Default))).collect())
    }

    pub(crate) fn set(&mut self, entry: &Entry, raw: Raw, place: Place) {
        let raw = match entry.is_path() {
            true => place.resolve_all(raw, entry),
            false => raw,
        };
        self.0.insert(entry.key, (raw, place));
    }

    /// Parses the value of an option. If the value is invalid, adds a problem.
    pub(crate) fn get<T: Setting>(&self, key: &str, problems: &mut Vec<Problem>) -> Option<T> {
        let (raw, _) = self.0.get(key)?;
        let read = T::read(raw);
        read.map_err(|text| problems.push(self.problem(key, text))).ok()
    }

    /// Returns true if the value of an option differs from its default. A printed configuration
    /// contains all defaults, so the place of a value does not show whether it was chosen.
    pub(crate) fn is_changed(&self, entry: &Entry) -> bool {
        let default = print::written(&default(entry), entry);
        self.raw(entry.key).is_some_and(|(raw, _)| print::written(raw, entry) != default)
    }

    /// Returns a problem with the value of an option. It contains the value's place.
    pub(crate) fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        let place = self.0.get(key).map_or(Place::Default, |(_, place)| place.clone());
        Problem { place, key: key.into(), text: text.into() }
    }

    pub(crate) fn raw(&self, key: &str) -> Option<&(Raw, Place)> {
        self.0.get(key)
    }
}

fn default(entry: &Entry) -> Raw {
    match entry.is_list {
        true if entry.default.is_empty() => Raw::List(Vec::new()),
        _ => Raw::Text(entry.default.into()),
    }
}

/// Returns the sections of the file that contain options.
pub(crate) fn sections() -> impl Iterator<Item = &'static str> {
    let mut sections: Vec<_> = TABLE.iter().map(|entry| entry.split().0).collect();
    // The options of a section are adjacent in the table, so equal sections are adjacent too.
    sections.dedup();
    sections.into_iter().filter(|section| !section.is_empty())
}

/// Returns what to write instead of an unknown key in a section.
pub(crate) fn unknown(section: &str) -> String {
    let names = TABLE.iter().map(Entry::split).filter(|(of, _)| *of == section);
    let names: Vec<_> = names.map(|(_, name)| name).collect();
    let names = names.join(", ");
    if !section.is_empty() {
        return format!("unknown; the keys of [{section}] are {names}");
    }
    let sections: Vec<_> = sections().map(|section| format!("[{section}]")).collect();
    format!(
        "unknown; the keys are {names}, the sections {}, the lists [[room]], [[api_key]]",
        sections.join(", ")
    )
}
