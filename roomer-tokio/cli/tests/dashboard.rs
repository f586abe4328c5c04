//! Tests that the queries in `deploy/grafana.json` use metrics that a server has.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpStream;

use crate::support::{Answer, Serving, Tail, TempFile};
use roomer_conformance::http::refusing_port;
use serde_json::Value;

const KEY: &str = "the-key-of-a-dashboard";

/// Parses a page of metrics. Returns the type and the labels of each metric.
fn metrics(page: &str) -> BTreeMap<&str, (&str, BTreeSet<&str>)> {
    let mut metrics = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            metrics.insert(name, (kind, BTreeSet::from(["job", "instance"])));
        } else if let Some((name, labels)) = line.split_once('{') {
            let labels = labels.split(',').map(|label| label.split_once('=').unwrap().0);
            metrics.get_mut(name).unwrap().1.extend(labels);
        }
    }
    metrics
}

/// Collects all values of a key, at any depth.
fn all<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|value| all(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| all(value, key, found)),
        _ => {}
    }
}

/// Returns the names of the metrics in a query.
fn names(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("roomer_"))
}

#[test]
fn dashboard_queries_use_existing_metrics_and_labels() {
    let key = TempFile::new("key", KEY);
    let file = TempFile::new(
        "dashboard.toml",
        format!("[[api_key]]\nname = \"a\"\nfile = {:?}\n", key.path()),
    );
    // Configure a broker and a webhook, so that their metrics are present. Neither of them needs to
    // exist.
    let (_held, port) = refusing_port();
    let (broker, hook) =
        (format!("nats://127.0.0.1:{port}"), format!("http://127.0.0.1:{port}/events"));
    let secret = TempFile::new("secret", [b's'; 32]);
    let cluster = ["--cluster-url", &broker, "--cluster-node", "a"];
    let webhook = ["--webhooks-events", &hook, "--webhooks-secret", secret.path()];
    let serving = Serving::start(&[&[file.path()][..], &cluster, &webhook].concat());
    // A metric with a code or a state appears when it occurs for the first time, so let the server
    // close a connection and reject a request.
    let tail = Tail::start(&serving, "lobby", &[]);
    let authorization = format!("Authorization: Bearer {KEY}");
    let path = format!("/v1/connections/{}", tail.id());
    assert_eq!(serving.request("DELETE", &path, &[&authorization], b"").status / 100, 2);
    let host = serving.url.trim_start_matches("ws://").trim_end_matches("/ws");
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(Answer::read(&mut stream).status, 404);
    let page = loop {
        let page = serving.get("/metrics");
        if page.text().contains("roomer_closes_total{") {
            break page;
        }
    };
    let metrics = metrics(page.text());

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/grafana.json");
    let dashboard: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut queries = Vec::new();
    all(&dashboard, "expr", &mut queries);
    assert!(queries.len() > 20, "{}", queries.len());
    for query in queries.iter().map(|query| query.as_str().unwrap()) {
        let name = names(query).next().unwrap_or_else(|| panic!("no metric: {query}"));
        let (kind, labels) = metrics.get(name).unwrap_or_else(|| panic!("no such metric: {query}"));
        // Counters are useful only as rates, and only counters have rates.
        assert_eq!(query.contains("rate("), *kind == "counter", "{query}");
        let (_, by) = query.split_once(" by (").unwrap();
        for label in by.split_once(')').unwrap().0.split(", ") {
            // The states of other nodes appear only if there are other nodes.
            assert!(labels.contains(label) || label == "state", "{label}: {query}");
        }
    }
    let mut variables = Vec::new();
    all(&dashboard["templating"], "query", &mut variables);
    for name in variables.iter().flat_map(|query| names(query.as_str().unwrap())) {
        assert!(metrics.contains_key(name), "{name}");
    }
    // A legend may contain only labels by which its query groups.
    let mut targets = Vec::new();
    all(&dashboard, "targets", &mut targets);
    for target in targets.iter().flat_map(|targets| targets.as_array().unwrap()) {
        let (legend, query) =
            (target["legendFormat"].as_str().unwrap(), target["expr"].as_str().unwrap());
        for label in legend.split("{{").skip(1).map(|rest| rest.split_once("}}").unwrap().0) {
            let (_, by) = query.split_once(" by (").unwrap();
            assert!(by.split_once(')').unwrap().0.split(", ").any(|each| each == label), "{query}");
        }
    }
    let mut ids = Vec::new();
    all(&dashboard["panels"], "id", &mut ids);
    let distinct: BTreeSet<_> = ids.iter().map(|id| id.as_u64().unwrap()).collect();
    assert_eq!(ids.len(), distinct.len());
}
