//! Tests `roomer talk` in a terminal.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::Child;

use crate::support::{Serving, Tail, roomer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// A conversation in a terminal.
struct Talk {
    child: Child,
    /// The side of the terminal to which keys are sent.
    keys: File,
    /// The side of the program.
    terminal: File,
}

impl Talk {
    /// Starts a conversation, and waits for the prompt. After that, the editor waits for keys.
    fn start(serving: &Serving) -> Talk {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let side = || terminal.try_clone().unwrap();
        let mut command = roomer(&["talk", &serving.url, "lobby"]);
        command.env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side());
        let mut keys = File::from(master);
        let child = command.spawn().unwrap();
        let mut shown = Vec::new();
        while !shown.windows(2).any(|two| two == b"> ") {
            let mut some = [0; 256];
            let read = keys.read(&mut some).unwrap();
            shown.extend_from_slice(&some[..read]);
        }
        Talk { child, keys, terminal }
    }

    fn is_line_wise(&self) -> bool {
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits until the program has closed the terminal, and returns what it has shown.
    fn rest(self) -> String {
        let Talk { mut child, mut keys, terminal } = self;
        drop(terminal);
        let mut shown = Vec::new();
        loop {
            // If the editor ignores a key, the test must fail.
            let limit = Timespec { tv_sec: 60, tv_nsec: 0 };
            let is_ready =
                poll(&mut [PollFd::new(&keys, PollFlags::IN)], Some(&limit)).unwrap() > 0;
            if !is_ready {
                child.kill().unwrap();
            }
            assert!(is_ready, "{}", String::from_utf8_lossy(&shown));
            let mut some = [0; 256];
            // Linux reports the end as an error.
            let Ok(read @ 1..) = keys.read(&mut some) else { break };
            shown.extend_from_slice(&some[..read]);
        }
        assert!(child.wait().unwrap().success());
        String::from_utf8(shown).unwrap()
    }
}

#[test]
fn signal_restores_terminal() {
    let serving = Serving::start(&[]);
    let mut talk = Talk::start(&serving);
    assert!(!talk.is_line_wise());
    kill_process(Pid::from_child(&talk.child), Signal::TERM).unwrap();
    assert!(talk.child.wait().unwrap().success());
    assert!(talk.is_line_wise());
}

#[test]
fn keys_and_lines_that_arrive_together_are_used() {
    let serving = Serving::start(&[]);
    let mut tail = Tail::start(&serving, "lobby", &[]);
    let mut talk = Talk::start(&serving);
    // A slow connection or an input method delivers several keys at once. The fourth one moves the cursor
    // to the left.
    talk.keys.write_all(b"hel\x1b[Dl\x1b[Co\rsecond line\r/quit\r").unwrap();
    let shown = talk.rest();
    assert!(shown.contains("second line"), "{shown}");
    assert_eq!(
        [tail.message()["text"].clone(), tail.message()["text"].clone()],
        ["hello", "second line"]
    );
}
