//! The configuration: a file, the environment and flags, from one table of options.
//!
//! | file | contents |
//! |---|---|
//! | `options` | the table of options |
//! | `setting` | the kinds of values, and their syntax |
//! | `values` | values with the places where they were written |
//! | `file` | the TOML file |
//! | `rooms` | the lists `[[room]]` and `[[api_key]]` |
//! | `flags` | the command line |
//! | `needs` | options that take effect only together with others |
//! | `print` | the whole configuration as a file |

pub(crate) mod file;
pub(crate) mod flags;
pub(crate) mod needs;
pub(crate) mod options;
mod print;
pub(crate) mod rooms;
pub(crate) mod setting;
pub(crate) mod values;

use std::path::Path;

use crate::serve::config::file::Lists;
use crate::serve::config::flags::Flags;
use crate::serve::config::options::Options;
use crate::serve::config::rooms::Room;
use crate::serve::config::values::{Place, Problem, Values};

/// The whole configuration.
pub(crate) struct Config {
    pub(crate) options: Options,
    pub(crate) lists: Lists,
    pub(crate) values: Values,
}

impl Config {
    /// Reads the file, the environment and the flags. Returns all problems, not only the first.
    pub(crate) fn read(file: Option<&Path>, flags: &Flags) -> Result<Config, Vec<Problem>> {
        let (mut values, mut problems) = (Values::new(), Vec::new());
        let lists = match file {
            Some(file) => file::read(file, &mut values, &mut problems),
            None => Lists::default(),
        };
        values.read_environment(std::env::vars_os(), &mut problems);
        flags.put(&mut values);
        let options = Options::read(&values, &mut problems);
        match options {
            Some(options) if problems.is_empty() => Ok(Config { options, lists, values }),
            _ => {
                // Use the file's order. The sort is stable, so other problems keep theirs.
                problems.sort_by_key(|problem| match problem.place {
                    Place::File { line, .. } => line,
                    _ => usize::MAX,
                });
                Err(problems)
            }
        }
    }

    /// Iterates over the tables `[[room]]`.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &Room> {
        self.lists.rooms.iter().map(|room| &room.value)
    }

    /// Returns a problem with an option, with the place where it was written.
    pub(crate) fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        self.values.problem(key, text)
    }
}
