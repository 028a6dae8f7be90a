//! `-S`: asks the running daemon by its control socket, and prints the answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::Options;
use crate::config::{Listen, ServerConfig};
use crate::connection::explain;
use crate::daemon::error::{Context, Error};
use crate::daemon::settings;
use crate::server::Server;
use crate::server::resources::Resources;
use crate::system::reason::reason;

/// Longest wait for an answer: an explanation may wait for a backend, `ping` and `wait` seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longest wait for whoever listens on an address of this machine.
const LOOK: Duration = Duration::from_secs(1);

/// Prints what the daemon answers to `words`. A request is explained without a daemon too, from the
/// configuration.
///
/// # Errors
/// A configuration without `control`; no daemon answers.
pub fn ask(options: &Options, words: &[String]) -> Result<ExitCode, Error> {
    super::startup::enter_directory(options)?;
    let config = settings::load(options, |line| eprintln!("{line}"))?;
    let path = config.control.filter(|path| !path.as_os_str().is_empty());
    let answer = match &path {
        Some(path) => question(path, words),
        None => Err(ErrorKind::NotFound.into()),
    };
    let (is_well, text) = match (answer, words) {
        (Ok(answer), _) => answer,
        (Err(error), [first, url, headers @ ..]) if first == "explain" && is_nobody(&error) => {
            println!("no daemon answers: this is what {} says", options.config);
            config.servers.iter().for_each(tell_of_others);
            let result = from_file(config.servers, url, headers)?;
            match result {
                Ok(text) => (true, text),
                Err(text) => (false, text + "\n"),
            }
        }
        (Err(error), _) => return Err(unanswered(path.as_deref(), &error)),
    };
    match is_well {
        true => print!("{text}"),
        false => eprint!("ouistiti: {text}"),
    }
    Ok(ExitCode::from(u8::from(!is_well)))
}

/// Asks a daemon. Returns whether it says that all is well, and its text.
fn question(path: &Path, words: &[String]) -> io::Result<(bool, String)> {
    let mut socket = UnixStream::connect(path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // A line break in a word would make two of it.
    let words: Vec<_> = words
        .iter()
        .map(|word| word.replace(['\r', '\n'], " "))
        .collect();
    socket.write_all(words.join("\n").as_bytes())?;
    socket.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    match answer.split_once('\n') {
        Some((digit, text)) => Ok((digit == "0", text.to_owned())),
        None => Err(io::Error::other("it has no time for another question now")),
    }
}

/// Tells where somebody listens, though no daemon answers: a start would fail there.
fn tell_of_others(server: &ServerConfig) {
    for listen in &server.listen {
        if let Listen::Tcp(address) = listen
            && TcpStream::connect_timeout(address, LOOK).is_ok()
        {
            println!("{address}: another program listens there, or a daemon without 'control'");
        }
    }
}

/// Whether nobody is there to answer.
fn is_nobody(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    )
}

fn unanswered(path: Option<&Path>, error: &io::Error) -> Error {
    let Some(path) = path else {
        let text = "-S needs a control socket: 'control' or 'pid-file' in the configuration, or -p";
        return Error::Usage(text.to_owned());
    };
    let cure = match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => "; the daemon does not run",
        ErrorKind::PermissionDenied => "; root and the daemon's user may ask",
        _ => "",
    };
    let path = path.display();
    Error::Runtime(format!("cannot ask {path}: {}{cure}", reason(error)))
}

/// Explains a request by the servers of a configuration that nobody runs.
fn from_file(
    configs: Vec<ServerConfig>,
    url: &str,
    headers: &[String],
) -> Result<Result<String, String>, Error> {
    let resources = Arc::new(Resources::default());
    resources.measure(0, 0, 0);
    let mut servers = Vec::new();
    for config in configs {
        let name = config
            .listen
            .first()
            .map_or_else(String::new, ToString::to_string);
        let server = Server::new(config, None, Arc::default(), &resources);
        servers.push((name, Arc::new(server.context("cannot explain")?)));
    }
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    Ok(explain::explain(&servers, url, &headers))
}
