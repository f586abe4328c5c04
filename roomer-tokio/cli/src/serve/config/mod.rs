//! The configuration: a file, the environment and flags, with one table of all options.
//!
//! | file | contents |
//! |---|---|
//! | `options` | the table of options |
//! | `setting` | the types of values, and their syntax |
//! | `values` | values, and the places where they are written |
//! | `environment` | the reader of environment variables |
//! | `file` | the parser of the TOML file |
//! | `rooms` | the lists `[[room]]` and `[[api_key]]` in the file |
//! | `flags` | the flags on the command line |
//! | `needs` | options that have an effect only in combination with others |
//! | `print` | the printer of the whole configuration as a file |

mod environment;
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
    /// Reads the file, the environment and the flags. If there are problems, returns all of them.
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
                // Report problems in the order of the file. The sort is stable, so all others keep
                // their order.
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

    /// Returns a problem with an option. It contains the place where the option is written.
    pub(crate) fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        self.values.problem(key, text)
    }
}
