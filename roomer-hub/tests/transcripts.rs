//! Transcripts: what the hub does because of each input, as text to read.
//!
//! Each file in `transcripts/` is one scenario. A line at the margin is a comment (`#`) or a
//! command; the indented lines below a command are everything that the hub did because of it, in
//! order, and must match to the letter. `UPDATE_TRANSCRIPTS=1 cargo test -p roomer-hub --test
//! transcripts` writes the files anew: review what changed.
//!
//! Commands, where a name with blanks or without letters stands in quotes:
//!
//! | command | input |
//! |---|---|
//! | `config compat`, `config max_rooms 2`, `config max_name 8` | before everything else |
//! | `config strikes 2`, `config shared_room_only` | before everything else; no time passes |
//! | `register EVENT` | a handler for the event |
//! | `open ann` | a connection; its id is shown as `ann` from here on |
//! | `ann join ROOM`, `ann leave ROOM` | a packet with just room and event |
//! | `ann send ROOM EVENT ["payload"] [dst=X] [src=X]` | any packet |
//! | `ann direct X EVENT ["payload"] [room=R] [src=X]` | a packet with dst, room `root` |
//! | `ann gone` | the connection is gone |
//! | `command broadcast FROM ROOM EVENT ["payload"]` | `FROM` is a name or `nobody` |
//! | `command send FROM X EVENT ["payload"]` | |
//! | `command join ann ROOM`, `command leave ann ROOM`, `command close ann CODE "reason"` | |
//! | `show` | nothing: prints who is in which room |
//!
//! An id is written as the name of its connection where it is all of `X`, and as `$ann` within
//! other text; `$ANN` is the id in upper case. `lobby#2` is the second room by the name `lobby`:
//! same name, new key. After each command the hub's tables are checked against each other.
#![allow(clippy::unwrap_used)] // a broken transcript has to fail its test

#[path = "support/check.rs"]
mod check;
#[path = "support/stage.rs"]
mod stage;

use std::fs;
use std::path::Path;

use stage::Stage;

/// Declares one test for each file, and one that no file is left out.
macro_rules! transcripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_file_has_a_test() {
            let mut files: Vec<String> = fs::read_dir(folder())
                .unwrap()
                .map(|file| file.unwrap().path().file_stem().unwrap().display().to_string())
                .collect();
            files.sort();
            let mut names = vec![$(stringify!($name)),*];
            names.sort();
            assert_eq!(files, names);
        }
    };
}

transcripts! {
    broadcast
    close
    commands
    commands_from_nobody
    direct
    disconnect
    foreign_room
    foreign_room_compat
    handlers
    join
    leave
    limit_on_names
    limit_on_rooms
    no_root
    open
    rejoin
    rejoin_compat
    reserved_events
    reserved_events_compat
    room_reborn
    roommates
    root
    snapshots
    source
    stale_keys
    strikes
    swaps
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts"))
}

fn replay(name: &str) {
    let file = folder().join(name).with_extension("txt");
    let told = fs::read_to_string(&file).unwrap();
    let mut stage = Stage::default();
    let mut seen = String::new();
    for line in told.lines().filter(|line| !line.starts_with(' ')) {
        seen.push_str(line);
        seen.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            for happened in stage.play(line) {
                seen.push_str(&format!("    {happened}\n"));
            }
            stage.check();
        }
    }
    if seen == told {
        return;
    }
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        return fs::write(&file, seen).unwrap();
    }
    panic!("the transcript {name} differs (- told, + seen):\n{}", difference(&told, &seen));
}

/// All lines, with a sign before those that only one side has. By the longest common
/// subsequence, so that one missing line does not mark all that follow.
fn difference(told: &str, seen: &str) -> String {
    let (told, seen): (Vec<&str>, Vec<&str>) = (told.lines().collect(), seen.lines().collect());
    let mut common = vec![vec![0; seen.len() + 1]; told.len() + 1];
    for at in (0..told.len()).rev() {
        for to in (0..seen.len()).rev() {
            common[at][to] = if told[at] == seen[to] {
                common[at + 1][to + 1] + 1
            } else {
                common[at + 1][to].max(common[at][to + 1])
            };
        }
    }
    let (mut out, mut at, mut to) = (String::new(), 0, 0);
    while at < told.len() || to < seen.len() {
        let (sign, line) = if at < told.len() && to < seen.len() && told[at] == seen[to] {
            (at, to) = (at + 1, to + 1);
            (' ', told[at - 1])
        } else if at < told.len() && (to == seen.len() || common[at + 1][to] >= common[at][to + 1])
        {
            at += 1;
            ('-', told[at - 1])
        } else {
            to += 1;
            ('+', seen[to - 1])
        };
        out.push_str(&format!("{sign} {line}\n"));
    }
    out
}

#[test]
fn a_difference_shows_just_the_lines_that_differ() {
    let (told, seen) = ("open ann\n    a\n    b\n    c\n", "open ann\n    b\n    d\n    c\n");
    let lines = ["  open ann", "-     a", "      b", "+     d", "      c", ""];
    assert_eq!(difference(told, seen), lines.join("\n"));
}
