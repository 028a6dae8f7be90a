//! The recipes of OpenWrt and buildroot name a source archive by its sum, and the commit it is of.

use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(ROOT)
        .output();
    let Ok(Output { status, stdout, .. }) = output else {
        return None;
    };
    let said = String::from_utf8(stdout).ok()?;
    status.success().then(|| said.trim().to_owned())
}

/// The name of a commit, if this is a clone that has it.
fn commit(name: &str) -> Option<String> {
    let name = format!("{name}^{{commit}}");
    run("git", &["rev-parse", "--verify", "--quiet", &name])
}

/// The commit that a recipe names.
fn named(recipe: &str) -> String {
    let text = std::fs::read_to_string(format!("{ROOT}/{recipe}")).expect("a recipe");
    let mut words = text.split(|byte: char| !byte.is_ascii_hexdigit());
    let found = words.find(|word| word.len() == 40);
    found.expect("it names a commit").to_owned()
}

#[test]
fn the_sum_that_openwrt_checks_is_that_of_the_commit_it_names() {
    let recipe = "package/openwrt/Makefile";
    let Some(commit) = commit(&named(recipe)) else {
        return;
    };
    let version = env!("CARGO_PKG_VERSION");
    let archive = format!("git archive --format=tar --prefix=ouistiti-{version}/ {commit}");
    let sum = run(
        "sh",
        &["-c", &format!("{archive} | gzip -9n | sha256sum -b")],
    )
    .expect("git makes archives");
    let sum = sum.split(' ').next().expect("it has words");
    let recipe = std::fs::read_to_string(format!("{ROOT}/{recipe}")).expect("a recipe");
    assert!(
        recipe.contains(&format!("PKG_HASH:={sum}\n")),
        "the archive of {commit} has another sum, {sum}: run `package/archive renew HEAD`"
    );
}

/// Before there is a tag they may name any commit, since no archive has its own sum.
#[test]
fn once_a_version_is_tagged_the_recipes_name_its_commit() {
    let tag = concat!("v", env!("CARGO_PKG_VERSION"));
    for recipe in [
        "package/openwrt/Makefile",
        "package/buildroot/ouistiti.hash",
    ] {
        let named = named(recipe);
        if let Some(tagged) = commit(tag) {
            assert_eq!(
                named, tagged,
                "{recipe} is of another commit than {tag}: run `package/archive renew {tag}`"
            );
        }
    }
}
