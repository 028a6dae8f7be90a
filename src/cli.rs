//! Start-up: the command line.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use getopts::{Fail, Matches, Options as Grammar, ParsingStyle};

use crate::config;

/// The configuration file if none is named.
pub const DEFAULT_CONFIG: &str = "/etc/ouistiti.conf";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// To serve.
    Serve(Options),
    /// To test the configuration (`-t`).
    Test(Options),
    /// To stop the daemon whose id is in the pid file (`-K`).
    Kill(Options),
    /// To print this text and end with 0 (`-h`, `-V`).
    Print(String),
}

/// The options of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The configuration file (`-f`); relative to `directory`, if that is set.
    pub config: PathBuf,
    /// Detach from the terminal (`-D`).
    pub detach: bool,
    /// The pid file, before the configuration's (`-p`).
    pub pid_file: Option<PathBuf>,
    /// The one server to run, counted from 1 (`-s`).
    pub server: Option<usize>,
    /// The directory to change to before anything is read (`-W`).
    pub directory: Option<PathBuf>,
    /// The log file, before the configuration's (`-L`).
    pub log_file: Option<PathBuf>,
    /// How many times `-v` was given: 1 tells debug, 2 trace messages.
    pub verbose: usize,
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// [`UsageError`] says what cannot be understood; the exit code is 2.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let matches = grammar().parse(arguments)?;
    if matches.opt_present("h") {
        return Ok(Command::Print(help()));
    }
    if matches.opt_present("V") {
        return Ok(Command::Print(version()));
    }
    match matches.free.first() {
        Some(argument) => Err(UsageError(format!("unexpected argument '{argument}'"))),
        None => command(&matches),
    }
}

fn command(matches: &Matches) -> Result<Command, UsageError> {
    let options = options(matches)?;
    let given: Vec<_> = ["t", "D", "K"]
        .into_iter()
        .filter(|name| matches.opt_present(name))
        .collect();
    match given[..] {
        ["t"] => Ok(Command::Test(options)),
        ["K"] => Ok(Command::Kill(options)),
        [] | [_] => Ok(Command::Serve(options)),
        [first, second, ..] => Err(UsageError(format!(
            "-{first} and -{second} exclude each other"
        ))),
    }
}

fn options(matches: &Matches) -> Result<Options, UsageError> {
    let path = |name| match matches.opt_str(name) {
        Some(empty) if empty.is_empty() => Err(UsageError(format!("-{name} needs a path"))),
        path => Ok(path.map(PathBuf::from)),
    };
    Ok(Options {
        config: path("f")?.unwrap_or_else(|| DEFAULT_CONFIG.into()),
        detach: matches.opt_present("D"),
        pid_file: path("p")?,
        server: matches.opt_str("s").map(|text| number(&text)).transpose()?,
        directory: path("W")?,
        log_file: path("L")?,
        verbose: matches.opt_count("v"),
    })
}

fn number(text: &str) -> Result<usize, UsageError> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(UsageError(format!(
            "-s takes the number of a server, from 1, not '{text}'"
        ))),
    }
}

fn grammar() -> Grammar {
    let mut grammar = Grammar::new();
    grammar.parsing_style(ParsingStyle::FloatingFrees);
    grammar.optopt(
        "f",
        "",
        &format!("configuration file (default {DEFAULT_CONFIG})"),
        "FILE",
    );
    grammar.optflag(
        "t",
        "",
        "test the configuration and end: 0, or 78 if it has errors",
    );
    grammar.optflag("D", "", "detach; returns 0 only when the daemon is serving");
    grammar.optflag("K", "", "stop the daemon whose id is in the pid file");
    grammar.optopt(
        "p",
        "",
        "pid file (before that of the configuration)",
        "PIDFILE",
    );
    grammar.optopt("s", "", "only the Nth server, counted from 1", "N");
    grammar.optopt(
        "W",
        "",
        "change to DIR first: relative paths are relative to it",
        "DIR",
    );
    grammar.optopt(
        "L",
        "",
        "log file (before that of the configuration)",
        "LOG",
    );
    grammar.optflagmulti("v", "", "tell more: once debug, twice frame headers too");
    grammar.optflag("h", "", "show this and end");
    grammar.optflag("V", "", "show the version and what was built in, and end");
    grammar
}

/// The text of `-h`.
fn help() -> String {
    let brief = "Usage: ouistiti [-f FILE] [-t] [-D] [-K] [-p PIDFILE] [-s N] \
                 [-W DIR] [-L LOG] [-v] [-h] [-V]\n\
                 A WebSocket gateway to UNIX servers.";
    format!(
        "{}\nExit code: 0, 1 run-time error, 2 usage, 78 configuration.\n\n{}",
        grammar().usage(brief),
        config::summary()
    )
}

/// The text of `-V`.
fn version() -> String {
    let features = [
        (cfg!(feature = "websocket"), " websocket"),
        (cfg!(feature = "websocket_rt"), " websocket_rt"),
        (cfg!(feature = "tls"), " tls"),
        (cfg!(feature = "landlock"), " landlock"),
    ];
    let built: String = features
        .iter()
        .filter(|(on, _)| *on)
        .map(|(_, name)| *name)
        .collect();
    format!("ouistiti {}\nfeatures:{built}\n", env!("CARGO_PKG_VERSION"))
}

/// A command line that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl From<Fail> for UsageError {
    fn from(fail: Fail) -> Self {
        Self(match fail {
            Fail::ArgumentMissing(name) => format!("-{name} needs an argument"),
            Fail::UnrecognizedOption(name) => format!("unknown option '{name}'"),
            Fail::OptionDuplicated(name) => format!("-{name} is given twice"),
            Fail::OptionMissing(name) => format!("-{name} is needed"),
            Fail::UnexpectedArgument(name) => format!("-{name} takes no argument"),
        })
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for UsageError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn run(line: &str) -> Result<Options, String> {
        match read(line) {
            Ok(Command::Serve(options)) => Ok(options),
            Ok(Command::Print(text)) => Err(text),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn without_options_the_default_file_is_served_in_the_foreground() {
        let options = run("").expect("no options");
        assert_eq!(options.config.to_str(), Some("/etc/ouistiti.conf"));
        assert!(!options.detach && options.verbose == 0);
        assert!(
            options.pid_file.is_none() && options.server.is_none() && options.directory.is_none()
        );
    }

    #[test]
    fn every_option_is_understood() {
        let options = run("-f a.conf -D -p /run/x -s 2 -W /srv -Llog -vv").expect("options");
        let expected = Options {
            config: "a.conf".into(),
            detach: true,
            pid_file: Some("/run/x".into()),
            server: Some(2),
            directory: Some("/srv".into()),
            log_file: Some("log".into()),
            verbose: 2,
        };
        assert_eq!(options, expected);
        assert!(matches!(read("-t"), Ok(Command::Test(_))));
        assert!(matches!(read("-K -p x"), Ok(Command::Kill(_))));
    }

    #[test]
    fn a_line_that_cannot_be_understood_says_what_and_points_to_help() {
        let cases = [
            ("-x", "unknown option 'x'"),
            ("-f", "-f needs an argument"),
            ("-t -t", "-t is given twice"),
            ("-s 0", "-s takes the number of a server, from 1, not '0'"),
            ("-s two", "not 'two'"),
            ("start", "unexpected argument 'start'"),
            ("-t -K", "-t and -K exclude each other"),
        ];
        for (line, message) in cases {
            let error = run(line).expect_err(line);
            assert!(error.contains(message), "{line}: {error}");
        }
    }

    #[test]
    fn help_lists_every_option_and_every_setting() {
        let help = run("-h").expect_err("a text");
        for word in [
            "-f FILE",
            "-W DIR",
            "-V",
            "Exit code",
            "maxclients = 200",
            "framing = \"stream\"",
        ] {
            assert!(help.contains(word), "{word} is missing in\n{help}");
        }
        assert!(run("-V").expect_err("a text").starts_with("ouistiti 0."));
    }
}
