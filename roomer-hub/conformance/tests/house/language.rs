//! The language of comments, pages and texts in code: what counts as prose, and discouraged phrases.
#![allow(clippy::unwrap_used, reason = "a file that cannot be parsed must fail its test")]

use std::path::Path;

use syn::Lit;
use syn::parse::{ParseStream, Parser};

/// Phrases that hide the subject of a sentence, or that are outdated.
const PHRASES: [&str; 19] = [
    "nobody",
    "somebody",
    "anybody",
    "everybody",
    "whoever",
    "whom",
    "those who",
    "one who",
    "is no",
    "in its care",
    "owes",
    "owed",
    "till",
    "told to a",
    "is told",
    "are told",
    "heard",
    "hears",
    "spoken",
];

/// Returns the part of a line that is prose: the rest is code, which may contain any name, and
/// output, which may use any words.
pub(crate) fn prose(path: &str, line: &str) -> String {
    let code = line.trim_start();
    let is_rust = path.ends_with(".rs");
    let extension = Path::new(path).extension().and_then(|it| it.to_str());
    if matches!(extension, None | Some("md" | "py" | "toml")) {
        line.to_owned()
    } else if path.ends_with(".txt") {
        if code.starts_with('#') { line.to_owned() } else { String::new() }
    } else if !is_rust && (code.starts_with('*') || code.starts_with("/*")) {
        line.to_owned()
    } else if let Some((_, comment)) = line.split_once("//") {
        comment.to_owned()
    } else if let Some((_, name)) = line.split_once("fn ").filter(|_| is_rust) {
        name.split(['(', '<']).next().unwrap_or_default().replace('_', " ")
    } else if ["test(", "describe("].iter().any(|call| code.starts_with(call)) && !is_rust {
        code.split_once('(').map_or("", |(_, title)| title).to_owned()
    } else {
        String::new()
    }
}

/// Returns the discouraged phrases in a line, in the order of the list.
pub(crate) fn discouraged(line: &str) -> impl Iterator<Item = &'static str> {
    // Ignore text that is quoted as code.
    let is_quoted = line.matches('`').count().is_multiple_of(2);
    let kept: Vec<&str> = line.split('`').step_by(if is_quoted { 2 } else { 1 }).collect();
    let text = kept.join(" code ").to_lowercase();
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && !['\'', '_'].contains(&c))
        .filter(|word| !word.is_empty())
        .collect();
    let text =
        format!(" {} ", words.join(" ")).replace("there is no ", "").replace("is no longer", "");
    PHRASES.into_iter().filter(move |phrase| text.contains(&format!(" {phrase} ")))
}

/// Returns the strings in Rust code, including those in the arguments of macros.
pub(crate) fn texts(code: &str) -> Vec<String> {
    Parser::parse_str(texts_of_tokens, code).unwrap()
}

fn texts_of_tokens(input: ParseStream<'_>) -> syn::Result<Vec<String>> {
    input.step(|cursor| {
        let mut found = Vec::new();
        let mut due = vec![*cursor];
        let mut end = *cursor;
        while let Some(mut next) = due.pop() {
            while !next.eof() {
                if let Some((inside, _, _, after)) = next.any_group() {
                    due.push(inside);
                    next = after;
                } else if let Some((literal, after)) = next.literal() {
                    match syn::parse_str(&literal.to_string())? {
                        Lit::Str(text) => found.push(text.value()),
                        Lit::ByteStr(text) => {
                            found.push(String::from_utf8_lossy(&text.value()).into_owned());
                        }
                        _ => {}
                    }
                    next = after;
                } else if let Some((_, after)) = next.token_tree() {
                    next = after;
                }
            }
            end = next;
        }
        Ok((found, end))
    })
}

#[test]
fn prose_covers_comments_function_names_and_test_titles() {
    assert_eq!(prose("a.rs", r#"    send("nobody"); // A guest."#), " A guest.");
    assert_eq!(prose("a.rs", "pub async fn a_guest_joins() {"), "a guest joins");
    assert_eq!(prose("a.rs", "struct NoGuest;"), "");
    assert_eq!(prose("a.js", r#"    test("joins", async () => {"#), r#""joins", async () => {"#);
    assert_eq!(prose("a.js", " * A guest."), " * A guest.");
    assert_eq!(prose("a.toml", r#"reason = "a guest""#), r#"reason = "a guest""#);
    assert_eq!(prose("a.txt", "command send nobody"), "");
    assert_eq!(prose("a.txt", "# A guest."), "# A guest.");
    assert_eq!(prose("folder/a", "# A guest."), "# A guest.");
}

#[test]
fn discouraged_phrases_are_found_as_whole_words() {
    let found = |line| discouraged(line).collect::<Vec<_>>();
    assert_eq!(found("Nobody waits until those who till it go."), ["nobody", "those who", "till"]);
    assert_eq!(found("It is `no` or `nobody`."), [""; 0]);
    assert_eq!(found("A guest is no member, but there is no reason to stay still."), ["is no"]);
}

#[test]
fn texts_are_found_in_expressions_and_macros() {
    let code = r##"
        /// A comment.
        fn a() -> Error {
            assert!(is_open(), "a door that {} is shut", b"bytes");
            Error::new("two \
                        lines", 'c', r#"raw"#)
        }
    "##;
    let mut found = texts(code);
    found.sort();
    assert_eq!(found, [" A comment.", "a door that {} is shut", "bytes", "raw", "two lines"]);
}
