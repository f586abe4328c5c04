//! The log, which is written to standard error.
//!
//! A separate thread writes the log. No client has to wait while the reader of the log is blocked,
//! such as a terminal in which text is selected, or a full pipe. Lines that do not fit into the
//! queue are dropped and counted.

use std::io;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, registry};

use crate::serve::config::options::{LogFormat, LogLevel, Options};

/// The maximum number of lines in the queue.
const MAX_LINES: usize = 8_192;

/// The log level, which can be changed while the server runs.
pub(crate) struct Level(Handle<Targets, Registry>);

/// The counter of the lines that were dropped.
#[derive(Clone)]
pub(crate) struct Dropped(ErrorCounter);

impl Dropped {
    /// Returns the counter in the text format of Prometheus.
    pub(crate) fn to_prometheus(&self) -> String {
        const NAME: &str = "roomer_log_lines_dropped_total";
        let count = self.0.dropped_lines();
        format!(
            "# HELP {NAME} Lines of the log that were not written, since their reader was too slow.\n\
             # TYPE {NAME} counter\n{NAME} {count}\n"
        )
    }
}

/// A log that has been started.
pub(crate) struct Log {
    pub(crate) level: Level,
    pub(crate) dropped: Dropped,
    /// When this is dropped, it waits until the lines in the queue are written, for at most a
    /// second.
    pub(crate) end: WorkerGuard,
}

impl Level {
    pub(crate) fn set(&self, options: &Options) {
        // The reload fails only if another subscriber is installed. Its level stays unchanged.
        let _ = self.0.reload(targets(options));
    }
}

/// Starts the log. The subscriber escapes names that clients have chosen, in the JSON format by the
/// rules of JSON, and in the plain format by those of Rust.
pub(crate) fn start(options: &Options) -> Log {
    let (levels, handle) = reload::Layer::new(targets(options));
    let writer = NonBlockingBuilder::default().buffered_lines_limit(MAX_LINES).lossy(true);
    let (writer, end) = writer.thread_name("log").finish(io::stderr());
    let dropped = Dropped(writer.error_counter());
    let log = fmt::layer().with_writer(writer);
    // If a subscriber is already installed, it can only be from an earlier call.
    let _ = match options.log_format {
        LogFormat::Plain => registry().with(log.with_ansi(false).with_filter(levels)).try_init(),
        LogFormat::Json => {
            registry().with(log.json().flatten_event(true).with_filter(levels)).try_init()
        }
    };
    Log { level: Level(handle), dropped, end }
}

fn targets(options: &Options) -> Targets {
    let level = match options.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Below warnings, other crates log only details that are of interest to their authors.
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("roomer", level)
}
