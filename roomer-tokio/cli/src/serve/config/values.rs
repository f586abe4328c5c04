//! Values of options that have not been parsed yet, and the places where they were set.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

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

/// The place where a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Default,
    File { name: String, line: usize },
    Variable(String),
    Flag(String),
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
        self.0.insert(entry.key, (raw, place));
    }

    /// Reads the environment variables. If a variable has the prefix of a section but is not an
    /// option, it is an error. All others may belong to other programs, such as `ROOMER_PORT` of
    /// Kubernetes.
    pub(crate) fn read_environment(
        &mut self,
        variables: impl Iterator<Item = (OsString, OsString)>,
        problems: &mut Vec<Problem>,
    ) {
        let known: BTreeMap<String, &Entry> =
            TABLE.iter().map(|entry| (entry.variable(), entry)).collect();
        for (name, value) in variables {
            // The names of options are ASCII, so a name that is not UTF-8 cannot be one.
            let Ok(name) = name.into_string() else { continue };
            let place = Place::Variable(name.clone());
            let problem = |text: String| Problem { place: place.clone(), key: String::new(), text };
            match known.get(&name) {
                Some(entry) => match value.into_string() {
                    Ok(value) => self.set(entry, Raw::Text(value), place),
                    Err(_) => problems.push(problem("is not UTF-8".into())),
                },
                // The name is probably misspelled. Without this error, it would be noticed late
                // that a limit is missing.
                None => {
                    let section = sections().find(|section| {
                        name.starts_with(&format!("ROOMER_{}_", section.to_uppercase()))
                    });
                    problems.extend(section.map(|section| problem(unknown(section))));
                }
            }
        }
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
