//! The log on standard error.

use std::io;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, registry};

use crate::serve::config::options::{LogFormat, LogLevel, Options};

/// The level of the log, which may change.
pub(crate) struct Level(Handle<Targets, Registry>);

impl Level {
    pub(crate) fn set(&self, options: &Options) {
        // It fails only if there is another log, which is not this one's to change.
        let _ = self.0.reload(targets(options));
    }
}

/// Starts the log. Names that clients choose are escaped by the subscriber: by the rules of JSON in
/// JSON, and otherwise by those of Rust.
pub(crate) fn start(options: &Options) -> Level {
    let (levels, handle) = reload::Layer::new(targets(options));
    let log = fmt::layer().with_writer(io::stderr);
    // A subscriber that is there already can only be that of an earlier call.
    let _ = match options.log_format {
        LogFormat::Plain => registry().with(log.with_ansi(false).with_filter(levels)).try_init(),
        LogFormat::Json => {
            registry().with(log.json().flatten_event(true).with_filter(levels)).try_init()
        }
    };
    Level(handle)
}

fn targets(options: &Options) -> Targets {
    let level = match options.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Below warnings, other crates log details that only help their authors.
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("roomer", level)
}
