//! Runs all fuzz targets with the committed corpus.

use std::fs;
use std::path::Path;

/// Runs `body` with every file in the corpus of a target, which must contain at least `count`
/// files.
fn replay(target: &str, count: usize, body: fn(&[u8])) {
    let folder = Path::new("corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the corpus exists")
        .map(|entry| entry.expect("a file").path())
        .collect();
    paths.sort();
    assert!(paths.len() >= count, "{} files", paths.len());
    for path in paths {
        // If `body` panics, the output of the failed test ends with the path of the file.
        println!("{}", path.display());
        body(&fs::read(&path).expect("a readable file"));
    }
}

#[test]
fn client() {
    replay("client", 30, roomer_fuzz::client);
}

#[test]
fn decode() {
    replay("decode", 60, roomer_fuzz::decode);
}

#[test]
fn frame() {
    replay("frame", 25, roomer_fuzz::frame);
}

#[test]
fn websocket() {
    replay("websocket", 40, roomer_fuzz::websocket);
}

#[test]
fn handshake() {
    replay("handshake", 25, roomer_fuzz::handshake);
}

#[test]
fn nats() {
    replay("nats", 40, roomer_fuzz::nats);
}

#[test]
fn plan() {
    replay("plan", 30, roomer_fuzz::plan);
}

#[test]
fn resp() {
    replay("resp", 40, roomer_fuzz::resp);
}

#[test]
fn snapshot() {
    replay("snapshot", 20, roomer_fuzz::snapshot);
}
