//! The log on standard error.

use std::io;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use crate::serve::config::options::{LogFormat, LogLevel, Options};

/// Starts the log. Names that clients choose are escaped by the subscriber: by the rules of JSON in
/// JSON, and otherwise by those of Rust.
pub(crate) fn start(options: &Options) {
    let level = match options.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let log = fmt().with_max_level(level).with_writer(io::stderr);
    // A subscriber that is there already can only be that of an earlier call.
    let _ = match options.log_format {
        LogFormat::Plain => log.with_ansi(false).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
}
