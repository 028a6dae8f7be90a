//! The files for buildroot are as its utils/check-package wants them.

use std::path::Path;

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    let path = path(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_busybox_script_is_as_buildroot_wants_it() {
    let script = read("init/S50ouistiti");
    assert!(script.starts_with("#!/bin/sh\n"));
    for (number, line) in script.lines().enumerate() {
        let indented = line.trim_start_matches('\t');
        assert!(!indented.starts_with(' '), "line {}: no tab", number + 1);
        assert!(line.len() <= 80, "line {}: too long", number + 1);
    }
    for action in ["start()", "stop()", "restart()", "reload()", "status()"] {
        assert!(script.contains(&format!("\n{action} {{\n")), "{action}");
    }
}

/// Rules of buildroot's utils/check-package for start scripts.
#[test]
fn the_busybox_script_names_its_daemon_and_pid_file_as_buildroot_does() {
    let script = read("init/S50ouistiti");
    let value = |name: &str| {
        let mut lines = script.lines();
        let found: Vec<_> = lines
            .by_ref()
            .filter_map(|line| line.strip_prefix(name))
            .collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].trim_matches('"').to_owned()
    };
    assert_eq!(value("DAEMON="), "ouistiti");
    assert_eq!(value("PIDFILE="), "/var/run/$DAEMON.pid");
}

/// Rules of buildroot's utils/check-package for Config.in.
#[test]
fn the_choices_for_buildroot_have_their_attributes_in_its_order() {
    let order = [
        "bool", "string", "default", "depends", "select", "help", "\t  ",
    ];
    let mut last = 0;
    let mut names = Vec::new();
    for line in read("package/buildroot/Config.in").lines() {
        if let Some(name) = line.strip_prefix("config ") {
            assert!(!names.contains(&name.to_owned()), "{name} twice");
            names.push(name.to_owned());
            last = 0;
        }
        let Some(attribute) = line.strip_prefix('\t') else {
            continue;
        };
        let word = attribute.split_whitespace().next().unwrap_or_default();
        let Some(place) = order.iter().position(|own| *own == word) else {
            assert!(
                line.starts_with("\t  "),
                "neither attribute nor help: {line}"
            );
            continue;
        };
        assert!(place >= last, "{line} stands too late");
        assert_ne!(attribute, "default n", "what else would it be");
        last = place;
    }
    assert!(names.len() > 4, "{names:?}");
}

/// Rules of buildroot's utils/check-package for recipes.
#[test]
fn the_recipe_for_buildroot_indents_and_sets_as_its_check_wants_it() {
    let recipe = read("package/buildroot/ouistiti.mk");
    let (mut define, mut continued, mut depth) = (false, false, 0);
    for (number, line) in recipe.lines().enumerate() {
        let number = number + 1;
        let word = line.split_whitespace().next().unwrap_or_default();
        let conditional = ["ifeq", "ifneq", "ifdef", "ifndef", "else", "endif"].contains(&word);
        match word {
            "define" => define = true,
            "endef" => define = false,
            "ifeq" | "ifneq" | "ifdef" | "ifndef" => depth += 1,
            "endif" => depth -= 1,
            _ => {}
        }
        let inside = (define && word != "define") || continued;
        let free = line.is_empty() || word == "endef" || (conditional && !continued);
        if !free {
            assert_eq!(inside, line.starts_with('\t'), "line {number}: its indent");
        }
        continued = line.ends_with('\\') && !line.starts_with('#');
        if continued {
            let before = line.trim_end_matches('\\');
            assert!(
                !["  ", "\t ", "\t"].iter().any(|end| before.ends_with(end)),
                "line {number}: more than a space before its backslash"
            );
        }
        assert!(
            !line.contains("${"),
            "line {number}: braces around a variable"
        );
    }
    assert_eq!(depth, 0);
    // The name that buildroot would give it anyway.
    assert!(!recipe.contains("_SOURCE = ouistiti-$(OUISTITI_VERSION).tar.gz\n"));
}

/// Rules of buildroot's utils/check-package.
#[test]
fn the_recipe_for_buildroot_is_as_its_check_wants_it() {
    for path in ["Config.in", "ouistiti.mk", "ouistiti.hash"] {
        let text = read(&format!("package/buildroot/{path}"));
        assert!(
            text.ends_with('\n') && !text.ends_with("\n\n"),
            "{path}: its end"
        );
        assert!(!text.contains("\n\n\n"), "{path}: two empty lines");
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            assert_eq!(line, line.trim_end(), "{path}, line {number}: its end");
            assert!(!line.starts_with(' '), "{path}, line {number}: no tab");
        }
    }
    let recipe = read("package/buildroot/ouistiti.mk");
    let rule = "#".repeat(80);
    let head = format!("{rule}\n#\n# ouistiti\n#\n{rule}\n\n");
    assert!(recipe.starts_with(&head), "its head");
    let choices = read("package/buildroot/Config.in");
    let mut help = false;
    for line in choices.lines() {
        if line.starts_with("config ") || line == "if BR2_PACKAGE_OUISTITI" || line == "endif" {
            help = false;
        } else if line == "\thelp" {
            help = true;
        } else if help && !line.is_empty() {
            assert!(line.starts_with("\t  "), "a help text: {line}");
            assert!(line.len() <= 2 + 62, "longer than 72 columns: {line}");
        }
    }
    for line in read("package/buildroot/ouistiti.hash").lines() {
        if !line.starts_with('#') {
            let words: Vec<_> = line.split("  ").collect();
            assert_eq!(
                (words[0], words[1].len(), words.len()),
                ("sha256", 64, 3),
                "{line}"
            );
        }
    }
}

/// Rules of buildroot's utils/check-package for recipes: what a package may set, and how often.
#[test]
fn the_recipe_for_buildroot_sets_its_own_variables_once() {
    let recipe = read("package/buildroot/ouistiti.mk");
    let (mut depth, mut always, mut sometimes) = (0, Vec::new(), Vec::new());
    for (number, line) in recipe.lines().enumerate() {
        let number = number + 1;
        let word = line.split_whitespace().next().unwrap_or_default();
        match word {
            "ifeq" | "ifneq" | "ifdef" | "ifndef" => depth += 1,
            "endif" => depth -= 1,
            _ => {}
        }
        let start = line.strip_prefix("define ").unwrap_or(line);
        let end = start.find(|byte: char| !byte.is_ascii_uppercase() && byte != '_');
        let name = &start[..end.unwrap_or(start.len())];
        if name.is_empty() {
            continue;
        }
        assert!(
            name.starts_with("OUISTITI_"),
            "line {number}: {name} is another's"
        );
        let sets = line[name.len()..].trim_start();
        if !sets.starts_with('=') && !sets.starts_with(":=") {
            continue;
        }
        // What buildroot takes for granted, or adds to in other files.
        for (end, value) in [("_INSTALL_STAGING", "NO"), ("_INSTALL_TARGET", "YES")] {
            assert!(
                !name.ends_with(end) || !sets.ends_with(&format!(" {value}")),
                "line {number}: needless"
            );
        }
        assert!(
            depth == 0 || !name.ends_with("_CONF_OPTS") && !name.ends_with("_DEPENDENCIES"),
            "line {number}: {name} is set in a conditional"
        );
        assert!(
            !always.contains(&name),
            "line {number}: {name} is set before"
        );
        if depth == 0 {
            assert!(
                !sometimes.contains(&name),
                "line {number}: {name} is set before, in a conditional"
            );
            always.push(name);
        } else {
            sometimes.push(name);
        }
    }
    assert_eq!(depth, 0);
    assert!(always.len() > 3 && sometimes.len() > 3);
}

/// Rules of buildroot's utils/check-package for all files.
#[test]
fn the_files_for_buildroot_are_plain_text_that_is_not_run() {
    for name in [
        "Config.in",
        "ouistiti.mk",
        "ouistiti.hash",
        "ouistiti.fragment",
    ] {
        let name = format!("package/buildroot/{name}");
        assert!(read(&name).is_ascii(), "{name}: not ASCII");
        let mode = std::fs::metadata(path(&name)).expect("it is there");
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
        assert_eq!(mode & 0o111, 0, "{name}: it is no program");
    }
}
