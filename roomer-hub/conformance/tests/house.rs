//! Checks the rules in CONTRIBUTING.md that concern the repository itself.
//!
//! They concern the length of files, the language of comments and pages, imports between modules,
//! the map of folders, and the contents of published packages.
#![allow(clippy::unwrap_used, reason = "a file that cannot be read must fail its test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use house::imports::Imports;
use house::language::{discouraged, prose, texts};

mod house {
    pub(crate) mod imports;
    pub(crate) mod language;
}

#[test]
fn no_source_file_has_more_than_400_lines() {
    let mut long = Vec::new();
    for path in files(&["rs", "js"]).into_iter().chain(scripts()) {
        let lines = fs::read_to_string(root().join(&path)).unwrap().lines().count();
        if lines > 400 {
            long.push(format!("{path}: {lines} lines"));
        }
    }
    assert!(long.is_empty(), "split these files: {long:#?}");
}

/// A newcomer may read only the tree and the first line of each file, so that line must not break off
/// in mid-sentence.
#[test]
fn first_line_of_each_file_is_complete() {
    let mut broken = Vec::new();
    for path in files(&["rs", "js", "mjs"]) {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let is_code = |line: &&str| {
            line.starts_with("#!")
                || line.is_empty()
                || *line == "/**"
                || line.starts_with("\"use ")
        };
        let first = text.lines().find(|line| !is_code(line)).unwrap_or_default();
        let is_rust = path.ends_with(".rs");
        let marks = if is_rust { &["//! "][..] } else { &["// ", "/** ", " * "] };
        let comment = marks.iter().find_map(|mark| first.strip_prefix(mark)).unwrap_or_default();
        if !comment.trim_end_matches(" */").ends_with('.') {
            broken.push(format!("{path}: {first}"));
        }
    }
    assert!(broken.is_empty(), "begin these files with a short sentence: {broken:#?}");
}

#[test]
fn prose_contains_no_discouraged_phrase() {
    let mut found = Vec::new();
    let sources = files(&["rs", "js", "mjs", "ts", "toml", "md", "txt"]);
    for path in sources.into_iter().chain(scripts()) {
        if path.ends_with("tests/house/language.rs") {
            continue; // this file lists them
        }
        let text = fs::read_to_string(root().join(&path)).unwrap();
        // Code on a page may contain any text, for example chat messages.
        let mut is_code = false;
        for (number, line) in text.lines().enumerate() {
            is_code ^= path.ends_with(".md") && line.trim_start().starts_with("```");
            if !is_code {
                let prose = prose(&path, line);
                let here = discouraged(&prose);
                found.extend(here.map(|phrase| format!("{path}:{}: {phrase}", number + 1)));
            }
        }
    }
    assert!(found.is_empty(), "name the subject, in current English: {found:#?}");
}

/// Strings of one word are data, such as names of users in tests.
#[test]
fn texts_in_code_contain_no_discouraged_phrase() {
    let mut found = Vec::new();
    for path in files(&["rs"]) {
        if path.ends_with("tests/house/language.rs") {
            continue; // this file lists them
        }
        let code = fs::read_to_string(root().join(&path)).unwrap();
        for text in texts(&code).iter().filter(|text| text.contains(' ')) {
            found.extend(discouraged(text).map(|phrase| format!("{path}: {phrase}: {text}")));
        }
    }
    assert!(found.is_empty(), "name the subject, in current English: {found:#?}");
}

/// Each call of `messages()` or `events()` returns a new stream. A loop that makes this call in its
/// condition therefore loses what arrives between two iterations. Examples are copied, so they must
/// not contain such a loop.
#[test]
fn examples_subscribe_once_before_their_loop() {
    let mut found = Vec::new();
    for path in files(&["rs", "md"]) {
        if path.starts_with("roomer-hub/conformance/tests/") {
            continue; // tests may ask for a stream only to see that it has ended
        }
        let text = fs::read_to_string(root().join(&path)).unwrap();
        // A chain of calls may span several lines, in code and in comments.
        let text = text.replace("///", "").replace("//!", "");
        let text: String = text.chars().filter(|char| !char.is_whitespace()).collect();
        for shape in [".messages().next()", ".events().next()"] {
            if text.contains(shape) {
                found.push(format!("{path}: {shape}"));
            }
        }
    }
    assert!(found.is_empty(), "keep the stream in a variable: {found:#?}");
}

#[test]
fn modules_with_folders_use_mod_rs() {
    let sources = files(&["rs"]);
    let mut beside = Vec::new();
    for path in &sources {
        let folder = path.trim_end_matches(".rs");
        let parent = Path::new(path).parent().unwrap();
        // If a test or example consists of a file and a folder, the file is next to the folder, and
        // declares its modules.
        let is_root = !parent.ends_with("src")
            && parent.parent().is_some_and(|it| root().join(it).join("Cargo.toml").exists());
        if !is_root && sources.iter().any(|it| it.starts_with(&format!("{folder}/"))) {
            beside.push(format!("{path} -> {folder}/mod.rs"));
        }
    }
    assert!(beside.is_empty(), "move these files: {beside:#?}");
}

/// With `autotests = false`, Cargo ignores a file in `tests` that is not part of a test target.
#[test]
fn test_files_belong_to_programs() {
    let sources = files(&["rs"]);
    let mut ignored = Vec::new();
    for path in files(&["toml"]).iter().filter(|path| path.ends_with("Cargo.toml")) {
        let manifest = fs::read_to_string(root().join(path)).unwrap();
        if !manifest.contains("\nautotests = false\n") {
            continue;
        }
        let tests = Path::new(path).parent().unwrap().join("tests");
        let listed = manifest.split("[[test]]\nname = \"").skip(1);
        let programs: Vec<&str> = listed.map(|part| part.split('"').next().unwrap()).collect();
        let source =
            |name: &&str| fs::read_to_string(root().join(&tests).join(format!("{name}.rs")));
        let declarations: String = programs.iter().map(|name| source(name).unwrap()).collect();
        for file in sources.iter().map(Path::new).filter(|file| file.parent() == Some(&tests)) {
            let name = file.file_stem().unwrap().to_str().unwrap();
            if !programs.contains(&name) && !declarations.contains(&format!("\nmod {name};\n")) {
                ignored.push(file.display().to_string());
            }
        }
    }
    assert!(ignored.is_empty(), "declare these modules in tests/main.rs: {ignored:#?}");
}

/// A target with `test = false` must not contain unit tests, since Cargo would not run them.
#[test]
fn targets_without_unit_test_program_contain_no_tests() {
    let manifests: Vec<String> =
        files(&["toml"]).into_iter().filter(|path| path.ends_with("Cargo.toml")).collect();
    let folders: Vec<&Path> =
        manifests.iter().map(|path| Path::new(path).parent().unwrap()).collect();
    let sources = files(&["rs"]);
    let mut ignored = Vec::new();
    for folder in &folders {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        for target in manifest.split("\n[").filter(|part| part.contains("\ntest = false\n")) {
            let path = target.split_once("path = \"").and_then(|(_, rest)| rest.split('"').next());
            let source = folder.join(path.unwrap_or("src/lib.rs"));
            let is_part = |file: &Path| {
                let package = folders.iter().filter(|it| file.starts_with(it));
                let is_own = package.max_by_key(|it| it.as_os_str().len()) == Some(folder);
                is_own && target.starts_with("lib]") && !file.starts_with(folder.join("tests"))
            };
            for path in &sources {
                let file = Path::new(path);
                if file == source || is_part(file) {
                    let text = fs::read_to_string(root().join(file)).unwrap();
                    // Other attributes for tests end in the same word, such as `#[tokio::test]`.
                    if text.contains("#[test]\n") || text.contains("::test]\n") {
                        ignored.push(path.clone());
                    }
                }
            }
        }
    }
    assert!(ignored.is_empty(), "remove `test = false` for these tests: {ignored:#?}");
}

/// The other crates are exempt, for the reasons given in CONTRIBUTING.md.
#[test]
fn module_imports_have_no_cycles() {
    const FOLDERS: [&str; 7] = [
        "roomer-proto/src",
        "roomer-hub/src",
        "roomer-hub/conformance/src",
        "roomer-tokio/src",
        "roomer-tokio/examples/application/src",
        "roomer-tokio/examples/support",
        "roomer-smol/src",
    ];
    for folder in FOLDERS {
        let read = |file: &str| fs::read_to_string(root().join(folder).join(file)).ok();
        let circles = Imports::of(&read).circles();
        assert!(circles.is_empty(), "move what both need below both in {folder}: {circles:#?}");
    }
}

/// The map must contain each member of the workspace and each top-level folder. It may contain
/// further folders, which must exist.
#[test]
fn folder_map_matches_tree() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let (_, map) = page.split_once("\n## Layout\n").unwrap();
    let (map, _) = map.split_once("\n## ").unwrap();
    let cells = map.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let mapped: BTreeSet<&str> =
        cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`')).collect();

    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let mut tree: BTreeSet<String> =
        members.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    let folders = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| entry.file_type().unwrap().is_dir());
    let names = folders.map(|entry| entry.file_name().into_string().unwrap());
    tree.extend(names.filter(|name| !name.starts_with('.') && name != "target"));

    let tree: BTreeSet<&str> = tree.iter().map(String::as_str).collect();
    let unmapped: Vec<_> = tree.difference(&mapped).collect();
    assert!(unmapped.is_empty(), "add these folders to the map: {unmapped:?}");
    let gone: Vec<_> = mapped.iter().filter(|folder| !root().join(folder).is_dir()).collect();
    assert!(gone.is_empty(), "remove these folders from the map: {gone:?}");
}

/// Checks that the command line of each program is tested: errors in one line, help, and version.
#[test]
fn each_program_has_command_line_tests() {
    const TESTS: [&str; 5] = [
        "roomer-tokio/examples/tests/programs.rs",
        "roomer-tokio/examples/application/tests/programs.rs",
        "roomer-tokio/examples/load/tests/load.rs",
        "roomer-smol/examples/tests/programs.rs",
        "roomer-hub/simulator/tests/program.rs",
    ];
    /// Programs whose command lines are not in the table. The first uses clap and has its own
    /// tests. The others have no options, since they are run only by the project's own scripts.
    const OTHERS: [&str; 4] = ["roomer", "kit_client", "bindgen", "lost_update"];
    let tests = TESTS.map(|path| fs::read_to_string(root().join(path)).unwrap());
    let mut untested = Vec::new();
    for program in programs() {
        let is_named = |test: &String| {
            test.contains(&format!("(\"{program}\", "))
                || test.contains(&format!("CARGO_BIN_EXE_{program}\""))
        };
        if !OTHERS.contains(&&*program) && !tests.iter().any(is_named) {
            untested.push(program);
        }
    }
    assert!(untested.is_empty(), "add them to a table of programs: {untested:?}");
}

/// Returns the names of all examples and other programs in the workspace.
fn programs() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for manifest in files(&["toml"]).iter().filter(|path| path.ends_with("Cargo.toml")) {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let name = |part: &str| {
            let (_, rest) = part.split_once("name = \"").unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let is_named = ["[[bin]]", "[[example]]"];
        for part in is_named.iter().flat_map(|mark| text.split(mark).skip(1)) {
            // Fuzz targets do not have their own command lines.
            if !manifest.starts_with("fuzz/") {
                found.insert(name(part));
            }
        }
        // Cargo finds these programs by their paths.
        let folder = Path::new(manifest).parent().unwrap();
        if !text.contains("[[bin]]") && root().join(folder).join("src/main.rs").exists() {
            found.insert(name(&text));
        }
        for place in ["src/bin", "examples"].map(|place| folder.join(place)) {
            let place = place.to_str().unwrap().replace('\\', "/");
            let sources = files(&["rs"])
                .into_iter()
                .filter(|path| path.rsplit_once('/').is_some_and(|(parent, _)| parent == place));
            let is_listed = root().join(&place).join("Cargo.toml").exists();
            let stem =
                |path: String| Path::new(&path).file_stem().unwrap().to_str().unwrap().to_owned();
            found
                .extend(sources.filter(|_| !is_listed && !manifest.starts_with("fuzz/")).map(stem));
        }
    }
    assert!(found.len() > 15 && found.contains("roomer-application"), "{found:?}");
    found
}

#[test]
fn published_packages_have_license_and_readme() {
    let license = fs::read_to_string(root().join("LICENSE")).unwrap();
    let folders = [
        "roomer-proto",
        "roomer-hub",
        "roomer-hub/engine",
        "roomer-hub/testkit",
        "roomer-tokio",
        "roomer-smol",
        "js",
    ];
    for folder in folders {
        let folder = root().join(folder);
        assert_eq!(fs::read_to_string(folder.join("LICENSE")).unwrap(), license, "{folder:?}");
        assert!(folder.join("README.md").exists(), "{folder:?}");
    }
}

/// Returns the paths of all files with these extensions, relative to the repository's root. Build
/// output and installed packages are excluded.
fn files(extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap().map(|entry| entry.unwrap()) {
            let name = entry.file_name().into_string().unwrap();
            let path = folder.join(&name);
            if entry.file_type().unwrap().is_dir() {
                let is_made = ["target", "node_modules", "dist", "corpus"].contains(&name.as_str());
                if !is_made && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|it| extensions.iter().any(|each| it == *each)) {
                found.push(path.to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

/// Returns the paths of the scripts in `.ci`, relative to the repository's root.
fn scripts() -> Vec<String> {
    let entries = fs::read_dir(root().join(".ci")).unwrap().map(|entry| entry.unwrap());
    let names = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    let mut found: Vec<_> =
        names.filter(|name| !name.ends_with(".json")).map(|name| format!(".ci/{name}")).collect();
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
