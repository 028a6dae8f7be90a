//! Who may use whom: the source of each crate, read and held against ARCHITECTURE.md.
//!
//! A module is a file. It uses another where its text, tests left out, has a path that leads there:
//! `crate::`, `super::` or `self::`, in a `use` or elsewhere, or the name of a child. What it uses
//! of its own parents does not count: a folder's `mod.rs` is there for the folder's files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module's path from the root of its crate, which is the empty one.
type Name = Vec<String>;

/// The modules of a crate, and whom each uses.
type Uses = BTreeMap<Name, BTreeSet<Name>>;

#[test]
fn no_module_uses_itself_through_others() {
    let crates = crates();
    assert!(crates.len() >= 10, "{crates:?}");
    let mut circles = Vec::new();
    for source in crates {
        let uses = uses(&read_modules(&source));
        for circle in circles_of(&uses) {
            let names: Vec<_> = circle.iter().map(|name| shown(name)).collect();
            let source = source.strip_prefix(root()).expect("a crate of ours");
            circles.push(format!("{}: {}", source.display(), names.join(", ")));
        }
    }
    assert!(circles.is_empty(), "circles:\n{}", circles.join("\n"));
}

#[test]
fn no_folder_uses_one_that_stands_above_it() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a readable file");
    let tables = floor_tables(&text);
    assert!(tables.iter().any(|(path, _)| path == "src"), "{tables:?}");
    let mut climbs = Vec::new();
    for (path, floors) in tables {
        let modules = read_modules(&root().join(&path));
        let floor = |name: &Name| {
            let top = name.first().map_or("lib", String::as_str);
            floors.iter().position(|floor| floor == top)
        };
        let is_root = |name: &Name| name.is_empty();
        for name in modules.keys().filter(|name| !is_root(name)) {
            assert!(floor(name).is_some(), "{path}/{} has no floor", shown(name));
        }
        for (name, used) in uses(&modules) {
            let above = used.iter().filter(|other| floor(other) < floor(&name));
            climbs.extend(
                above
                    .filter(|other| !is_root(other) && !is_root(&name))
                    .map(|other| format!("{path}: {} uses {}", shown(&name), shown(other))),
            );
        }
        for floor in floors {
            let is_there = modules.keys().any(|name| name.first() == Some(&floor));
            assert!(is_there, "{path} has no {floor}");
        }
    }
    assert!(climbs.is_empty(), "climbs:\n{}", climbs.join("\n"));
}

#[test]
fn paths_circles_and_tables_are_read() {
    let module = |name: &str, text: &str| (name_of(name), text.to_owned());
    let modules = BTreeMap::from([
        module("", "pub mod top;\npub mod low;"),
        module(
            "top",
            "use crate::low::{self, inner::{Thing, *}};\nmod part;",
        ),
        module(
            "top::part",
            "// use crate::top;\nfn f() { super::super::low::f() }",
        ),
        module("low", "mod inner;\nmod other;\npub use inner::Thing;"),
        module("low::inner", "use super::{f, other::Other};"),
        module("low::other", "impl crate::low::inner::Thing {}"),
    ]);
    let uses = uses(&modules);
    let used = |name: &str| {
        let used = uses[&name_of(name)].iter();
        used.map(|name| shown(name)).collect::<Vec<_>>()
    };
    assert_eq!(used("top"), ["low", "low::inner"]);
    assert_eq!(used("top::part"), ["low"]);
    assert_eq!(used("low"), ["low::inner"]);
    assert_eq!(used("low::inner"), ["low::other"]);
    let circle = [name_of("low::inner"), name_of("low::other")];
    assert_eq!(circles_of(&uses), [circle]);
    let table =
        "### `src`\n\n| folder | job |\n|---|---|\n| `top` | a |\n| `low` | b |\n\n| `no` |";
    let floors = vec!["top".to_owned(), "low".to_owned()];
    assert_eq!(floor_tables(table), [("src".to_owned(), floors)]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn name_of(path: &str) -> Name {
    path.split("::")
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn shown(name: &[String]) -> String {
    match name {
        [] => "lib".to_owned(),
        _ => name.join("::"),
    }
}

/// The source directory of every crate here.
fn crates() -> Vec<PathBuf> {
    let utils = fs::read_dir(root().join("utils")).expect("a readable directory");
    let mut crates: Vec<_> = utils
        .map(|entry| entry.expect("a readable entry").path())
        .flat_map(|path| [path.join("src"), path.join("so/src")])
        .filter(|path| path.is_dir())
        .collect();
    crates.extend(
        ["src", "benches/gateway/src", "tests/model/src", "fuzz/src"].map(|path| root().join(path)),
    );
    crates.sort();
    crates
}

/// Of each table below a heading that is a directory in backticks: the names of its first column.
fn floor_tables(text: &str) -> Vec<(String, Vec<String>)> {
    let mut tables = Vec::new();
    for section in text
        .split("\n### `")
        .skip(usize::from(!text.starts_with("### `")))
    {
        let section = section.trim_start_matches("### `");
        let Some((path, rest)) = section.split_once("`\n") else {
            continue;
        };
        let rows = rest.lines().skip_while(|line| !line.starts_with('|'));
        let rows = rows.take_while(|line| line.starts_with('|'));
        let names =
            rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
        tables.push((path.to_owned(), names.collect()));
    }
    tables
}

/// The text of each module below a source directory, without tests and comments.
fn read_modules(source: &Path) -> BTreeMap<Name, String> {
    let mut modules = BTreeMap::new();
    collect(source, &mut Vec::new(), &mut modules);
    modules
}

fn collect(directory: &Path, above: &mut Name, modules: &mut BTreeMap<Name, String>) {
    for entry in fs::read_dir(directory).expect("a readable directory") {
        let path = entry.expect("a readable entry").path();
        let stem = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if stem == "tests" {
            continue;
        }
        if path.is_dir() {
            above.push(stem);
            collect(&path, above, modules);
            above.pop();
        } else if path.extension().is_some_and(|end| end == "rs") {
            let mut name = above.clone();
            if !["mod", "lib"].contains(&stem.as_str()) {
                name.push(stem);
            }
            let text = fs::read_to_string(&path).expect("a readable file");
            modules.insert(name, text);
        }
    }
}

/// What of a file is compiled outside tests, without comments.
fn code(text: &str) -> String {
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Whom each module uses.
fn uses(modules: &BTreeMap<Name, String>) -> Uses {
    let used_by = |(name, text): (&Name, &String)| {
        let mut used = BTreeSet::new();
        for path in paths(&code(text), name, modules) {
            used.extend(longest_module(path, modules));
        }
        used.remove(name);
        used.retain(|other| !name.starts_with(other));
        (name.clone(), used)
    };
    modules.iter().map(used_by).collect()
}

/// The module that a path leads to or into.
fn longest_module(mut path: Name, modules: &BTreeMap<Name, String>) -> Option<Name> {
    while !modules.contains_key(&path) {
        path.pop()?;
    }
    Some(path)
}

/// All paths of a module's code that lead to modules of its crate, from the root.
fn paths(code: &str, name: &Name, modules: &BTreeMap<Name, String>) -> Vec<Name> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let start = code[..at]
            .rfind(|c| !is_word(c))
            .map_or(0, |before| before + 1);
        // In the middle of a path.
        if code[..start].ends_with("::") {
            continue;
        }
        let parent = || name[..name.len().saturating_sub(1)].to_vec();
        let base = match &code[start..at] {
            // The program's own library.
            "crate" | "ouistiti" => Vec::new(),
            "super" => parent(),
            "self" => name.clone(),
            word => {
                let child = [name.as_slice(), &[word.to_owned()]].concat();
                if name.is_empty() && !code.contains(&format!("mod {word};"))
                    || !modules.contains_key(&child)
                {
                    continue;
                }
                child
            }
        };
        expand(&code[at + 2..], base, &mut found);
    }
    found
}

/// Adds the paths that go on from `base` as the text does: a path, or a group of paths.
fn expand(text: &str, base: Name, found: &mut Vec<Name>) -> usize {
    let text_start = text.trim_start();
    let skipped = text.len() - text_start.len();
    if let Some(group) = text_start.strip_prefix('{') {
        let mut at = 0;
        loop {
            at += expand(&group[at..], base.clone(), found);
            let rest = group[at..].trim_start();
            at = group.len() - rest.len();
            match rest.chars().next() {
                Some(',') => at += 1,
                Some('}') => return skipped + 1 + at + 1,
                // `as name`, or no group of paths after all.
                Some(_) => match rest.find([',', '}']) {
                    Some(next) => at += next,
                    None => return text.len(),
                },
                None => return text.len(),
            }
        }
    }
    let length = text_start
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(text_start.len());
    let (word, rest) = text_start.split_at(length);
    let mut path = base;
    match word {
        "self" | "" => {}
        "super" => {
            path.pop();
        }
        _ => path.push(word.to_owned()),
    }
    if let Some(more) = rest.strip_prefix("::") {
        return skipped + length + 2 + expand(more, path, found);
    }
    found.push(path);
    skipped + length
}

/// The groups of modules that use each other, directly or through others of the group.
fn circles_of(uses: &Uses) -> Vec<Vec<Name>> {
    let mut circles: Vec<Vec<Name>> = Vec::new();
    for name in uses.keys() {
        let circle: Vec<_> = reached(uses, name)
            .into_iter()
            .filter(|other| reached(uses, other).contains(name))
            .collect();
        if circle.contains(name) && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

/// All that a module uses, directly or through others.
fn reached(uses: &Uses, name: &Name) -> BTreeSet<Name> {
    let mut reached = BTreeSet::new();
    let mut next = vec![name];
    while let Some(name) = next.pop() {
        for used in &uses[name] {
            if reached.insert(used.clone()) {
                next.push(used);
            }
        }
    }
    reached
}
