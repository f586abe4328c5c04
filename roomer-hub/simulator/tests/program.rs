//! Tests the command line of `sim`.

use std::process::{Command, Output};

fn sim(args: &[&str]) -> (Output, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sim")).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    (output, out, errors)
}

#[test]
fn errors_are_reported_in_one_line() {
    for (args, part) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--seeds", "many"], "--seeds needs a number"),
        (&["--seeds", "1", "nonsense"], "nonsense"),
        (&[], "--seeds N is required"),
    ] {
        let (output, out, errors) = sim(args);
        assert_eq!((output.status.code(), &*out), (Some(2), ""), "{errors}");
        let line = errors.strip_suffix('\n').unwrap();
        assert!(line.starts_with("error: ") && line.contains(part), "{line}");
        assert!(line.ends_with("; --help lists the options") && !line.contains('\n'), "{line}");
    }
}

#[test]
fn help_and_version_are_printed() {
    for (flag, part) in
        [("-h", "--seeds N"), ("--help", "--seeds N"), ("-V", "0."), ("--version", "0.")]
    {
        let (output, out, errors) = sim(&[flag]);
        assert!(
            output.status.success() && errors.is_empty() && out.contains(part),
            "{flag}: {out}"
        );
    }
}

#[test]
fn each_mode_runs_seeds() {
    for mode in [
        "",
        "--guests",
        "--requests",
        "--members",
        "--sessions",
        "--cluster",
        "--full",
        "--client",
        "--scripted",
    ] {
        let args: Vec<_> = ["--seeds", "2", "--start", "4711"]
            .into_iter()
            .chain(mode.split_whitespace())
            .collect();
        let (output, out, errors) = sim(&args);
        assert!(output.status.success() && errors.is_empty(), "{mode}: {out}{errors}");
    }
}
