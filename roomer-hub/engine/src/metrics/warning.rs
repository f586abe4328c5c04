//! Warnings for the operator: complete sentences, limited in frequency.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::app::call::catch_panic;
use crate::app::monitor::Monitor;
use crate::env::Environment;
use crate::metrics::trace;
pub use crate::metrics::warning_reason::WarningReason;
use crate::sync::{Mutex, lock};

/// The minimum time between two warnings of the same kind.
const PERIOD: Duration = Duration::from_secs(10);

/// The maximum number of bytes that a warning shows of a value from a client.
const MAX_SHOWN: usize = 128;

/// A condition that a server's operator should know about. `Display` writes a sentence with the
/// condition, its location and the remedy. Warnings are passed to
/// [`Builder::on_warning`](crate::Builder::on_warning) and, with the `tracing` feature, emitted as
/// events at `WARN`. At most one of each kind is emitted every ten seconds.
///
/// Values from a client are escaped and truncated to 128 bytes. Tokens and queries are omitted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The warning's reason.
    pub reason: WarningReason,
    /// The number of warnings of this kind suppressed since the last one.
    pub suppressed: u64,
}

impl WarningReason {
    /// Returns the minimum time between two warnings of this kind. A warning about the
    /// configuration is emitted only once, since the configuration does not change.
    fn period(&self) -> Duration {
        match self {
            WarningReason::NotApplied { .. }
            | WarningReason::NoUser { .. }
            | WarningReason::Descriptors { .. } => Duration::MAX,
            _ => PERIOD,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.suppressed {
            0 => self.reason.fmt(f),
            count => write!(f, "{} (and {count} more like it before)", self.reason),
        }
    }
}

/// The application's warning hook.
pub(crate) type OnWarning = Box<dyn Fn(&Warning) + Send + Sync>;

/// Emits one server's warnings.
pub(crate) struct Warnings {
    hook: Option<OnWarning>,
    monitor: Monitor,
    env: Arc<dyn Environment>,
    recent: RecentWarnings,
}

/// The time of the last warning per kind, and the number suppressed since.
#[derive(Debug, Default)]
struct RecentWarnings(Mutex<BTreeMap<&'static str, Recent>>);

#[derive(Debug)]
struct Recent {
    at: Duration,
    suppressed: u64,
}

impl RecentWarnings {
    /// Returns the number of warnings of this kind suppressed since the last one, or `None` if this
    /// one must be suppressed too.
    fn count(&self, kind: &'static str, now: Duration, period: Duration) -> Option<u64> {
        let mut recent = lock(&self.0);
        match recent.get_mut(kind) {
            // Saturate, since the period may be `Duration::MAX`.
            Some(last) if now < last.at.saturating_add(period) => {
                last.suppressed += 1;
                None
            }
            Some(last) => {
                last.at = now;
                Some(std::mem::take(&mut last.suppressed))
            }
            None => {
                recent.insert(kind, Recent { at: now, suppressed: 0 });
                Some(0)
            }
        }
    }
}

impl Warnings {
    pub(crate) fn new(
        hook: Option<OnWarning>,
        monitor: Monitor,
        env: Arc<dyn Environment>,
    ) -> Self {
        Warnings { hook, monitor, env, recent: RecentWarnings::default() }
    }

    /// Emits a warning, unless one of its kind was emitted recently. Calls application code, so no lock
    /// may be held.
    pub(crate) fn give(&self, reason: WarningReason) {
        if let Some(warning) = self.warning(reason) {
            trace::warning(&warning);
            self.call_hook(&warning);
        }
    }

    /// Like [`give`](Self::give), with another `tracing` event, which `trace` emits with the number
    /// of suppressed warnings.
    pub(crate) fn give_with(&self, reason: WarningReason, trace: impl FnOnce(u64)) {
        if let Some(warning) = self.warning(reason) {
            trace(warning.suppressed);
            self.call_hook(&warning);
        }
    }

    /// Like [`give`](Self::give), for a condition that has its own `tracing` event. Calls only the
    /// hook.
    pub(crate) fn give_to_hook(&self, reason: WarningReason) {
        if self.hook.is_some()
            && let Some(warning) = self.warning(reason)
        {
            self.call_hook(&warning);
        }
    }

    fn warning(&self, reason: WarningReason) -> Option<Warning> {
        let (kind, period) = (reason.kind(), reason.period());
        let suppressed = self.recent.count(kind, self.env.now(), period)?;
        Some(Warning { reason, suppressed })
    }

    fn call_hook(&self, warning: &Warning) {
        if let Some(hook) = &self.hook {
            // A panic in the hook must not affect the connection that the warning is about.
            if let Err(panic) = catch_panic(|| hook(warning)) {
                self.monitor.report_failure(
                    || ("the hook `on_warning`".into(), None),
                    &panic.message,
                    true,
                );
            }
        }
    }
}

/// Formats a client's value for a warning: on one line, in ASCII, truncated.
pub(crate) fn shown(value: &[u8]) -> String {
    // The cut may be between any two bytes, since each byte is escaped separately.
    let start = &value[..value.len().min(MAX_SHOWN)];
    let rest = if value.len() > MAX_SHOWN { "..." } else { "" };
    format!("{}{rest}", start.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_limited_to_one_per_kind_and_period() {
        let (warnings, second) = (RecentWarnings::default(), Duration::from_secs(1));
        let count = |kind, at| warnings.count(kind, at, PERIOD);
        assert_eq!(count("a", second), Some(0));
        assert_eq!(count("b", second), Some(0));
        assert_eq!([2, 3, 10].map(|at| count("a", second * at)), [None; 3]);
        assert_eq!(count("a", second * 11), Some(3));
        assert_eq!(count("a", second * 12), None);
        assert_eq!(count("a", second * 100), Some(1));
        assert_eq!(count("a", second * 200), Some(0));
        let once = |at| warnings.count("once", at, Duration::MAX);
        assert_eq!((once(second), once(second * 1_000_000)), (Some(0), None));
    }

    #[test]
    fn client_values_are_escaped_and_truncated() {
        assert_eq!(shown(b"a\r\nb\x1b[31m\"\xff"), r#"a\r\nb\x1b[31m\"\xff"#);
        assert_eq!(shown(&[b'x'; 128]).len(), 128);
        assert_eq!(shown(&[b'x'; 129]), format!("{}...", "x".repeat(128)));
    }

    #[test]
    fn warning_contains_suppressed_count() {
        let reason = WarningReason::AuthorizeTimeout;
        let alone = Warning { reason: reason.clone(), suppressed: 0 }.to_string();
        let one = Warning { reason, suppressed: 7 }.to_string();
        assert_eq!(one, format!("{alone} (and 7 more like it before)"));
    }
}
