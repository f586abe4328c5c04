//! Tests that the command line accepts all commands on the pages, and in the examples of `--help`.
#![allow(clippy::unwrap_used, reason = "test helpers")]

use std::fs;
use std::path::Path;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::args::Args;

#[test]
fn commands_on_pages_are_accepted() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut pages = Vec::new();
    find_pages(root, &mut pages);
    let help = Args::command().get_subcommands().map(examples).collect();
    pages.push(("--help".into(), help));
    let mut count = 0;
    for (page, text) in pages {
        for line in commands(&text) {
            count += 1;
            assert_eq!(rejected(&line), None, "{page}: {line}");
        }
    }
    assert!(count > 25, "{count} commands");
}

#[test]
fn invalid_commands_are_found() {
    for (line, part) in [
        ("roomer tial ws://localhost/ws lobby", "tial"),
        ("roomer tail ws://localhost/ws lobby --evnt chat", "--evnt"),
        ("roomer tail ws://localhost/ws", "<ROOMS>"),
        ("roomer tail ws://localhost/ws lobby --count many", "many"),
        ("roomer serve roomer.toml --log-fromat json", "--log-fromat"),
    ] {
        assert!(rejected(line).unwrap().contains(part), "{line}");
    }
    let text =
        "    date | roomer send 'a b' && roomer x > y\n```sh\nroomer z # why\n```\nroomer no\n";
    assert_eq!(commands(text), ["roomer send 'a b'", "roomer x > y", "roomer z # why"]);
}

/// Returns the reason why a command line is rejected, or `None` if it is accepted.
fn rejected(line: &str) -> Option<String> {
    let error = Args::try_parse_from(words(line)).err()?;
    let is_asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    (!is_asked).then(|| error.to_string())
}

/// Returns the examples in the help of a command, which are indented by two columns, in the form of
/// a page.
fn examples(command: &clap::Command) -> String {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    help.lines().map(|line| format!("  {line}\n")).collect()
}

/// Collects the texts of all pages in a folder and its subfolders.
fn find_pages(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            if !["target", "node_modules"].contains(&&*name) && !name.starts_with('.') {
                find_pages(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Returns the `roomer` commands in the code blocks of a page.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code || line.starts_with("    ") {
            let parts = line.split('|').flat_map(|part| part.split("&&")).map(str::trim);
            found.extend(parts.filter_map(command));
        }
    }
    found
}

/// Returns the command in a part of a line, without the variables that precede it.
fn command(part: &str) -> Option<String> {
    let (before, _) = part.split_once("roomer ").filter(|(before, _)| {
        before.split_whitespace().all(|word| word.contains('=')) && !before.ends_with(['/', '-'])
    })?;
    Some(part[before.len()..].to_owned())
}

/// Splits a command into words, as a shell does, up to a redirection or a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let end = words.iter().position(|word| {
        word.starts_with('#') || word == "&" || word.trim_start_matches('2').starts_with('>')
    });
    words.truncate(end.unwrap_or(words.len()));
    words
}
