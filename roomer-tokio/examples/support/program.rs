//! The command lines of the examples on both runtimes. Errors are one sentence on standard error.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Ends a program. If there is an error, prints it with its causes.
pub fn finish(outcome: Outcome) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some errors contain the text of their cause already.
        let own = error.to_string();
        if !text.contains(&own) {
            text = format!("{text}: {own}");
        }
        cause = error.source();
    }
    eprintln!("error: {text}");
    ExitCode::FAILURE
}

/// The command line of an example: optionally an address to listen on, and files.
pub struct Program {
    /// A sentence that describes the program.
    pub about: &'static str,
    /// The default address to listen on. Empty if the example is a client.
    pub listen: &'static str,
    /// The files that are required, each with its name in the help. If the last name ends in `...`,
    /// one or more files are required there.
    pub files: &'static [&'static str],
}

/// The command line after parsing.
pub struct Args {
    pub listen: String,
    /// The files, in order. There are as many as the program requires.
    pub files: Vec<PathBuf>,
}

impl Program {
    /// Parses the command line. Returns `None` if it only requests the help or the version.
    pub fn args(&self) -> Outcome<Option<Args>> {
        let mut args = Args { listen: self.listen.into(), files: Vec::new() };
        let mut parser = lexopt::Parser::from_env();
        while let Some(arg) = next(&mut parser)? {
            match arg {
                Long("listen") if !self.listen.is_empty() => {
                    args.listen = text(&mut parser, "listen")?
                }
                Value(file) if self.takes_file(args.files.len()) => args.files.push(file.into()),
                Short('h') | Long("help") => {
                    print!("{}", self.help(parser.bin_name().unwrap_or("example")));
                    return Ok(None);
                }
                Short('V') | Long("version") => {
                    version();
                    return Ok(None);
                }
                _ => return Err(unknown(&arg.unexpected())),
            }
        }
        match self.files.get(args.files.len()) {
            Some(file) => {
                Err(format!("the argument {file} is missing; --help describes it").into())
            }
            None => Ok(Some(args)),
        }
    }

    /// Returns true if the command line may contain another file after the `given` ones.
    fn takes_file(&self, given: usize) -> bool {
        given < self.files.len() || self.files.last().is_some_and(|name| name.ends_with("..."))
    }

    fn help(&self, name: &str) -> String {
        let files: String = self.files.iter().map(|file| format!(" {file}")).collect();
        let (option, listen) = match self.listen {
            "" => ("", String::new()),
            addr => {
                let line =
                    format!("--listen ADDR   the address to listen on (default {addr})\n    ");
                (" [--listen ADDR]", line)
            }
        };
        format!(
            "{}\n\nUsage: {name}{option}{files}\n\n    \
             {listen}-h, --help      print this help\n    \
             -V, --version   print the version\n",
            self.about
        )
    }
}

/// Returns the next argument.
pub fn next(parser: &mut lexopt::Parser) -> Outcome<Option<lexopt::Arg<'_>>> {
    parser.next().map_err(|error| unknown(&error))
}

/// Returns the error for an unknown argument.
pub fn unknown(error: &lexopt::Error) -> Box<dyn Error> {
    format!("{error}; --help lists the options").into()
}

/// Prints the version.
pub fn version() {
    println!("roomer {}", env!("CARGO_PKG_VERSION"));
}

/// Returns the value of an option as text.
pub fn text(parser: &mut lexopt::Parser, option: &str) -> Outcome<String> {
    let value: OsString = parser.value()?;
    value.into_string().map_err(|value| format!("--{option}: {value:?} is not UTF-8").into())
}

/// Returns the value of an option, converted to the type that is requested.
pub fn value<T: FromStr<Err: Display>>(parser: &mut lexopt::Parser, option: &str) -> Outcome<T> {
    let text = text(parser, option)?;
    text.parse().map_err(|error| format!("--{option}: cannot read {text:?}: {error}").into())
}

/// Returns the value of an option as a duration, such as `2`, `0.5`, `2s` or `500ms`.
pub fn time(parser: &mut lexopt::Parser, option: &str) -> Outcome<Duration> {
    let text = text(parser, option)?;
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(&text), 1.0),
    };
    let seconds: f64 =
        number.parse().map_err(|_| format!("--{option}: {text:?} is not a time; write 2s"))?;
    let time = Duration::try_from_secs_f64(seconds * unit);
    time.map_err(|error| format!("--{option}: {text:?}: {error}").into())
}

/// Returns a secret of 32 bytes or more from an environment variable. With a shorter one, tokens that
/// are signed with HS256 could be forged by trying secrets.
pub fn signing_secret(name: &str) -> Outcome<String> {
    match std::env::var(name) {
        Ok(secret) if secret.len() >= 32 => Ok(secret),
        _ => Err(format!(
            "set the variable {name} to 32 bytes or more, for example from `openssl rand -hex 32`"
        )
        .into()),
    }
}

/// Returns a secret from an environment variable.
pub fn secret(name: &str) -> Outcome<String> {
    match std::env::var(name) {
        Ok(secret) if !secret.is_empty() => Ok(secret),
        _ => Err(format!("set the variable {name} to a secret of your choice").into()),
    }
}
