//! The load generator as a separate program. `roomer bench` runs the same code.

use std::process::ExitCode;

fn main() -> ExitCode {
    roomer_load::run("load", std::env::args_os().skip(1))
}
