//! Statistics in the Prometheus text format.
//!
//! Each field of [`Stats`] is a metric family. The struct is destructured without `..` so that a new
//! field without a metric is a compile error.

use std::fmt::{Display, Write};

use crate::metrics::cluster_stats::ClusterStats;
use crate::metrics::stats::{HistoryStats, SessionStats, Stats};

impl Stats {
    /// Formats the statistics in the Prometheus text format, version 0.0.4, as the response to a scrape
    /// of `/metrics` with the content type `text/plain; version=0.0.4`. All names begin with `roomer_`.
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
            rejected_requests,
            closes,
            closed_by_peer,
            lost,
            handler_errors,
            panics,
            accept_errors,
            sessions,
            histories,
            cluster,
        } = self;
        let mut page = Page(String::new());
        let of_sockets = "Open sockets: connections, handshakes and closing connections.";
        let of_rooms = "Rooms of each connection, summed over all connections.";
        page.gauge("connections", "Connections in the hub.", *connections);
        page.gauge("rooms", "Rooms, including root.", *rooms);
        page.gauge("memberships", of_rooms, *memberships);
        page.gauge("sockets", of_sockets, *sockets);
        page.gauge("handshakes", "Handshakes in progress.", *handshakes);
        page.gauge("queued_bytes", "Bytes queued for writing.", *queued_bytes);
        page.gauge("held_bytes", "Bytes held by connections.", *held_bytes);
        page.counter("opened", "Connections opened.", *opened);
        page.counter("messages_in", "Packets received from clients.", *messages_in);
        page.counter("bytes_in", "Bytes received from clients.", *bytes_in);
        page.counter("messages_out", "Packets queued, counted for each receiver.", *messages_out);
        page.counter("bytes_out", "Bytes written to sockets.", *bytes_out);
        let packets = rejected_packets.iter();
        page.counters("rejected_packets", "Packets rejected by the hub.", "kind", packets);
        let requests = rejected_requests.iter().map(|(status, count)| (status, *count));
        page.counters("rejected_requests", "Rejected HTTP requests.", "status", requests);
        let closes = closes.iter().map(|(code, count)| (code, *count));
        page.counters("closes", "Connections closed by the server.", "code", closes);
        page.counter("closed_by_peer", "Connections closed by clients.", *closed_by_peer);
        page.counter("lost", "Connections that ended without a close frame.", *lost);
        page.counter("handler_errors", "Errors returned by handlers.", *handler_errors);
        page.counter("panics", "Panics in handlers, rules and hooks.", *panics);
        page.counter("accept_errors", "Failures to accept a connection.", *accept_errors);
        page.sessions(sessions);
        page.histories(histories);
        if let Some(cluster) = cluster {
            page.cluster(cluster);
        }
        page.0
    }
}

/// The text written so far. Names and help texts are literals in this file and need no escaping.
struct Page(String);

impl Page {
    fn sessions(&mut self, stats: &SessionStats) {
        let SessionStats { detached, resumed, forwarded, refused, released } = stats;
        self.gauge("sessions_detached", "Sessions without a socket.", *detached);
        self.counter("sessions_resumed", "Sessions continued on a new socket.", *resumed);
        let help = "Sockets here whose sessions are on other nodes.";
        self.gauge("sessions_forwarded", help, *forwarded);
        let help = "Clients that could not return to their sessions.";
        self.counters("sessions_refused", help, "kind", refused.iter());
        let help = "Reports from other nodes about clients of this node's sessions.";
        self.counters("sessions_released", help, "kind", released.iter());
    }

    fn histories(&mut self, stats: &HistoryStats) {
        let HistoryStats { rooms, bytes } = stats;
        self.gauge("history_rooms", "Rooms with a history.", *rooms);
        self.gauge("history_bytes", "Total size of the room histories in bytes.", *bytes);
    }

    fn cluster(&mut self, stats: &ClusterStats) {
        let ClusterStats {
            link_up,
            peers,
            guests,
            held_bytes,
            unapplied_bytes,
            lag_ms,
            frames_in,
            frames_out,
            bytes_in,
            bytes_out,
            demands,
            repaired,
            resets,
            gaps,
            gone,
            refused,
            overflows,
        } = stats;
        self.gauge("cluster_link_up", "1 while the broker is reachable.", usize::from(*link_up));
        self.head("cluster_peers", "Other nodes, by state.", "gauge");
        for (state, count) in peers {
            self.line(format_args!("roomer_cluster_peers{{state=\"{state}\"}} {count}"));
        }
        self.gauge("cluster_guests", "Connections of other nodes in rooms.", *guests);
        self.gauge("cluster_held_bytes", "Bytes held for a missing frame.", *held_bytes);
        self.gauge("cluster_unapplied_bytes", "Bytes not applied by others.", *unapplied_bytes);
        self.head("cluster_lag_seconds", "The longest silence of a live node.", "gauge");
        // Convert to seconds, since Prometheus expects base units.
        let lag = std::time::Duration::from_millis(*lag_ms).as_secs_f64();
        self.line(format_args!("roomer_cluster_lag_seconds {lag}"));
        self.counter("cluster_frames_in", "Frames received.", *frames_in);
        self.counter("cluster_frames_out", "Frames published.", *frames_out);
        self.counter("cluster_bytes_in", "Bytes received in frames.", *bytes_in);
        self.counter("cluster_bytes_out", "Bytes published in frames.", *bytes_out);
        self.counter("cluster_demands", "Requests for missing frames.", *demands);
        self.counter("cluster_repaired", "Missing frames that arrived without a loss.", *repaired);
        let by_cause = [
            ("cluster_resets", "Streams that were reset.", resets),
            ("cluster_gone", "Nodes that were dropped.", gone),
            ("cluster_refused_frames", "Frames that were dropped.", refused),
        ];
        for (name, help, counts) in by_cause {
            let counts = counts.iter().map(|(reason, count)| (reason, *count));
            self.counters(name, help, "why", counts);
        }
        self.counter("cluster_gaps", "Possible losses of messages, counted per room.", *gaps);
        self.counter("cluster_overflows", "Streams dropped because of a slow broker.", *overflows);
    }

    fn gauge(&mut self, name: &str, help: &str, value: usize) {
        self.head(name, help, "gauge");
        self.line(format_args!("roomer_{name} {value}"));
    }

    fn counter(&mut self, name: &str, help: &str, count: u64) {
        self.head(&format!("{name}_total"), help, "counter");
        self.line(format_args!("roomer_{name}_total {count}"));
    }

    /// Appends a counter with one sample for each label value.
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
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

/// Escapes a label value, which is written in quotes.
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
