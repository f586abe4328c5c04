//! The load generator as a separate program, the same as `roomer bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    roomer_load::run("load", std::env::args_os().skip(1))
}
