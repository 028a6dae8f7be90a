//! A login that another program checks (`type = "forward"`): it is asked over HTTP about each
//! request, as nginx's auth_request, Traefik and Caddy do.
//!
//! The request's headers go to it, with X-Forwarded-Method, -Proto, -Host, -Uri and -For. A 2xx
//! lets in; a 401, a 403, a 429 or a redirect goes back to the client.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Known;
use super::answer::{Answer, Fault};
use super::socket::{Socket, address};
use super::turns::Turns;
use crate::config::Target;
use crate::http::refusal::{Refusal, SentBack};
use crate::http::request::Request;

/// Longest wait for a verdict.
const WAIT: Duration = Duration::from_secs(2);
/// Checks at a time.
const CHECKS: usize = 32;
/// Checks of one address at a time: as many as browsers open connections.
const CHECKS_EACH: usize = 6;
/// Most connections kept for the next check.
const MAX_KEPT: usize = 2;
/// Longest header that goes back to a client, in bytes.
const MAX_VALUE: usize = 4096;
/// Longest name of a user, in bytes.
const MAX_USER: usize = 255;

/// Headers that name the user: the usual one, and oauth2-proxy's.
const USER: [&str; 2] = ["Remote-User", "X-Auth-Request-User"];
/// Headers that name the groups of the user, between commas.
const GROUPS: [&str; 2] = ["Remote-Groups", "X-Auth-Request-Groups"];
/// Headers of a verdict that go back to the client, and how often each may come.
const BACK: [(&str, usize); 4] = [
    ("WWW-Authenticate", 4),
    ("Location", 1),
    ("Set-Cookie", 8),
    ("Retry-After", 1),
];
/// Headers of a client that are not for the program: they speak of the connection (RFC 9110,
/// section 7.6.1), or would change what is answered.
const LEFT_OUT: [&str; 17] = [
    "Host",
    "Connection",
    "Keep-Alive",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Content-Length",
    "Expect",
    "Accept-Encoding",
    "Range",
    "Forwarded",
    "X-Real-IP",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
];
/// Beginnings of headers that are not for the program: the gateway or the program itself makes
/// them, or they would have it answer 304.
const LEFT_OUT_WITH: [&str; 5] = [
    "X-Forwarded-",
    "X-Original-",
    "X-Auth-Request-",
    "Remote-",
    "If-",
];

/// A program that knows who has logged in.
pub(super) struct Forward {
    target: Target,
    /// Its host and port, for the header Host.
    host: String,
    /// Path and query of the request to it.
    path: String,
    kept: Mutex<Vec<Socket>>,
    turns: Turns,
}

/// What the program says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The client may come in: the user, if the program names one, and the user's groups.
    In(Option<String>, Vec<String>),
    /// It may not, and gets this answer.
    Out(SentBack),
}

impl Forward {
    /// Asks the program at `target` for `path`.
    pub(super) fn new(target: &Target, path: &str) -> Self {
        Self {
            target: target.clone(),
            host: match target {
                Target::Tcp(..) => address(target),
                _ => "localhost".to_owned(),
            },
            path: path.to_owned(),
            kept: Mutex::default(),
            turns: Turns::new(CHECKS, CHECKS_EACH),
        }
    }

    /// Asks about a request: who it is.
    ///
    /// # Errors
    /// `SentBack`, or `LoginUnavailable` where there is no verdict.
    pub(super) fn check(
        &self,
        request: &Request,
        source: Option<SocketAddr>,
    ) -> Result<Known, Refusal> {
        match self.verdict_on(request, source.map(|address| address.ip())) {
            Ok(Verdict::In(user, groups)) => Ok(Known {
                user: user.unwrap_or_default(),
                groups,
            }),
            Ok(Verdict::Out(answer)) => Err(Refusal::SentBack(answer)),
            Err(why) => {
                let why = format!("{}: {why}", address(&self.target));
                Err(Refusal::LoginUnavailable(why))
            }
        }
    }

    fn verdict_on(&self, request: &Request, source: Option<IpAddr>) -> Result<Verdict, String> {
        let deadline = Instant::now() + WAIT;
        let Some(_turn) = self.turns.take(source, false, deadline) else {
            return Err("too many logins are being checked".to_owned());
        };
        match self.ask(&self.head(request, source), deadline) {
            Ok(answer) => verdict(&answer),
            Err(Fault::Gone) => Err("it left without an answer".to_owned()),
            Err(Fault::Broken(why)) => Err(why),
        }
    }

    /// Sends a request over a connection that was kept, or over a new one.
    fn ask(&self, head: &str, deadline: Instant) -> Result<Answer, Fault> {
        let kept = self.kept().pop().filter(Socket::is_quiet);
        if let Some(socket) = kept {
            match self.ask_over(socket, head, deadline) {
                // It closed the connection at that moment (RFC 9112, section 9.3.1).
                Err(Fault::Gone) => {}
                result => return result,
            }
        }
        let socket = Socket::connect(&self.target, deadline).map_err(|error| Fault::of(&error))?;
        self.ask_over(socket, head, deadline)
    }

    fn ask_over(&self, socket: Socket, head: &str, deadline: Instant) -> Result<Answer, Fault> {
        // Where it has closed, reading says so; where it has answered early, the answer is there.
        let sent = socket.send(head.as_bytes(), deadline);
        let answer = Answer::read(&socket, deadline)?;
        let mut kept = self.kept();
        if sent.is_ok() && answer.is_kept && kept.len() < MAX_KEPT {
            kept.push(socket);
        }
        Ok(answer)
    }

    /// The request to the program.
    fn head(&self, request: &Request, source: Option<IpAddr>) -> String {
        let scheme = if request.is_https { "https" } else { "http" };
        let mut head = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nX-Forwarded-Method: {}\r\nX-Forwarded-Proto: {scheme}\r\n\
             X-Forwarded-Host: {}\r\nX-Forwarded-Uri: {}\r\n",
            self.path,
            self.host,
            request.method,
            request.host,
            uri(request),
        );
        // Writing to a String cannot fail.
        if let Some(ip) = source {
            let _ = write!(head, "X-Forwarded-For: {}\r\n", ip.to_canonical());
        }
        let sent = request
            .headers
            .iter()
            .filter(|(name, _)| is_for_program(name));
        for (name, value) in sent {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the program gets a client's header. CGI makes one variable of a name with `_` and of one
/// with `-` (RFC 3875, section 4.1.18), so that a client could speak for the gateway.
fn is_for_program(name: &str) -> bool {
    let begins = |with: &&str| {
        let start = name.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    !name.contains('_')
        && !LEFT_OUT.iter().any(|own| own.eq_ignore_ascii_case(name))
        && !LEFT_OUT_WITH.iter().any(begins)
}

/// The path and query of a request, in one spelling only: the program judges the path that is
/// opened.
fn uri(request: &Request) -> String {
    let mut uri = String::with_capacity(request.target.len());
    for segment in request
        .path
        .split('/')
        .filter(|segment| !segment.is_empty())
    {
        uri.push('/');
        for byte in segment.bytes() {
            match byte {
                // RFC 3986, section 3.3: what a segment is made of.
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => uri.push(char::from(byte)),
                b if b"-._~!$&'()*+,;=:@".contains(&b) => uri.push(char::from(b)),
                b => drop(write!(uri, "%{b:02X}")),
            }
        }
    }
    if request.path.ends_with('/') {
        uri.push('/');
    }
    if let Some(query) = &request.query {
        uri.push('?');
        uri.push_str(query);
    }
    uri
}

/// What an answer means.
fn verdict(answer: &Answer) -> Result<Verdict, String> {
    match answer.status {
        200..=299 => {
            let user = one_of(answer, &USER)?;
            let groups = one_of(answer, &GROUPS)?.unwrap_or_default();
            if let Some(user) = user.as_ref().filter(|user| user.len() > MAX_USER) {
                return Err(format!("the user that it names has {} bytes", user.len()));
            }
            Ok(Verdict::In(user, super::file::groups(&groups)))
        }
        401 | 403 | 429 => sent_back(answer),
        301..=303 | 307 | 308 if answer.all("Location").next().is_some() => sent_back(answer),
        status => Err(format!("it answers {status}")),
    }
}

/// The value of the first of these headers that is there.
fn one_of(answer: &Answer, names: &[&str]) -> Result<Option<String>, String> {
    for name in names {
        let mut values = answer.all(name);
        let Some(value) = values.next() else { continue };
        let text = str::from_utf8(value).ok().map(str::trim);
        let text = text.filter(|text| !text.contains(char::is_control));
        return match (text, values.next()) {
            (Some(text), None) => Ok((!text.is_empty()).then(|| text.to_owned())),
            _ => Err(format!("its header {name} cannot be read")),
        };
    }
    Ok(None)
}

/// The answer for a client that may not come in.
fn sent_back(answer: &Answer) -> Result<Verdict, String> {
    let mut headers = Vec::new();
    for (name, most) in BACK {
        let wrong = || format!("its header {name} cannot be passed on");
        for (number, value) in answer.all(name).enumerate() {
            let is_fit = value.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
            let value = str::from_utf8(value).ok();
            let value = value.filter(|value| is_fit && value.len() <= MAX_VALUE && number < most);
            headers.push((name, value.ok_or_else(wrong)?.to_owned()));
        }
    }
    Ok(Verdict::Out(SentBack {
        status: answer.status,
        headers,
    }))
}

#[cfg(test)]
mod tests;
