//! The flags on the command line that set options.

use clap::error::Error;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use crate::serve::config::options::{Entry, TABLE};
use crate::serve::config::setting::Raw;
use crate::serve::config::values::{Place, Values};

/// The flags that were given, with their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags(Vec<(&'static str, Raw)>);

impl Flags {
    pub(crate) fn put(&self, values: &mut Values) {
        for entry in TABLE {
            for (_, raw) in self.0.iter().filter(|(key, _)| *key == entry.key) {
                values.set(entry, raw.clone(), Place::Flag(entry.flag()));
            }
        }
    }
}

fn arg(entry: &'static Entry) -> Arg {
    let (section, _) = entry.split();
    let default = match entry.default {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    Arg::new(entry.key)
        .long(entry.flag())
        .value_name(entry.form)
        .help(format!("{}{default}", entry.help))
        .action(if entry.is_list { ArgAction::Append } else { ArgAction::Set })
        .allow_hyphen_values(true)
        .help_heading(match section {
            "" => "Options, each also a key of the file and a variable ROOMER_…".into(),
            section => format!("[{section}]"),
        })
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        TABLE.iter().fold(command, |command, entry| command.arg(arg(entry)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Flags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for entry in TABLE {
            let Some(given) = matches.get_many::<String>(entry.key) else { continue };
            let given: Vec<&str> = given.map(String::as_str).collect();
            // The items of a list may be separated by commas, or be given in several flags.
            let items = given.iter().flat_map(|text| text.split(',')).map(str::trim);
            let items = items.filter(|item| !item.is_empty()).map(str::to_owned);
            self.0.push(match entry.is_list {
                true => (entry.key, Raw::List(items.collect())),
                // There is only one element, since clap rejects a second flag.
                false => (entry.key, Raw::Text(given.concat())),
            });
        }
        Ok(())
    }
}
