//! Statistics as text for Prometheus.
//!
//! A field of [`Stats`] is a family here, and one line: those below take the structs apart, so
//! that a field which nobody shows does not compile.

use std::fmt::{Display, Write};

use crate::metrics::stats::Stats;

impl Stats {
    /// The statistics in Prometheus' text format, version 0.0.4: what a scrape of `/metrics` is
    /// to be answered with, as `text/plain; version=0.0.4`. Every name begins with `roomer_`.
    ///
    /// ```
    /// # use roomer_engine as roomer_tokio;
    /// use roomer_tokio::Server; // or roomer_smol
    /// let server = Server::builder().build()?;
    /// let text = server.stats().to_prometheus();
    /// assert!(text.contains("# TYPE roomer_connections gauge\nroomer_connections 0\n"));
    /// # Ok::<(), roomer_engine::BuildError>(())
    /// ```
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let Stats {
            connections,
            rooms,
            memberships,
            sockets,
            handshakes,
            queued_bytes,
            held_bytes,
            opened,
            messages_in,
            bytes_in,
            messages_out,
            bytes_out,
            rejected_packets,
            refused,
            closes,
            closed_by_peer,
            lost,
            handler_errors,
            panics,
            accept_errors,
        } = self;
        let mut page = Page(String::new());
        page.gauge("connections", "Connections in the hub.", *connections);
        page.gauge("rooms", "Rooms, root included.", *rooms);
        page.gauge("memberships", "Seats in rooms, of all connections.", *memberships);
        page.gauge("sockets", "Connections, handshakes and those being closed.", *sockets);
        page.gauge("handshakes", "Handshakes under way.", *handshakes);
        page.gauge("queued_bytes", "Bytes that wait to be written.", *queued_bytes);
        page.gauge("held_bytes", "Bytes that connections hold.", *held_bytes);
        page.counter("opened", "Connections that there have been.", *opened);
        page.counter("messages_in", "Packets that clients have sent.", *messages_in);
        page.counter("bytes_in", "Bytes that connections have sent.", *bytes_in);
        page.counter("messages_out", "Packets queued, for each receiver.", *messages_out);
        page.counter("bytes_out", "Bytes that sockets have taken.", *bytes_out);
        page.counters(
            "rejected_packets",
            "What the hub has refused.",
            "kind",
            rejected_packets.iter(),
        );
        let refused = refused.iter().map(|(status, count)| (status, *count));
        page.counters("refused", "Requests that were refused.", "status", refused);
        let closes = closes.iter().map(|(code, count)| (code, *count));
        page.counters("closes", "Connections that the server has closed.", "code", closes);
        page.counter("closed_by_peer", "Connections that clients have closed.", *closed_by_peer);
        page.counter("lost", "Connections cut without a close frame.", *lost);
        page.counter("handler_errors", "Errors that handlers have returned.", *handler_errors);
        page.counter("panics", "Panics of handlers, rules and hooks.", *panics);
        page.counter("accept_errors", "Connections that could not be accepted.", *accept_errors);
        page.0
    }
}

/// The text so far. Names and help texts are literals of ours that need no escapes.
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: usize) {
        self.head(name, help, "gauge");
        self.line(format_args!("roomer_{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) {
        self.head(&format!("{name}_total"), help, "counter");
        self.line(format_args!("roomer_{name}_total {count}"));
    }

    /// One counter for each value of a label.
    fn counters<L: Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        counts: impl Iterator<Item = (L, u64)>,
    ) {
        self.head(&format!("{name}_total"), help, "counter");
        for (value, count) in counts {
            let value = escape(&value.to_string());
            self.line(format_args!("roomer_{name}_total{{{label}=\"{value}\"}} {count}"));
        }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP roomer_{name} {help}"));
        self.line(format_args!("# TYPE roomer_{name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// The value of a label, as the format wants it between quotes.
fn escape(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Page(String::new());
        page.counters("odd", "Odd.", "kind", [("a\"b\\c\nd", 1)].into_iter());
        assert!(page.0.ends_with("roomer_odd_total{kind=\"a\\\"b\\\\c\\nd\"} 1\n"), "{}", page.0);
    }
}
