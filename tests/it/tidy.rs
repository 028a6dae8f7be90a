//! The project's rules that a program can check. Format and lints are steps of `make check`.

use std::path::{Path, PathBuf};

/// Lines a source file may have.
const MAX_LINES: usize = 400;

/// What is no part of the project's own text.
const SKIPPED: [&str; 4] = ["target", "out", ".git", "corpus"];

#[test]
fn every_source_file_begins_with_what_it_is_for() {
    let silent: Vec<_> = sources()
        .filter(|(_, text)| !text.starts_with("//!"))
        .collect();
    assert_none(silent, "no //! on the first line");
}

#[test]
fn no_source_file_has_more_than_400_lines() {
    let long: Vec<_> = sources()
        .filter(|(_, text)| text.lines().count() > MAX_LINES)
        .collect();
    assert_none(long, "too long");
}

#[test]
fn no_file_names_a_path_of_the_machine_it_was_written_on() {
    // Not written out, so that this file does not name one either.
    let roots = [["/wo", "rk/"].concat(), ["/fa", "rm/"].concat()];
    let found: Vec<_> = texts()
        .filter(|(_, text)| {
            roots.iter().any(|root| {
                text.match_indices(root.as_str()).any(|(at, _)| {
                    let before = text[..at].chars().next_back().unwrap_or(' ');
                    !(before.is_alphanumeric() || "_.-}~".contains(before))
                })
            })
        })
        .collect();
    assert_none(found, "names a path of one machine");
}

#[test]
fn every_link_of_a_document_leads_to_a_file_or_a_heading() {
    let mut dead = Vec::new();
    for (path, text) in texts().filter(|(path, _)| path.extension().is_some_and(|end| end == "md"))
    {
        let has_anchor = |text: &str, anchor: &str| {
            let mut headings = text.lines().filter(|line| line.starts_with('#'));
            headings.any(|heading| anchor_of(heading) == anchor)
        };
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let is_there = match link.split_once('#') {
                Some(("", anchor)) => has_anchor(&text, anchor),
                Some((file, anchor)) => std::fs::read_to_string(path.with_file_name(file))
                    .is_ok_and(|text| has_anchor(&text, anchor)),
                None => path.with_file_name(link).exists(),
            };
            if !is_there {
                dead.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links to nothing: {dead:#?}");
}

#[test]
fn the_architecture_tells_of_every_feature() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let told = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the architecture");
    let features = manifest.split("\n[features]\n").nth(1).expect("features");
    let features = features.lines().take_while(|line| !line.is_empty());
    let names = features
        .filter_map(|line| line.split_once(" = ["))
        .map(|(name, _)| name);
    for name in names.filter(|name| *name != "default") {
        assert!(told.contains(&format!("`{name}`")), "`{name}`");
    }
}

#[test]
fn every_manual_page_has_a_date() {
    let pages = std::fs::read_dir(root().join("man")).expect("the manual");
    for page in pages.map(|page| page.expect("an entry").path()) {
        let text = std::fs::read_to_string(&page).expect("a page");
        let title = text
            .lines()
            .find(|line| line.starts_with(".TH ") || line.starts_with(".Dd "));
        let title = title.unwrap_or_default();
        assert!(title.contains(" 20"), "{}: {title}", page.display());
    }
}

/// The anchor that GitHub gives a heading: lower case, without punctuation, hyphens for spaces.
fn anchor_of(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = title
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_daemon_forbids_unsafe_code() {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(text.contains("#![forbid(unsafe_code)]"));
    for (path, text) in sources().filter(|(path, _)| path.starts_with(root().join("src"))) {
        assert!(!text.contains("unsafe {"), "{}", path.display());
    }
}

#[test]
fn every_proof_that_security_md_names_is_there() {
    let promises = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let code: String = texts()
        .filter(|(path, _)| {
            path.extension()
                .is_some_and(|end| end == "rs" || end == "py")
        })
        .map(|(_, text)| text)
        .collect();
    let table = promises.lines().filter(|line| line.starts_with("| **"));
    let proofs: Vec<_> = table.filter_map(|line| line.rsplit('|').nth(1)).collect();
    assert!(proofs.len() > 10, "{proofs:?}");
    for proof in proofs.iter().flat_map(|cell| cell.split(',')) {
        let name = proof.split('`').nth(1).unwrap_or_default();
        let found = match proof.trim().starts_with("fuzz ") {
            true => ["", "/main"].iter().any(|end| {
                let target = format!("fuzz/fuzz_targets/{name}{end}.rs");
                root().join(target).is_file()
            }),
            false if name.contains('/') => root().join(name).is_file(),
            false => ["fn", "def"]
                .iter()
                .any(|kind| code.contains(&format!("{kind} {name}("))),
        };
        assert!(found, "SECURITY.md names {proof}, which is not there");
    }
}

fn assert_none(found: Vec<(PathBuf, String)>, what: &str) {
    let names: Vec<_> = found
        .iter()
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(names.is_empty(), "{what}: {}", names.join(", "));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files with their text.
fn sources() -> impl Iterator<Item = (PathBuf, String)> {
    texts().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"))
}

/// All files of the project that are text.
fn texts() -> impl Iterator<Item = (PathBuf, String)> {
    let mut files = Vec::new();
    collect(root(), &mut files);
    files
        .into_iter()
        .filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?)))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a readable tree") {
        let entry = entry.expect("a readable entry");
        let (path, kind) = (entry.path(), entry.file_type().expect("a known type"));
        if SKIPPED.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if kind.is_dir() {
            collect(&path, files);
        } else if kind.is_file() {
            files.push(path);
        }
    }
}
