//! The output of a run: a line of JSON with latencies, and the progress on a terminal.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stderr};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// A JSON object without nested objects. The keys are in the order in which they were added.
#[derive(Debug, Default)]
pub struct Report(String);

/// A value in a [`Report`].
pub trait Figure {
    fn json(&self, out: &mut String);
}

impl Report {
    pub fn put(&mut self, key: &str, value: impl Figure) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        key.json(&mut self.0);
        self.0.push(':');
        value.json(&mut self.0);
    }

    pub fn line(&self) -> String {
        format!("{}}}", self.0)
    }
}

impl Figure for bool {
    fn json(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

impl Figure for u64 {
    fn json(&self, out: &mut String) {
        let _ = write!(out, "{self}");
    }
}

impl Figure for usize {
    fn json(&self, out: &mut String) {
        (*self as u64).json(out);
    }
}

impl Figure for f64 {
    fn json(&self, out: &mut String) {
        let _ = match self.is_finite() {
            true => write!(out, "{self:.4}"),
            false => write!(out, "null"),
        };
    }
}

impl Figure for &str {
    fn json(&self, out: &mut String) {
        out.push('"');
        for letter in self.chars() {
            match letter {
                '"' | '\\' => out.extend(['\\', letter]),
                letter if letter < ' ' => out.push(' '),
                letter => out.push(letter),
            }
        }
        out.push('"');
    }
}

impl<T: Figure> Figure for Option<T> {
    fn json(&self, out: &mut String) {
        match self {
            Some(value) => value.json(out),
            None => out.push_str("null"),
        }
    }
}

/// A histogram of latencies in nanoseconds, with a precision of three digits.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn new() -> Latencies {
        // From a microsecond to ten minutes. These bounds are valid, so the call cannot fail.
        Latencies(Histogram::new_with_bounds(1000, 600_000_000_000, 3).expect("valid bounds"))
    }

    #[inline]
    pub fn add(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    pub fn clear(&mut self) {
        self.0.reset();
    }

    pub fn put(&self, report: &mut Report) {
        let us = |nanos: u64| nanos as f64 / 1000.0;
        for (key, share) in [("lat_p50_us", 0.5), ("lat_p99_us", 0.99), ("lat_p999_us", 0.999)] {
            report.put(key, us(self.0.value_at_quantile(share)));
        }
        report.put("lat_max_us", us(self.0.max()));
    }
}

/// A line on the terminal that is overwritten repeatedly. If there is no terminal, nothing is
/// written.
#[derive(Debug)]
pub struct Progress {
    shown: bool,
    next: Instant,
}

impl Progress {
    pub fn new() -> Progress {
        Progress { shown: stderr().is_terminal(), next: Instant::now() }
    }

    pub fn show(&mut self, words: impl FnOnce() -> String) {
        if self.shown && Instant::now() >= self.next {
            let _ = write!(stderr(), "\r\x1b[K{}", words());
            self.next = Instant::now() + Duration::from_millis(200);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
