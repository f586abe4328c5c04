//! Transcripts: the hub's actions for each input, as readable text.
//!
//! Each file in `transcripts/` is one scenario. A line without indentation is a comment (`#`)
//! or a command. The indented lines after a command are all the resulting actions, in order,
//! and must match exactly. `UPDATE_TRANSCRIPTS=1 cargo test -p roomer-hub transcripts`
//! rewrites the files; review the changes.
//!
//! The commands are listed below. A name that is empty or contains spaces must be quoted.
//!
//! | command | input |
//! |---|---|
//! | `config compat`, `config max_rooms 2`, `config max_name 8` | before everything else |
//! | `config strikes 2`, `config roommates_only` | before everything else; no time passes |
//! | `register EVENT` | a handler for the event |
//! | `open ann` | a connection, whose id is shown as `ann` from here on |
//! | `ann join ROOM`, `ann leave ROOM` | a packet with room and event only |
//! | `ann send ROOM EVENT ["payload"] [dst=X] [src=X]` | any packet |
//! | `ann direct X EVENT ["payload"] [room=R] [src=X]` | a packet with dst, room `root` |
//! | `ann gone` | the connection is gone |
//! | `command broadcast FROM ROOM EVENT ["payload"]` | `FROM` is a name or `nobody` |
//! | `command send FROM X EVENT ["payload"]` | |
//! | `command join ann ROOM`, `command leave ann ROOM`, `command close ann CODE "reason"` | |
//! | `show` | none: prints the members of each room |
//!
//! `X` stands for the id of the connection with that name. Within other text, `$ann` is the id,
//! and `$ANN` the id in upper case. `lobby#2` is the second room with the name `lobby`, which
//! has a new key. After each command, the hub's tables are checked for consistency.

use std::fs;
use std::path::Path;

use crate::support::interpreter::Interpreter;

/// Declares a test for each transcript, and one that checks that every transcript has a test.
macro_rules! transcripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name));
        })*

        #[test]
        fn every_file_has_test() {
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
    commands_without_sender
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
    let expected = fs::read_to_string(&file).unwrap();
    let mut interpreter = Interpreter::default();
    let mut actual = String::new();
    for line in expected.lines().filter(|line| !line.starts_with(' ')) {
        actual.push_str(line);
        actual.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            for action in interpreter.run(line) {
                actual.push_str(&format!("    {action}\n"));
            }
            interpreter.check();
        }
    }
    if actual == expected {
        return;
    }
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        return fs::write(&file, actual).unwrap();
    }
    panic!(
        "the transcript {name} differs (- expected, + actual):\n{}",
        difference(&expected, &actual)
    );
}

/// Returns all lines, with a prefix on the lines that only one side has. Uses the longest common
/// subsequence so that one missing line does not mark all later lines as different.
fn difference(expected: &str, actual: &str) -> String {
    let expected: Vec<&str> = expected.lines().collect();
    let actual: Vec<&str> = actual.lines().collect();
    let mut common = vec![vec![0; actual.len() + 1]; expected.len() + 1];
    for at in (0..expected.len()).rev() {
        for to in (0..actual.len()).rev() {
            common[at][to] = if expected[at] == actual[to] {
                common[at + 1][to + 1] + 1
            } else {
                common[at + 1][to].max(common[at][to + 1])
            };
        }
    }
    let (mut out, mut at, mut to) = (String::new(), 0, 0);
    while at < expected.len() || to < actual.len() {
        let (sign, line) = if at < expected.len() && to < actual.len() && expected[at] == actual[to]
        {
            (at, to) = (at + 1, to + 1);
            (' ', expected[at - 1])
        } else if at < expected.len()
            && (to == actual.len() || common[at + 1][to] >= common[at][to + 1])
        {
            at += 1;
            ('-', expected[at - 1])
        } else {
            to += 1;
            ('+', actual[to - 1])
        };
        out.push_str(&format!("{sign} {line}\n"));
    }
    out
}

#[test]
fn diff_marks_only_differing_lines() {
    let (expected, actual) = ("open ann\n    a\n    b\n    c\n", "open ann\n    b\n    d\n    c\n");
    let lines = ["  open ann", "-     a", "      b", "+     d", "      c", ""];
    assert_eq!(difference(expected, actual), lines.join("\n"));
}
