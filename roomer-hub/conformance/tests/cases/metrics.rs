//! Tests the page for Prometheus (feature `prometheus`): its format, and that no number is missing.
//!
//! It must conform to the text format, and contain every number in the statistics.

use std::collections::BTreeMap;

use roomer_engine::Stats;

use super::test_server::{TestServer, expect_nothing};
use roomer_conformance::wire;

/// The samples on a page. The key contains the name and the label.
type Samples = BTreeMap<String, u64>;

/// Parses a page strictly: a family consists of a `HELP` line, a `TYPE` line and its samples,
/// without duplicates.
#[track_caller]
fn read(page: &str) -> Samples {
    assert!(page.ends_with('\n'), "the last line is not ended");
    let (mut samples, mut families) = (Samples::new(), Vec::new());
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("no HELP: {line}"));
        let (name, text) = help.split_once(' ').expect("a text");
        assert!(!text.contains('\\') && text.ends_with('.'), "{line}");
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.starts_with("roomer_") && name.chars().all(fine), "{name}");
        assert!(!families.contains(&name), "{name} twice");
        families.push(name);
        let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
        let kind = kind.unwrap_or_else(|| panic!("no TYPE of {name}"));
        assert_eq!(kind, if name.ends_with("_total") { "counter" } else { "gauge" }, "{name}");
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (sample, value) = line.rsplit_once(' ').expect("a value");
            let labels = sample.strip_prefix(name).unwrap_or_else(|| panic!("a stray {line}"));
            if !labels.is_empty() {
                let label = labels.strip_prefix('{').and_then(|l| l.strip_suffix("\"}"));
                let (label, value) = label.and_then(|l| l.split_once("=\"")).expect("a label");
                assert!(!label.is_empty() && label.chars().all(fine), "{line}");
                assert!(value.chars().all(fine), "{line}");
            }
            let before = samples.insert(sample.to_owned(), value.parse().expect("a number"));
            assert_eq!(before, None, "{sample} twice");
        }
    }
    samples
}

/// Returns the samples that the page must contain for these statistics.
fn due(stats: &Stats) -> Samples {
    let rejected_packets = stats.rejected_packets;
    let mut due: Samples = [
        ("roomer_connections", stats.connections as u64),
        ("roomer_rooms", stats.rooms as u64),
        ("roomer_memberships", stats.memberships as u64),
        ("roomer_sockets", stats.sockets as u64),
        ("roomer_handshakes", stats.handshakes as u64),
        ("roomer_queued_bytes", stats.queued_bytes as u64),
        ("roomer_held_bytes", stats.held_bytes as u64),
        ("roomer_opened_total", stats.opened),
        ("roomer_messages_in_total", stats.messages_in),
        ("roomer_bytes_in_total", stats.bytes_in),
        ("roomer_messages_out_total", stats.messages_out),
        ("roomer_bytes_out_total", stats.bytes_out),
        ("roomer_rejected_packets_total{kind=\"reserved\"}", rejected_packets.reserved),
        ("roomer_rejected_packets_total{kind=\"not_member\"}", rejected_packets.not_member),
        ("roomer_rejected_packets_total{kind=\"long_name\"}", rejected_packets.long_name),
        ("roomer_rejected_packets_total{kind=\"too_many_rooms\"}", rejected_packets.too_many_rooms),
        ("roomer_rejected_packets_total{kind=\"unknown_dst\"}", rejected_packets.unknown_dst),
        ("roomer_rejected_packets_total{kind=\"by_application\"}", rejected_packets.by_application),
        ("roomer_rejected_packets_total{kind=\"no_shared_room\"}", rejected_packets.no_shared_room),
        ("roomer_rejected_packets_total{kind=\"rate\"}", rejected_packets.rate),
        ("roomer_rejected_packets_total{kind=\"violations\"}", rejected_packets.violations),
        ("roomer_rejected_packets_total{kind=\"info\"}", rejected_packets.info),
        ("roomer_rejected_packets_total{kind=\"no_handler\"}", rejected_packets.no_handler),
        ("roomer_rejected_packets_total{kind=\"plain_receiver\"}", rejected_packets.plain_receiver),
        (
            "roomer_rejected_packets_total{kind=\"too_many_requests\"}",
            rejected_packets.too_many_requests,
        ),
        ("roomer_rejected_packets_total{kind=\"wrong_tag\"}", rejected_packets.wrong_tag),
        ("roomer_rejected_packets_total{kind=\"unasked\"}", rejected_packets.unasked),
        ("roomer_rejected_packets_total{kind=\"late\"}", rejected_packets.late),
        ("roomer_closed_by_peer_total", stats.closed_by_peer),
        ("roomer_lost_total", stats.lost),
        ("roomer_handler_errors_total", stats.handler_errors),
        ("roomer_panics_total", stats.panics),
        ("roomer_accept_errors_total", stats.accept_errors),
        ("roomer_sessions_detached", stats.sessions.detached as u64),
        ("roomer_sessions_resumed_total", stats.sessions.resumed),
        ("roomer_sessions_forwarded", stats.sessions.forwarded as u64),
        ("roomer_history_rooms", stats.histories.rooms as u64),
        ("roomer_history_bytes", stats.histories.bytes as u64),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (code, count) in &stats.closes {
        due.insert(format!("roomer_closes_total{{code=\"{code}\"}}"), *count);
    }
    for (kind, count) in stats.sessions.refused.iter() {
        due.insert(format!("roomer_sessions_refused_total{{kind=\"{kind}\"}}"), count);
    }
    for (kind, count) in stats.sessions.released.iter() {
        due.insert(format!("roomer_sessions_released_total{{kind=\"{kind}\"}}"), count);
    }
    for (status, count) in &stats.rejected_requests {
        due.insert(format!("roomer_rejected_requests_total{{status=\"{status}\"}}"), *count);
    }
    due
}

#[test]
fn all_metrics_are_exported_by_name() {
    let mut stats = Stats::default();
    stats.connections = 1;
    stats.rooms = 2;
    stats.memberships = 3;
    stats.sockets = 4;
    stats.queued_bytes = 5;
    stats.held_bytes = 10;
    stats.opened = 6;
    stats.messages_in = 7;
    stats.bytes_in = 8;
    stats.messages_out = 9;
    stats.bytes_out = u64::MAX;
    stats.rejected_packets.reserved = 11;
    stats.rejected_packets.not_member = 12;
    stats.rejected_packets.long_name = 13;
    stats.rejected_packets.too_many_rooms = 14;
    stats.rejected_packets.unknown_dst = 15;
    stats.rejected_packets.by_application = 16;
    stats.closes = BTreeMap::from([(1001, 17), (4000, 18)]);
    stats.closed_by_peer = 19;
    stats.lost = 20;
    stats.handler_errors = 21;
    stats.panics = 22;
    stats.accept_errors = 23;
    stats.handshakes = 24;
    stats.rejected_packets.no_shared_room = 25;
    stats.rejected_packets.rate = 26;
    stats.rejected_packets.violations = 27;
    (stats.sessions.detached, stats.sessions.resumed) = (30, 31);
    stats.sessions.refused.unknown = 32;
    stats.sessions.refused.other_user = 33;
    stats.sessions.refused.incomplete = 34;
    (stats.histories.rooms, stats.histories.bytes) = (35, 36);
    stats.rejected_packets.info = 37;
    stats.rejected_packets.no_handler = 38;
    stats.rejected_packets.plain_receiver = 39;
    stats.rejected_packets.too_many_requests = 40;
    stats.rejected_packets.wrong_tag = 41;
    stats.rejected_packets.unasked = 42;
    stats.rejected_packets.late = 43;
    stats.sessions.forwarded = 44;
    stats.rejected_requests = BTreeMap::from([(401, 28), (503, 29)]);
    assert_eq!(read(&stats.to_prometheus()), due(&stats));
    let nothing = Stats::default();
    assert_eq!(read(&nothing.to_prometheus()), due(&nothing));
}

#[test]
fn server_metrics_are_exported() {
    let test = TestServer::with(|builder| builder.on("fail", |_, _| Err("no".into())));
    let [mut a, mut b] = test.clients_in("lobby");
    a.send_to_room("lobby", "fail", b"");
    a.send_to_room("nowhere", "chat", b"");
    a.send_to_room("lobby", "join_ack", b"");
    expect_nothing([&mut a, &mut b]);
    b.send(&wire::message(b"no packet"));
    b.expect_close(1002);
    a.expect_member_left("lobby", &b.id);
    let stats = test.server.stats();
    let samples = read(&stats.to_prometheus());
    assert_eq!(samples, due(&stats));
    for (name, value) in [
        ("roomer_connections", 1),
        ("roomer_rooms", 1),
        ("roomer_opened_total", 2),
        ("roomer_handler_errors_total", 1),
        ("roomer_rejected_packets_total{kind=\"not_member\"}", 1),
        ("roomer_rejected_packets_total{kind=\"reserved\"}", 1),
        ("roomer_closes_total{code=\"1002\"}", 1),
    ] {
        assert_eq!(samples[name], value, "{name}");
    }
}
