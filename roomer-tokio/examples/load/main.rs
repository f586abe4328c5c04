//! The load generator as a program of its own. `roomer bench` is the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    roomer_load::run("load", std::env::args_os().skip(1))
}
