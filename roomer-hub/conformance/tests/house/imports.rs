//! Finds cycles of imports between the modules of a crate.
//!
//! A module is a file. It imports another module if it contains a path into that module, as in `use
//! crate::room::Room` or in the expression `super::room::new()`. Arguments of macros are ignored. A
//! path through a re-export leads to the module that defines the item, so re-exports do not count
//! as imports. Tests inside a module are ignored, because they may use the whole crate.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use syn::visit::{self, Visit};
use syn::{Attribute, ItemMod, ItemUse, Meta, Path, UseTree, Visibility};

/// The path of a module or item: its names from the root of the crate. The path of the root is
/// empty.
type Names = Vec<String>;

/// The modules of a crate, by path.
pub(crate) struct Imports(BTreeMap<Names, Module>);

#[derive(Default)]
struct Module {
    file: String,
    children: BTreeSet<String>,
    /// The names that `use` declarations bind, each with the path that it stands for.
    used: BTreeMap<String, Names>,
    /// All paths in the module, from the root of the crate.
    paths: Vec<Names>,
}

impl Imports {
    /// Reads a crate, starting with `lib.rs`. `read` returns the text of a file, or `None` if the
    /// file does not exist.
    pub(crate) fn of(read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut modules = BTreeMap::new();
        let mut due = vec![Names::new()];
        while let Some(name) = due.pop() {
            let module = Module::parse(&name, read);
            due.extend(module.children.iter().map(|child| joined(&name, child)));
            modules.insert(name, module);
        }
        Imports(modules)
    }

    /// For each module that is in a cycle, returns the shortest such cycle as text.
    pub(crate) fn circles(&self) -> BTreeSet<String> {
        let imports: BTreeMap<&Names, BTreeSet<&Names>> =
            self.0.iter().map(|(name, module)| (name, self.imports_of(name, module))).collect();
        let mut found = BTreeSet::new();
        for start in self.0.keys() {
            let Some(mut circle) = circle(start, &imports) else { continue };
            // Start each cycle with the same module, wherever it was found.
            let first = (0..circle.len()).min_by_key(|index| circle[*index]);
            circle.rotate_left(first.unwrap_or_default());
            circle.push(circle[0]);
            let files: Vec<&str> = circle.iter().map(|name| &*self.0[*name].file).collect();
            let rest = files[1..].join(", which imports from ");
            found.insert(format!("{} imports from {rest}", files[0]));
        }
        found
    }

    fn imports_of(&self, name: &Names, module: &Module) -> BTreeSet<&Names> {
        let targets = module.paths.iter().map(|path| self.module_of(path));
        targets.filter(|target| *target != name).collect()
    }

    /// Returns the module that defines the item to which a path leads.
    fn module_of(&self, path: &[String]) -> &Names {
        let mut module = Names::new();
        let mut rest = path;
        while let [first, more @ ..] = rest {
            if self.0[&module].children.contains(first) {
                module.push(first.clone());
                rest = more;
            } else if let Some(target) = self.0[&module].used.get(first).filter(|it| *it != path) {
                return self.module_of(&[target, more].concat());
            } else {
                break;
            }
        }
        self.0.get_key_value(&module).unwrap().0
    }
}

/// Returns the shortest path of imports that leads from a module back to it.
fn circle<'a>(
    start: &'a Names,
    imports: &BTreeMap<&'a Names, BTreeSet<&'a Names>>,
) -> Option<Vec<&'a Names>> {
    let mut ways = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for &next in &imports[way.last()?] {
            if next == start {
                return Some(way);
            }
            if seen.insert(next) {
                ways.push_back([&way[..], &[next]].concat());
            }
        }
    }
    None
}

impl Module {
    fn parse(name: &Names, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let files = match name.join("/") {
            root if root.is_empty() => ["lib.rs".to_owned(), "main.rs".to_owned()],
            path => [format!("{path}.rs"), format!("{path}/mod.rs")],
        };
        let mut texts = files.into_iter().filter_map(|file| Some((read(&file)?, file)));
        let (text, file) = texts.next().unwrap_or_else(|| panic!("no file of the module {name:?}"));
        let mut reader = Reader::default();
        reader.visit_file(&syn::parse_file(&text).unwrap());
        let Reader { children, used, paths, .. } = reader;
        let absolute = |path: &Names| absolute(name, &children, path);
        let used = used.iter().filter_map(|(used, path)| Some((used.clone(), absolute(path)?)));
        let (used, paths) = (used.collect(), paths.iter().filter_map(absolute).collect());
        Module { file, children, used, paths }
    }
}

/// Returns a path from the root of the crate; `None` if the path leads to another crate, or to the
/// module itself.
fn absolute(module: &Names, children: &BTreeSet<String>, path: &Names) -> Option<Names> {
    let (first, rest) = path.split_first()?;
    match &**first {
        "crate" => Some(rest.to_vec()),
        "self" => Some([module, rest].concat()),
        "super" => {
            let parent = module[..module.len() - 1].to_vec();
            let rest = rest.to_vec();
            match rest.first().map(String::as_str) {
                Some("super") => absolute(&parent, children, &rest),
                _ => Some([parent, rest].concat()),
            }
        }
        child => children.contains(child).then(|| [module, &path[..]].concat()),
    }
}

fn joined(module: &Names, child: &str) -> Names {
    [module, &[child.to_owned()][..]].concat()
}

/// Collects the declarations and paths in a file, as they are written.
#[derive(Default)]
struct Reader {
    children: BTreeSet<String>,
    used: Vec<(String, Names)>,
    paths: Vec<Names>,
    /// The number of inline modules around the current item.
    depth: usize,
}

impl Reader {
    fn add(&mut self, mut path: Names) {
        // An inline module is part of the same file, so `super` does not leave the file.
        let own = path.iter().take(self.depth).take_while(|name| *name == "super").count();
        path.drain(..own);
        if own == self.depth || path.first().is_some_and(|first| first == "crate") {
            self.paths.push(path);
        }
    }

    fn add_tree(&mut self, mut path: Names, tree: &UseTree, is_public: bool) {
        let name = match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                return self.add_tree(path, &tree.tree, is_public);
            }
            UseTree::Group(group) => {
                let trees = group.items.iter();
                return trees.for_each(|tree| self.add_tree(path.clone(), tree, is_public));
            }
            UseTree::Name(tree) if tree.ident == "self" => path.last().cloned(),
            UseTree::Name(tree) => {
                path.push(tree.ident.to_string());
                Some(tree.ident.to_string())
            }
            UseTree::Rename(tree) => {
                path.push(tree.ident.to_string());
                Some(tree.rename.to_string())
            }
            UseTree::Glob(_) => None,
        };
        self.used.extend(name.map(|name| (name, path.clone())));
        if !is_public {
            self.add(path);
        }
    }
}

impl Visit<'_> for Reader {
    fn visit_item_mod(&mut self, item: &ItemMod) {
        if !is_built(&item.attrs) {
            return;
        }
        if item.content.is_none() {
            self.children.insert(item.ident.to_string());
        }
        self.depth += 1;
        visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        if is_built(&item.attrs) {
            let is_public = !matches!(item.vis, Visibility::Inherited);
            self.add_tree(Names::new(), &item.tree, is_public);
        }
    }

    fn visit_path(&mut self, path: &Path) {
        // A path with a single name is a variable, or an item that a `use` declaration has
        // imported.
        if path.segments.len() > 1 {
            self.add(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    // The path in a visibility such as `pub(in super::super)` is not an import.
    fn visit_visibility(&mut self, _: &Visibility) {}
}

/// Returns false for items that exist only in tests, in loom models or in the documentation.
fn is_built(attributes: &[Attribute]) -> bool {
    !attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string();
            ["test", "doc", "roomer_loom"].iter().any(|name| condition.contains(name))
        }
        _ => false,
    })
}

#[test]
fn cycles_through_re_exports_and_expressions_are_found() {
    let read = |file: &str| {
        let text = match file {
            "lib.rs" => "mod hub; mod room; mod table; pub use room::Room;",
            "hub.rs" => "use crate::table::Table; fn room() { crate::room::open(); }",
            "table/mod.rs" => "mod row; pub(crate) use self::row::Row; pub(crate) struct Table;",
            "table/row.rs" => "pub(crate) struct Row(super::super::Room);",
            "room.rs" => "use crate::table::{Row as Entry, Table}; pub struct Room;",
            _ => return None,
        };
        Some(text.to_owned())
    };
    let expected = "room.rs imports from table/row.rs, which imports from room.rs";
    assert_eq!(Imports::of(&read).circles(), BTreeSet::from([expected.to_owned()]));
}

#[test]
fn tests_and_re_exports_are_not_imports() {
    let read = |file: &str| {
        let text = match file {
            "lib.rs" => "mod hub; mod room; pub use hub::{Hub, Room};",
            "hub.rs" => "pub(crate) use crate::room::Room; pub struct Hub;",
            "room.rs" => {
                "pub struct Room; #[cfg(test)] mod tests { use crate::Hub; use super::*; }"
            }
            _ => return None,
        };
        Some(text.to_owned())
    };
    assert!(Imports::of(&read).circles().is_empty());
}
