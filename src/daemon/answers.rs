//! Running: answers those who ask what the daemon does: `-S` by the control socket, and Prometheus.
//!
//! Each has a socket and a thread of its own, and takes no client's place. A question has a limit
//! and a deadline, and one connection asks one.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use log::warn;
use nix::sys::signal::{self, Signal};
use nix::unistd::{Pid, User};

use crate::client::Client;
use crate::config::Listen;
use crate::connection::explain;
use crate::daemon::error::{Context, Error};
use crate::frame::CloseCode;
use crate::http::host;
use crate::http::refusal::Refusal;
use crate::http::request::{self, Request};
use crate::http::response::{self, After, header};
use crate::listen::listener::Listener;
use crate::state::{self, json::json, prometheus, text::text};
use crate::system::reason::reason;
use crate::system::threads;

/// Longest question, in bytes: a request of the longest head may be explained.
const MAX_QUESTION: usize = 72 << 10;
/// Longest head of a request for metrics, in bytes.
const MAX_HEAD: usize = 8 << 10;
/// Longest time to ask, and then to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest wait for the end of a client that has been answered by HTTP.
const LINGER: Duration = Duration::from_secs(1);
/// Most questions that are answered at a time, at each of the two sockets.
const MAX_ASKING: usize = 8;
/// Pause after a client could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);
/// Permissions of the control socket.
const CONTROL_MODE: u32 = 0o600;

/// What the daemon answers on, beside its servers.
pub(crate) struct Answers {
    control: Option<Arc<Listener>>,
    metrics: Option<Arc<Listener>>,
}

impl Answers {
    /// Binds the sockets, before privileges are given up. The control socket becomes the user's.
    ///
    /// # Errors
    /// A socket that cannot be bound.
    pub(crate) fn bind(
        control: &Option<PathBuf>,
        metrics: &Option<Listen>,
        user: Option<&User>,
        lent: &mut Vec<Listener>,
    ) -> Result<Self, Error> {
        let control = control_address(control).map(|address| {
            let bound = bind_control(&address, user, lent);
            let name = address.to_string();
            bound.context(format_args!(
                "control = \"{}\"",
                name.trim_start_matches("unix:")
            ))
        });
        let metrics = metrics.as_ref().map(|address| {
            let bound = open(address, lent).map(|(listener, _)| Arc::new(listener));
            bound.context(format_args!("metrics = \"{address}\""))
        });
        Ok(Self {
            control: control.transpose()?,
            metrics: metrics.transpose()?,
        })
    }

    /// Starts a thread for each socket.
    ///
    /// # Errors
    /// When it cannot be created.
    pub(crate) fn start(&self) -> io::Result<()> {
        if let Some(listener) = &self.control {
            serve(listener, "control", answer_question)?;
        }
        if let Some(listener) = &self.metrics {
            serve(listener, "metrics", answer_request)?;
        }
        Ok(())
    }

    /// The settings that ask for other sockets than there are.
    pub(crate) fn changed(
        &self,
        control: &Option<PathBuf>,
        metrics: &Option<Listen>,
    ) -> impl Iterator<Item = &'static str> {
        let wanted = [
            ("control", &self.control, control_address(control)),
            ("metrics", &self.metrics, metrics.clone()),
        ];
        let is_other = |there: &Option<Arc<Listener>>, wanted: Option<Listen>| match there {
            Some(there) => wanted.is_none_or(|wanted| !there.is_on(&wanted)),
            None => wanted.is_some(),
        };
        wanted
            .into_iter()
            .filter_map(move |(name, there, wanted)| is_other(there, wanted).then_some(name))
    }

    /// Each socket, and its address as the configuration writes it: for the process that takes
    /// over.
    ///
    /// # Errors
    /// As fcntl(2).
    pub(crate) fn share(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let listeners = self.control.iter().chain(&self.metrics);
        listeners.map(|listener| listener.share()).collect()
    }

    /// Leaves the sockets to the process that takes over.
    pub(crate) fn leave(&self) {
        for listener in self.control.iter().chain(&self.metrics) {
            listener.leave();
        }
    }

    /// Closes the sockets and removes them.
    pub(crate) fn close(&self) {
        for listener in self.control.iter().chain(&self.metrics) {
            listener.close();
        }
    }
}

/// The socket of this address among those that the process before us has bound, or a new one; and
/// whether it is new.
fn open(address: &Listen, lent: &mut Vec<Listener>) -> io::Result<(Listener, bool)> {
    match lent.iter().position(|lent| lent.is_on(address)) {
        Some(index) => Ok((lent.remove(index), false)),
        None => Ok((Listener::open(address)?, true)),
    }
}

/// The address of the control socket; an empty name stands for none.
fn control_address(control: &Option<PathBuf>) -> Option<Listen> {
    let path = control.as_ref().filter(|path| !path.as_os_str().is_empty());
    path.map(|path| Listen::Unix {
        path: path.clone(),
        mode: CONTROL_MODE,
        group: None,
    })
}

fn bind_control(
    address: &Listen,
    user: Option<&User>,
    lent: &mut Vec<Listener>,
) -> io::Result<Arc<Listener>> {
    let (listener, is_new) = open(address, lent)?;
    let Listen::Unix { path, .. } = address else {
        return Ok(Arc::new(listener));
    };
    if let Some(user) = user.filter(|_| is_new && nix::unistd::geteuid().is_root()) {
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    Ok(Arc::new(listener))
}

/// Answers everybody who comes to a socket, each on a thread of its own.
fn serve(listener: &Arc<Listener>, name: &'static str, answer: fn(TcpStream)) -> io::Result<()> {
    let listener = Arc::clone(listener);
    let asking = Arc::new(AtomicUsize::new(0));
    threads::spawn(name, move || {
        loop {
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(_) if listener.is_ended() => return,
                Err(error) => {
                    warn!("cannot accept whoever asks at '{name}': {}", reason(&error));
                    threads::sleep(PAUSE);
                    continue;
                }
            };
            let asker = Asker(Arc::clone(&asking));
            // A question beyond the limit is not answered: the asker is closed, and may ask again.
            if asking.fetch_add(1, Ordering::Relaxed) < MAX_ASKING {
                let work = move || {
                    let _asker = asker;
                    // The panic is in the log; the daemon serves on.
                    drop(panic::catch_unwind(AssertUnwindSafe(|| answer(socket))));
                };
                drop(threads::spawn("answer", work));
            }
        }
    })
}

/// One who asks, for as long as it is counted.
struct Asker(Arc<AtomicUsize>);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads a question of `-S` and answers it: a digit, 0 if all is well, a line break, the text.
fn answer_question(socket: TcpStream) {
    let client = Client::accepted(socket, None);
    let Ok(question) = read_question(&client, Instant::now() + PATIENCE) else {
        return;
    };
    let text = match answer(&question) {
        Ok(text) => format!("0\n{text}"),
        Err(text) => format!("1\n{text}\n"),
    };
    // An asker that does not take the answer is gone: nothing is left to do.
    let _ = client.write_all_until(text.as_bytes(), Instant::now() + PATIENCE);
}

/// Reads to the end of the stream: words, each in a line.
fn read_question(client: &Client, deadline: Instant) -> io::Result<String> {
    let mut question = Vec::new();
    let mut buffer = [0; 2048];
    loop {
        client.set_deadline(deadline)?;
        match client.read(&mut buffer) {
            Ok(0) => return String::from_utf8(question).map_err(io::Error::other),
            Ok(count) if question.len() + count > MAX_QUESTION => {
                return Err(ErrorKind::FileTooLarge.into());
            }
            Ok(count) => question.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Answers the words that follow `-S`.
///
/// # Errors
/// What is wrong with them.
fn answer(question: &str) -> Result<String, String> {
    let words: Vec<&str> = question.lines().collect();
    match words[..] {
        [] => Ok(text(&state::look())),
        ["json"] => Ok(json(&state::look()) + "\n"),
        ["upgrade"] => upgrade(),
        ["kick", id] => kick(id, "1001"),
        ["kick", id, code] => kick(id, code),
        ["explain", url, ref headers @ ..] => explain::explain(&state::servers(), url, headers),
        _ => Err(
            "-S takes nothing, json, kick ID [CODE], upgrade, or explain URL [HEADER...]"
                .to_owned(),
        ),
    }
}

/// Has the main thread begin an upgrade, as the signal does.
fn upgrade() -> Result<String, String> {
    let sent = signal::kill(Pid::this(), Signal::SIGUSR2);
    sent.map_err(|error| format!("cannot begin: {}", reason(&io::Error::from(error))))?;
    Ok("the upgrade begins; the log tells how it ends\n".to_owned())
}

fn kick(id: &str, code: &str) -> Result<String, String> {
    let number = id
        .parse()
        .map_err(|_| format!("'{id}' is no number of a client"))?;
    let close = code.parse::<u16>().map(CloseCode::from);
    let close = close.ok().filter(|close| close.is_allowed());
    let close = close.ok_or_else(|| format!("'{code}' is no close code that may be sent"))?;
    match state::kick(number, close) {
        true => Ok(format!("client {id} is being ended with {code}\n")),
        false => Err(format!("there is no client {id}")),
    }
}

/// Answers a GET with the metrics.
fn answer_request(socket: TcpStream) {
    let client = Client::accepted(socket, None);
    let request = request::read(&client, MAX_HEAD, Instant::now() + PATIENCE);
    let answer = match request.and_then(check) {
        Ok(is_head) => metrics(is_head),
        Err(refusal) if refusal.is_answered() => response::refusal(&refusal),
        Err(_) => return,
    };
    if client
        .write_all_until(answer.as_bytes(), Instant::now() + PATIENCE)
        .is_ok()
    {
        // What was not read of a request that is refused would reset the connection.
        client.finish();
        client.linger(LINGER);
    }
}

/// Checks a request for metrics: a page must not read them by a name of its own for this machine.
/// Returns whether it is a HEAD.
fn check(request: Request) -> Result<bool, Refusal> {
    if !matches!(&*request.method, "GET" | "HEAD") {
        return Err(Refusal::BadMethod(request.method, "GET, HEAD"));
    }
    if !host::is_local(&request.host) || request.header("Origin").is_some() {
        return Err(Refusal::WrongHost(request.host));
    }
    Ok(request.is_head())
}

fn metrics(is_head: bool) -> String {
    let body = prometheus::prometheus(&state::look());
    let mut answer = response::start(200, After::Close);
    header(&mut answer, "Content-Type", prometheus::CONTENT_TYPE);
    header(&mut answer, "Content-Length", &body.len().to_string());
    header(&mut answer, "Cache-Control", "no-store");
    answer.push_str("\r\n");
    if !is_head {
        answer.push_str(&body);
    }
    answer
}
