//! Checks that the tests, options and dependencies named on pages exist.
//!
//! Otherwise a page could promise something that no test checks.
#![allow(clippy::unwrap_used)] // a page that cannot be read has to fail its test

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use roomer_proto::close::{self, Close, Wait};

#[test]
fn threats_name_existing_tests_and_options() {
    let page = read("THREATS.md");
    let rows: Vec<Vec<&str>> = page.lines().filter_map(row).collect();
    assert!(rows.len() > 40, "{} threats", rows.len());
    let options = options();
    for row in rows {
        let [threat, _, limit, shown_by] = row[..] else { panic!("four columns: {row:?}") };
        assert!(names_tests(shown_by) > 0, "no test: {threat}");
        for option in spans(limit).filter(|span| span.starts_with(char::is_lowercase)) {
            assert!(options.contains(option), "no option {option}: {threat}");
        }
    }
}

#[test]
fn javascript_client_reserves_same_events_as_protocol() {
    let client = include_str!("../../../js/src/room.js");
    let names = client.split_once("/^((").unwrap().1.split_once(")$|roomer:)/").unwrap().0;
    let names: BTreeSet<&str> = names.split('|').collect();
    for name in &names {
        assert!(roomer_proto::is_built_in(name) || roomer_proto::is_local(name), "{name}");
    }
    let own = include_str!("../../../roomer-proto/src/event.rs").split("pub const ").skip(1);
    let own: BTreeSet<&str> = own.map(|item| item.split('"').nth(1).unwrap()).collect();
    assert_eq!(names, own);
}

#[test]
fn contract_names_test_for_each_promise() {
    let page = read("guide/contract.md");
    let promises =
        page.split("\n## ").filter(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    let mut count = 0;
    for promise in promises {
        let shown_by = promise.split("\n\nShown by ").nth(1).unwrap_or_default();
        let title = promise.lines().next().unwrap();
        assert!(names_tests(shown_by.split(". ").next().unwrap()) > 0, "no test: {title}");
        count += 1;
    }
    assert_eq!(count, 7, "promises");
    let across = page.split("\n## Across nodes\n").nth(1).unwrap().split("\n## ").next().unwrap();
    assert!(names_tests(across.split("\n\nShown by ").nth(1).unwrap()) > 4);
}

#[test]
fn contract_has_close_code_table() {
    let page = read("guide/contract.md");
    let (_, section) = page.split_once("\n## How connections end\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("|---"));
    let rows: Vec<&str> = rows.skip(1).take_while(|line| line.starts_with('|')).collect();
    let due: Vec<String> = close::TABLE.iter().map(close_row).collect();
    assert_eq!(rows, due);
}

fn close_row(close: &Close) -> String {
    let codes = match close.last {
        last if last == close.code => last.to_string(),
        last => format!("{}–{last}", close.code),
    };
    let reason = close.reason.map_or("any other".into(), |reason| format!("`{reason}`"));
    let client = match close.wait {
        None if close.relogin => "reconnects if it has a function for a new token",
        None => "does not reconnect",
        Some(Wait::Slow) => "reconnects, more slowly",
        Some(_) => "reconnects",
    };
    let (sender, fault) = (format!("{:?}", close.sender), format!("{:?}", close.fault));
    let (sender, fault) = (sender.to_lowercase(), fault.to_lowercase());
    format!("| {codes} | {reason} | {sender} | {fault} | {client} | {} |", close.means)
}

/// Checks that the table contains every close code and reason that the server uses. If one were
/// missing, authors of clients could not tell whether to reconnect.
#[test]
fn server_uses_only_close_codes_in_table() {
    // These files forward codes that the application has chosen.
    let pass = ["owned_user_command.rs", "remote.rs"];
    for path in sources(&at("src"))
        .into_iter()
        .chain(sources(&at("engine/src")))
        .chain(sources(&at("../roomer-proto/src")))
    {
        let source = fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        // These files contain the client. It closes as well, but only answers with the server's
        // code.
        if name == "tests.rs" || path.parent().unwrap().ends_with("client") {
            continue;
        }
        for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let has_number = words.any(|word| (1001..=1015).any(|code| word == code.to_string()));
            // A comparison with a code does not close a connection.
            let has_name =
                line.contains("code::") && !line.contains("use ") && !line.contains("== ");
            let has_code = has_number || has_name;
            let is_literal = line.contains("Close {") && line.contains("code:");
            let is_table = path.parent().unwrap().ends_with("close");
            let is_told = is_table || name == "violation.rs";
            assert!(!has_code || is_told, "{}: a close code: {line}", path.display());
            assert!(
                !is_literal || is_told || pass.contains(&name),
                "{}: not from the table: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn dependency_table_matches_manifests() {
    let page = read("../CONTRIBUTING.md");
    let (_, page) = page.split_once("\n## Dependencies").unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `")).filter_map(row);
    let rows: Vec<String> = rows.map(|cells| cells[0].to_owned()).collect();
    let justified: BTreeSet<&str> = rows.iter().flat_map(|cell| spans(cell)).collect();
    let members = [
        "roomer-proto",
        "roomer-hub",
        "roomer-hub/engine",
        "roomer-hub/testkit",
        "roomer-hub/simulator",
        "roomer-hub/conformance",
        "roomer-hub/conformance/web",
        "roomer-tokio",
        "roomer-tokio/cli",
        "roomer-tokio/examples",
        "roomer-tokio/examples/application",
        "roomer-tokio/examples/async_nats",
        "roomer-tokio/examples/load",
        "roomer-tokio/examples/support",
        "roomer-smol",
        "roomer-smol/examples",
        "fuzz",
    ];
    let manifests = members.map(|member| read(format!("../{member}/Cargo.toml")));
    let used = manifests.iter().flat_map(|manifest| dependencies(manifest)).collect();
    let differ = justified.symmetric_difference(&used).filter(|name| !name.starts_with("roomer-"));
    let differ: Vec<_> = differ.collect();
    assert!(differ.is_empty(), "not both used and justified in CONTRIBUTING.md: {differ:?}");
}

/// Checks that the version is the same in all places that `RELEASING.md` lists.
#[test]
fn all_versions_are_equal() {
    let manifest = read("../Cargo.toml");
    let (_, package) = manifest.split_once("\n[workspace.package]\n").unwrap();
    let version = package.split('"').nth(1).unwrap();
    let own = manifest.lines().filter(|line| line.starts_with("roomer-"));
    let pinned = format!("version = \"{version}\"");
    let differ: Vec<&str> = own.filter(|line| !line.contains(&pinned)).collect();
    assert!(differ.is_empty(), "not {version}: {differ:?}");
    assert!(read("../js/package.json").contains(&format!("\n  \"version\": \"{version}\",")));
    assert!(read("../js/README.md").contains(&format!("roomer-{version}.tgz")));
    let (minor, _) = version.rsplit_once('.').unwrap();
    for adapter in ["roomer-tokio", "roomer-smol"] {
        let page = read(format!("../{adapter}/README.md"));
        assert!(page.contains(&format!("{adapter} = \"{minor}\"")), "{adapter}/README.md");
    }
    let changelog = read("../CHANGELOG.md");
    let mut releases = changelog.lines().filter(|line| line.starts_with("## ["));
    assert_eq!(releases.next(), Some("## [Unreleased]"));
    let newest = releases.next().unwrap();
    assert!(newest.starts_with(&format!("## [{version}] - ")), "{newest}");
}

#[test]
fn page_links_resolve() {
    let pages = [
        "../README.md",
        "../BENCHMARKS.md",
        "../CHANGELOG.md",
        "../CONTRIBUTING.md",
        "../RELEASING.md",
        "../SECURITY.md",
        "../js/README.md",
        "../roomer-tokio/guide/migration.md",
        "../roomer-tokio/guide/tuning.md",
        "MUTANTS.md",
        "PROOF.md",
        "THREATS.md",
        "guide/contract.md",
        "engine/guide/scope.md",
    ];
    let mut count = 0;
    for page in pages {
        let text = read(page);
        // Ignore links inside code blocks.
        let prose = text.split("```").step_by(2).flat_map(|part| part.split("](").skip(1));
        for target in prose.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
            let is_elsewhere = target.contains("://") || target.contains("::");
            let is_rustdoc_s = target.starts_with("crate") || target.starts_with("super");
            if is_elsewhere || is_rustdoc_s {
                continue;
            }
            count += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(page).parent().unwrap();
            let file = if file.is_empty() { page.into() } else { folder.join(file) };
            assert!(at(&file).exists(), "{page} links to {target}, which is not there");
            if !heading.is_empty() {
                let text = read(&file);
                let mut headings = text.lines().filter_map(anchor);
                assert!(headings.any(|anchor| anchor == heading), "{page}: no heading {target}");
            }
        }
    }
    assert!(count > 20, "{count} links");
    assert!(read("../README.md").contains("](roomer-hub/engine/guide/scope.md)"));
}

/// Returns the anchor of a heading, as it follows the `#` in links.
fn anchor(line: &str) -> Option<String> {
    let (_, title) = line.split_once("# ").filter(|(marks, _)| marks.chars().all(|c| c == '#'))?;
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    Some(title.to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-"))
}

#[test]
fn comparison_page_has_complete_tables_and_date() {
    let page = read("engine/guide/scope.md");
    assert!(page.contains("Written on 20"), "no date");
    let (missing, compared) = page.split_once("\n## Comparison with other frameworks").unwrap();
    let rows: Vec<Vec<&str>> = missing.lines().filter_map(row).collect();
    assert!(rows.len() > 10, "{} rows", rows.len());
    for row in rows {
        assert!(row.len() == 2 && row.iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
    let rows: Vec<Vec<&str>> = compared.lines().filter_map(row).collect();
    assert!(rows.len() > 10 && rows.iter().all(|row| row.len() == 7), "{rows:?}");
    for option in spans(missing).filter(|span| span.starts_with("max_") || span.starts_with("on_"))
    {
        assert!(options().contains(option), "no option {option}");
    }
}

/// An application depends on an adapter. Examples must therefore import items from an adapter, not
/// from the engine, and only items that both adapters export.
#[test]
fn examples_import_from_adapter_crate() {
    let mut imports = 0;
    let files = sources(&at("engine/src")).into_iter().chain(sources(&at("testkit/src")));
    for file in files.chain([at("../roomer-proto/src/id.rs"), at("guide/contract.md")]) {
        let text = fs::read_to_string(&file).unwrap();
        let is_page = file.extension().is_some_and(|extension| extension == "md");
        for line in text.lines() {
            let doc = line.trim_start();
            let doc = doc.strip_prefix("/// ").or_else(|| doc.strip_prefix("//! "));
            let code = if is_page { Some(line) } else { doc };
            let Some(line) = code else { continue };
            if line.starts_with("# ") || line.contains('`') || line.contains("](") {
                continue; // a hidden line, or not code
            }
            assert!(!line.contains("roomer_engine::"), "{}: {line}", file.display());
            if let Some(import) = line.strip_prefix("use roomer_tokio::") {
                imports += 1;
                both_export(import.split_once(';').unwrap().0);
            }
        }
    }
    assert!(imports > 20, "{imports} imports");
}

/// Checks the servers in examples that readers may copy.
#[test]
fn page_servers_handle_signals_and_name_errors() {
    for page in PAGES_WITH_SERVERS {
        for line in read(page).lines() {
            let serves_for_ever = line.contains(" serve(") || line.contains("`serve(");
            assert!(!serves_for_ever, "{page}: a container's SIGTERM does not close: {line}");
            let is_nameless = line.contains("TcpListener::bind(") || line.contains("pem_file");
            assert!(!is_nameless, "{page}: the error does not say where: {line}");
        }
    }
}

const PAGES_WITH_SERVERS: [&str; 7] = [
    "../README.md",
    "../roomer-tokio/README.md",
    "../roomer-tokio/src/lib.rs",
    "../roomer-tokio/guide/cluster.md",
    "../roomer-tokio/guide/migration.md",
    "../roomer-smol/README.md",
    "../roomer-smol/src/lib.rs",
];

/// Checks that both adapters export all names that are imported.
fn both_export(import: &str) {
    let names = import.trim_matches(['{', '}']).split([',', ' ']).filter(|name| !name.is_empty());
    // Both adapters export the whole `testkit` module.
    for name in names.filter(|_| !import.starts_with("testkit::")) {
        for adapter in ["tokio", "smol"] {
            let exports = read(format!("../roomer-{adapter}/src/lib.rs"));
            let exports = exports.split("pub use ").skip(1).filter_map(|it| it.split(';').next());
            let mut words = exports.flat_map(|it| it.split([',', ' ', '\n', '{', '}', ':']));
            assert!(words.any(|word| word == name), "roomer_{adapter} does not export {name}");
        }
    }
}

/// Returns the names of the direct dependencies in a manifest, including dev-dependencies.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let mut is_in = false;
    manifest.lines().filter_map(move |line| {
        if line.starts_with('[') {
            is_in = line.ends_with("dependencies]");
        }
        line.split_once(['.', ' '])
            .map(|(name, _)| name)
            .filter(|_| is_in && !line.starts_with(['#', '[']))
    })
}

/// Returns the cells of a row in a table. Returns `None` for the table's head, and for lines
/// outside tables.
fn row(line: &str) -> Option<Vec<&str>> {
    let cells = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(cells.split(" | ").collect()).filter(|cells: &Vec<&str>| cells[0] != "threat")
}

/// Checks that the tests named in a text exist. In the text, the name of a file precedes the tests
/// in it. Returns their number.
fn names_tests(text: &str) -> usize {
    let mut file = None;
    let mut count = 0;
    for span in spans(text) {
        if span.ends_with(".rs") {
            file = Some((span, tests_in(span)));
        } else {
            let (path, tests) = file.as_ref().unwrap_or_else(|| panic!("{span}: in which file?"));
            assert!(tests.contains(span), "{path} has no test {span}");
            count += 1;
        }
    }
    count
}

/// Returns the code spans in a text.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the names of all tests in a file.
fn tests_in(path: &str) -> BTreeSet<String> {
    let source = read(path);
    // Tests of the cluster are listed once, for both runtimes. One that is not in the list would be
    // dead code.
    let mark = if path.contains("/tests/cluster/") { "\npub(crate) " } else { "#[test]" };
    let tests = source.split(mark).skip(1);
    tests
        .filter_map(|test| test.split_once("fn ")?.1.split_once('('))
        .map(|(name, _)| name.into())
        .collect()
}

/// Returns the names of the builder's methods.
fn options() -> BTreeSet<String> {
    let files = fs::read_dir(at("engine/src/builder")).unwrap().map(|file| file.unwrap().path());
    let sources = files.map(|file| fs::read_to_string(file).unwrap());
    let methods = |source: String| {
        let names = source.split("    pub fn ").skip(1);
        let names = names.filter_map(|method| method.split_once(['(', '<']));
        names.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    sources.flat_map(methods).collect()
}

/// Returns all Rust files in a folder, recursively.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn at(path: impl AsRef<Path>) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
