//! The options, each written once, and the texts that `-h`, `-hh` and `-V` print.

use std::fmt::Write;

use getopts::{Options as Parser, ParsingStyle};

use crate::config;

/// One option.
struct Opt {
    short: &'static str,
    long: &'static str,
    /// The name of its argument; empty if it takes none.
    argument: &'static str,
    /// Whether it may be given more than once.
    is_multiple: bool,
    meaning: &'static str,
}

/// All options, in the order of the help.
const OPTIONS: [Opt; 19] = [
    one(
        "f",
        "FILE",
        "configuration (/etc/ouistiti.conf); - is standard input",
    ),
    flag(
        "t",
        "test the configuration, and print the one that -l stands for",
    ),
    flag("D", "detach; return 0 only when the daemon serves"),
    flag("K", "stop the daemon of the pid file"),
    flag(
        "S",
        "ask the daemon: json, kick ID [CODE], upgrade, explain URL",
    ),
    one(
        "p",
        "PIDFILE",
        "pid file, instead of that of the configuration",
    ),
    one("L", "LOG", "log file, instead of that of the configuration"),
    one("s", "N", "only the Nth server, counted from 1"),
    one(
        "W",
        "DIR",
        "change to DIR first; relative paths begin there",
    ),
    one("M", "DIR", "no effect: for scripts of the C gateway"),
    many("v", "", "log more: once debug, twice frame headers too"),
    one(
        "l",
        "[ADDR:]PORT",
        "serve without a file; ADDR is 127.0.0.1 if left out",
    ),
    one(
        "b",
        "BACKEND",
        "with -l: the path of a UNIX socket, or HOST:PORT",
    ),
    one("d", "DIR", "with -l: a directory of UNIX sockets"),
    one("w", "DIR", "with -l: a directory of pages"),
    many(
        "o",
        "ORIGINS",
        "with -l: more pages that may connect, such as file",
    ),
    long(
        "generate",
        "WHAT",
        "print the example file (config) or its manual (man)",
    ),
    Opt {
        long: "help",
        ..many("h", "", "show this; -hh every setting of the file")
    },
    Opt {
        long: "version",
        ..flag("V", "show the version and the features")
    },
];

const fn flag(short: &'static str, meaning: &'static str) -> Opt {
    one(short, "", meaning)
}

const fn one(short: &'static str, argument: &'static str, meaning: &'static str) -> Opt {
    Opt {
        short,
        long: "",
        argument,
        is_multiple: false,
        meaning,
    }
}

const fn many(short: &'static str, argument: &'static str, meaning: &'static str) -> Opt {
    Opt {
        is_multiple: true,
        ..one(short, argument, meaning)
    }
}

const fn long(long: &'static str, argument: &'static str, meaning: &'static str) -> Opt {
    Opt {
        long,
        ..one("", argument, meaning)
    }
}

/// Returns the parser of the options.
pub(super) fn parser() -> Parser {
    let mut parser = Parser::new();
    parser.parsing_style(ParsingStyle::FloatingFrees);
    for opt in &OPTIONS {
        match (opt.argument.is_empty(), opt.is_multiple) {
            (true, false) => parser.optflag(opt.short, opt.long, ""),
            (true, true) => parser.optflagmulti(opt.short, opt.long, ""),
            (false, false) => parser.optopt(opt.short, opt.long, "", ""),
            (false, true) => parser.optmulti(opt.short, opt.long, "", ""),
        };
    }
    parser
}

/// Returns the text of `-h`: one screen of 80 columns.
pub(super) fn help() -> String {
    let mut text = String::from(
        "Usage: ouistiti [-f FILE] [-t | -D | -K | -S ...] [OPTIONS]\n\
         \x20      ouistiti -l [ADDR:]PORT [OPTIONS] (-b BACKEND | -d DIR | -- PROGRAM ARGS)\n\
         A WebSocket gateway to UNIX servers.\n",
    );
    for opt in &OPTIONS {
        let names = match (opt.short, opt.long) {
            (short, "") => format!("-{short}"),
            ("", long) => format!("--{long}"),
            (short, long) => format!("-{short}, --{long}"),
        };
        let left = format!("{names} {}", opt.argument);
        let _ = writeln!(text, "  {left:17} {}", opt.meaning);
    }
    text.push_str("Exit code: 0, 1 run-time error, 2 usage, 78 configuration.\n");
    text
}

/// Returns the text of `-hh`: also every setting of the file.
pub(super) fn long_help() -> String {
    format!("{}\n{}", help(), config::summary())
}

/// The Cargo features, and whether this program has each.
const FEATURES: [(&str, bool); 13] = [
    ("websocket", cfg!(feature = "websocket")),
    ("websocket_rt", cfg!(feature = "websocket_rt")),
    ("exec", cfg!(feature = "exec")),
    ("share", cfg!(feature = "share")),
    ("tls", cfg!(feature = "tls")),
    ("auth", cfg!(feature = "auth")),
    ("auth_rpc", cfg!(feature = "auth_rpc")),
    ("auth_forward", cfg!(feature = "auth_forward")),
    ("bearer", cfg!(feature = "bearer")),
    ("argon2id", cfg!(feature = "argon2id")),
    ("console", cfg!(feature = "console")),
    ("landlock", cfg!(feature = "landlock")),
    ("state", cfg!(feature = "state")),
];

/// Returns the text of `-V`.
pub(super) fn version() -> String {
    let mut text = format!("ouistiti {}\nfeatures:", env!("CARGO_PKG_VERSION"));
    for (name, _) in FEATURES.iter().filter(|(_, is_built)| *is_built) {
        let _ = write!(text, " {name}");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_fits_a_screen_of_80_columns_and_24_lines() {
        let help = help();
        assert!(
            help.lines().all(|line| line.chars().count() <= 80),
            "{help}"
        );
        assert!(help.lines().count() <= 24, "{help}");
    }

    #[test]
    fn the_version_knows_every_feature() {
        let (_, features) = include_str!("../../Cargo.toml")
            .split_once("[features]\n")
            .expect("the section");
        let lines = features.lines().take_while(|line| !line.starts_with('['));
        let names = lines.filter_map(|line| Some(line.split_once(" = ")?.0));
        let mut built: Vec<_> = names
            .filter(|name| *name != "default" && !name.starts_with('#'))
            .collect();
        let mut told = FEATURES.map(|(name, _)| name);
        built.sort_unstable();
        told.sort_unstable();
        assert_eq!(built, told);
    }

    #[test]
    fn the_manual_page_explains_every_option() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/ouistiti.8");
        let manual = std::fs::read_to_string(path).expect("the manual page");
        for opt in &OPTIONS {
            let name = match opt.short {
                "" => format!("Fl -{}", opt.long),
                short => format!("Fl {short}"),
            };
            let explains = |line: &str| {
                line.strip_prefix(".It ")
                    .is_some_and(|item| item.split(" , ").any(|own| own.starts_with(&name)))
            };
            assert!(manual.lines().any(explains), "{name}");
        }
    }
}
