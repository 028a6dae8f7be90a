//! Start-up: the command line.

mod grammar;
mod one_line;

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use getopts::{Fail, Matches};

use crate::config::{self, Input};
use crate::system::reason::reason;
use one_line::OneLine;

/// The configuration file if none is named.
const DEFAULT_CONFIG: &str = "/etc/ouistiti.conf";

/// The configuration file of the C gateway, if the other one is not there.
const FALLBACK_CONFIG: &str = "/etc/ouistiti/ouistiti.conf";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// To serve.
    Serve(Options),
    /// To test the configuration (`-t`).
    Test(Options),
    /// To stop the daemon whose id is in the pid file (`-K`).
    Kill(Options),
    /// To ask the running daemon (`-S`), with the words that follow.
    Ask(Options, Vec<String>),
    /// To print this text and end with 0 (`-h`, `-V`, `--generate`).
    Print(String),
}

/// The options of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The configuration: a file (`-f`), relative to `directory` if that is set, or the text that
    /// `-l` and its companions stand for.
    pub config: Input,
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
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    let program = split_program(&mut arguments)?;
    let matches = grammar::parser().parse(arguments)?;
    match matches.opt_count("h") {
        0 => {}
        1 => return Ok(Command::Print(grammar::help())),
        _ => return Ok(Command::Print(grammar::long_help())),
    }
    if matches.opt_present("V") {
        return Ok(Command::Print(grammar::version()));
    }
    if let Some(what) = matches.opt_str("generate") {
        return generate(&what).map(Command::Print);
    }
    match matches.free.first() {
        Some(_) if matches.opt_present("S") => command(&matches, program),
        Some(argument) => Err(UsageError(format!(
            "unexpected argument '{argument}'; a program to run stands behind --"
        ))),
        None => command(&matches, program),
    }
}

/// Takes the program and its arguments off: all that stands behind `--`.
fn split_program(arguments: &mut Vec<OsString>) -> Result<Vec<String>, UsageError> {
    let Some(at) = arguments.iter().position(|argument| argument == "--") else {
        return Ok(Vec::new());
    };
    let program = arguments.split_off(at).into_iter().skip(1);
    let texts = program.map(OsString::into_string);
    texts.collect::<Result<_, _>>().map_err(|argument| {
        let argument = argument.display();
        UsageError(format!(
            "'{argument}' is not UTF-8, as all settings must be"
        ))
    })
}

fn command(matches: &Matches, program: Vec<String>) -> Result<Command, UsageError> {
    let options = options(matches, program)?;
    let given: Vec<_> = ["t", "D", "K", "S"]
        .into_iter()
        .filter(|name| matches.opt_present(name))
        .collect();
    match given[..] {
        ["t"] => Ok(Command::Test(options)),
        ["K"] => Ok(Command::Kill(options)),
        ["S"] => Ok(Command::Ask(options, matches.free.clone())),
        [] | [_] => Ok(Command::Serve(options)),
        [first, second, ..] => Err(UsageError(format!(
            "-{first} and -{second} exclude each other"
        ))),
    }
}

fn options(matches: &Matches, program: Vec<String>) -> Result<Options, UsageError> {
    let path = |name| match matches.opt_str(name) {
        Some(empty) if empty.is_empty() => Err(UsageError(format!("-{name} needs a path"))),
        path => Ok(path.map(PathBuf::from)),
    };
    Ok(Options {
        config: input(matches, path("f")?, program)?,
        detach: matches.opt_present("D"),
        pid_file: path("p")?,
        server: matches.opt_str("s").map(|text| number(&text)).transpose()?,
        directory: path("W")?,
        log_file: path("L")?,
        verbose: matches.opt_count("v"),
    })
}

/// What `--generate` prints.
fn generate(what: &str) -> Result<String, UsageError> {
    match what {
        "config" => Ok(config::example()),
        "man" => Ok(config::manual()),
        _ => Err(UsageError(format!(
            "--generate takes config or man, not '{what}'"
        ))),
    }
}

/// Where the configuration comes from.
fn input(
    matches: &Matches,
    file: Option<PathBuf>,
    program: Vec<String>,
) -> Result<Input, UsageError> {
    let Some(listen) = matches.opt_str("l") else {
        if let Some(name) = ["b", "d", "w", "o"].iter().find(|o| matches.opt_present(o)) {
            return Err(UsageError(format!("-{name} needs -l")));
        }
        if let Some(program) = program.first() {
            let message = format!("a program behind --, here '{program}', needs -l");
            return Err(UsageError(message));
        }
        return match file {
            Some(path) if path == Path::new("-") => Input::stdin().map_err(|error| {
                UsageError(format!("cannot read standard input: {}", reason(&error)))
            }),
            Some(path) => Ok(Input::File(path)),
            None => Ok(Input::File(default_file(DEFAULT_CONFIG, FALLBACK_CONFIG))),
        };
    };
    if file.is_some() {
        return Err(UsageError("-f and -l exclude each other".to_owned()));
    }
    let line = OneLine {
        listen,
        program,
        backend: matches.opt_str("b"),
        directory: matches.opt_str("d"),
        pages: matches.opt_str("w"),
        origins: matches.opt_strs("o"),
    };
    let base = matches.opt_str("W").unwrap_or_default();
    line.text(Path::new(&base)).map(Input::Options)
}

/// The file that is read if none is named: the fallback only where the own one is missing.
fn default_file(own: &str, fallback: &str) -> PathBuf {
    let [own, fallback] = [own, fallback].map(PathBuf::from);
    match !own.exists() && fallback.exists() {
        true => fallback,
        false => own,
    }
}

fn number(text: &str) -> Result<usize, UsageError> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(UsageError(format!(
            "-s takes the number of a server, from 1, not '{text}'"
        ))),
    }
}

/// A command line that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct UsageError(String);

impl From<Fail> for UsageError {
    fn from(fail: Fail) -> Self {
        Self(match fail {
            Fail::ArgumentMissing(name) => format!("{} needs an argument", dashed(&name)),
            Fail::UnrecognizedOption(name) => format!("unknown option '{}'", dashed(&name)),
            Fail::OptionDuplicated(name) => format!("{} is given twice", dashed(&name)),
            Fail::OptionMissing(name) => format!("{} is needed", dashed(&name)),
            Fail::UnexpectedArgument(name) => format!("{} takes no argument", dashed(&name)),
        })
    }
}

/// Returns an option as it is typed, for its name without dashes.
fn dashed(name: &str) -> String {
    let dashes = if name.chars().count() == 1 { "-" } else { "--" };
    format!("{dashes}{name}")
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
        let file = default_file(DEFAULT_CONFIG, FALLBACK_CONFIG);
        assert_eq!(options.config, Input::File(file));
        assert!(!options.detach && options.verbose == 0);
        assert!(
            options.pid_file.is_none() && options.server.is_none() && options.directory.is_none()
        );
    }

    #[test]
    fn the_file_of_the_c_gateway_is_read_where_there_is_no_other() {
        let (here, missing) = ("/proc/self/status", "/nowhere/ouistiti.conf");
        assert_eq!(default_file(here, "/proc/self/stat"), Path::new(here));
        assert_eq!(default_file(missing, here), Path::new(here));
        assert_eq!(default_file(missing, "/nowhere/x"), Path::new(missing));
    }

    #[test]
    fn every_option_is_understood() {
        let options =
            run("-f a.conf -D -p /run/x -s 2 -W /srv -M /lib -Llog -vv").expect("options");
        let expected = Options {
            config: Input::File("a.conf".into()),
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
            ("-x", "unknown option '-x'"),
            ("--colour", "unknown option '--colour'"),
            ("--generate", "--generate needs an argument"),
            ("--help=x", "--help takes no argument"),
            ("-f", "-f needs an argument"),
            ("-t -t", "-t is given twice"),
            ("-s 0", "-s takes the number of a server, from 1, not '0'"),
            ("-s two", "not 'two'"),
            (
                "start",
                "unexpected argument 'start'; a program to run stands behind --",
            ),
            ("-- cat", "a program behind --, here 'cat', needs -l"),
            ("-l 80 -d /run -- cat", "exclude each other"),
            (
                "-l 80 -- no-such-program",
                "there is no program 'no-such-program' in PATH",
            ),
            ("-l 80 -- ./no-such", "there is no program './no-such'"),
            ("-l 80 -- /", "'/' is a directory, not a program"),
            (
                "-l 80 -- ./Cargo.toml",
                "'./Cargo.toml' may not be executed; 'chmod a+x ./Cargo.toml' lets it",
            ),
            ("-l 80 --", "-l needs one of"),
            ("-t -K", "-t and -K exclude each other"),
            ("-d /run", "-d needs -l"),
            ("-l 80 -f x -d /run", "-f and -l exclude each other"),
            ("-l 80", "-l needs one of -b BACKEND, -d DIR and -- PROGRAM"),
            ("-l 80 -b ./x -d /run", "exclude each other"),
            ("-l x -d /run", "-l takes a port"),
            (
                "--generate html",
                "--generate takes config or man, not 'html'",
            ),
        ];
        for (line, message) in cases {
            let error = run(line).expect_err(line);
            assert!(error.contains(message), "{line}: {error}");
        }
    }

    #[test]
    fn help_lists_every_option_and_more_help_every_setting() {
        let help = run("-h").expect_err("a text");
        assert_eq!(run("--help").expect_err("a text"), help);
        assert!(
            help.contains("-f FILE") && !help.contains("maxclients"),
            "{help}"
        );
        let more = run("-hh").expect_err("a text");
        assert!(more.starts_with(&help));
        for word in ["maxclients = 200", "framing = \"stream\""] {
            assert!(more.contains(word), "{word} is missing in\n{more}");
        }
        for line in ["-V", "--version"] {
            assert!(run(line).expect_err("a text").starts_with("ouistiti 0."));
        }
    }

    #[test]
    fn a_line_without_a_file_is_a_configuration() {
        let options = run("-l 8080 -d /run/x -o file -o null").expect("options");
        let Input::Options(text) = &options.config else {
            panic!("{options:?}");
        };
        assert!(text.contains("addr = \"127.0.0.1:8080\";"), "{text}");
        assert!(text.contains(",file,null\";"), "{text}");
    }

    #[test]
    fn what_the_key_table_makes_can_be_printed() {
        let print = |what| run(&format!("--generate {what}")).expect_err("a text");
        assert_eq!(print("config"), config::example());
        assert_eq!(print("man"), config::manual());
    }
}
