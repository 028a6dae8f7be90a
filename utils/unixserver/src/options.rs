//! Start-up: the command line, what all servers share and each adds.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::Error;

/// Directory of the sockets unless `-R` says otherwise: the gateway's own default.
const DEFAULT_ROOT: &str = "/var/run/ouistiti";

/// Most clients at a time unless `-m` says otherwise.
const DEFAULT_MAX_CLIENTS: usize = 50;

/// The options a server understands.
///
/// All have `-R -n -u -m -q -P -D -h -V`; a server adds its own with [`flag`](Self::flag) and
/// [`value`](Self::value).
pub struct CommandLine {
    name: &'static str,
    version: &'static str,
    purpose: &'static str,
    operands: &'static str,
    options: getopts::Options,
}

impl CommandLine {
    /// The options common to all servers, for the program `name`, which `purpose`.
    #[must_use]
    pub fn new(name: &'static str, version: &'static str, purpose: &'static str) -> Self {
        let max =
            format!("most clients at a time; further ones are closed ({DEFAULT_MAX_CLIENTS})");
        let root = format!("directory of the socket, made if missing ({DEFAULT_ROOT})");
        let socket = format!("name of the socket, and so of the service ({name})");
        let mut options = getopts::Options::new();
        options
            .optopt("R", "root", &root, "DIR")
            .optopt("n", "name", &socket, "NAME")
            .optopt(
                "u",
                "user",
                "switch to this user once the socket is bound",
                "USER",
            )
            .optopt("m", "max", &max, "MAX")
            .optflag(
                "q",
                "packets",
                "a SEQPACKET socket: messages keep their boundaries",
            )
            .optflag(
                "P",
                "proxy",
                "each connection begins with a PROXY v2 header",
            )
            .optflag("D", "daemon", "detach; return when the socket listens")
            .optflag("h", "help", "print this and exit")
            .optflag("V", "version", "print the version and exit");
        Self {
            name,
            version,
            purpose,
            operands: "",
            options,
        }
    }

    /// Adds an option without a value, of one letter and one word.
    #[must_use]
    pub fn flag(mut self, letter: &'static str, word: &str, help: &str) -> Self {
        self.options.optflag(letter, word, help);
        self
    }

    /// Adds an option with a value, which the help calls `hint`.
    #[must_use]
    pub fn value(mut self, letter: &'static str, word: &str, help: &str, hint: &str) -> Self {
        self.options.optopt(letter, word, help, hint);
        self
    }

    /// Takes what stands behind `--`, which the help calls `hint`.
    #[must_use]
    pub fn operands(mut self, hint: &'static str) -> Self {
        self.operands = hint;
        self
    }

    /// The program's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Reads `arguments`, without the program's own name.
    ///
    /// `None` means that `-h` or `-V` has been answered and nothing is left to do.
    ///
    /// # Errors
    /// [`Error::Usage`] for what is unknown, missing or out of range.
    pub fn parse(
        &self,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Option<Options>, Error> {
        let mut arguments = arguments.into_iter();
        let options = arguments.by_ref().take_while(|argument| argument != "--");
        let matches = self
            .options
            .parse(options)
            .map_err(|e| Error::Usage(e.to_string()))?;
        let operands: Vec<OsString> = arguments.collect();
        if matches.opt_present("h") {
            let dashes = if self.operands.is_empty() { "" } else { " -- " };
            let (name, purpose) = (self.name, self.purpose);
            let brief = format!("{name} [OPTION]...{dashes}{}: {purpose}", self.operands);
            print!("{}", self.options.usage(&brief));
            return Ok(None);
        }
        if matches.opt_present("V") {
            println!("{} {}", self.name, self.version);
            return Ok(None);
        }
        if let Some(argument) = matches.free.first() {
            return Err(Error::Usage(format!("unexpected argument '{argument}'")));
        }
        if self.operands.is_empty() != operands.is_empty() {
            return Err(Error::Usage(match operands.first() {
                Some(operand) => format!("unexpected argument '{}'", operand.display()),
                None => format!("-- {} is needed", self.operands),
            }));
        }
        let name = matches.opt_str("n").unwrap_or_else(|| self.name.to_owned());
        if !is_service_name(&name) {
            return Err(Error::Usage(format!(
                "'{name}' cannot be the name of a service: use letters, digits and . _ ~ + @ -"
            )));
        }
        let root = matches
            .opt_str("R")
            .map_or_else(|| PathBuf::from(DEFAULT_ROOT), PathBuf::from);
        Ok(Some(Options {
            path: root.join(name),
            max_clients: max_clients(&matches)?,
            operands,
            matches,
        }))
    }
}

/// A command line that was right.
pub struct Options {
    path: PathBuf,
    max_clients: usize,
    operands: Vec<OsString>,
    matches: getopts::Matches,
}

impl Options {
    /// Path of the socket: the directory of `-R` and the name of `-n`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// User to become (`-u`).
    #[must_use]
    pub fn user(&self) -> Option<String> {
        self.matches.opt_str("u")
    }

    /// Most clients at a time (`-m`), at least 1.
    #[must_use]
    pub fn max_clients(&self) -> usize {
        self.max_clients
    }

    /// What stands behind `--`: at least one word where the server takes operands.
    #[must_use]
    pub fn operands(&self) -> &[OsString] {
        &self.operands
    }

    /// Whether the flag with this letter was given.
    #[must_use]
    pub fn flag(&self, letter: &str) -> bool {
        self.matches.opt_present(letter)
    }

    /// The value of the option with this letter, if it was given.
    #[must_use]
    pub fn value(&self, letter: &str) -> Option<String> {
        self.matches.opt_str(letter)
    }
}

/// Whether the gateway would serve this name: one segment of its grammar.
fn is_service_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._~+@-".contains(&c);
    !name.is_empty() && name != "." && name != ".." && name.bytes().all(allowed)
}

/// The value of `-m`.
fn max_clients(matches: &getopts::Matches) -> Result<usize, Error> {
    match matches.opt_get_default("m", DEFAULT_MAX_CLIENTS) {
        Ok(max) if max > 0 => Ok(max),
        _ => Err(Error::Usage(
            "-m needs a number of clients, 1 or more".to_owned(),
        )),
    }
}
