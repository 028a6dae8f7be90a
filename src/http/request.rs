//! Opening, first step: the request head, read under a limit and a deadline.
//!
//! Exactly the head is consumed: a byte behind it belongs to whoever serves the client next, in
//! direct mode a backend. What the request asks for is judged by `handshake` and `document`.

use std::time::Instant;

use crate::client::Client;
use crate::http::peek::{consume, peek};
use crate::http::proxy;
use crate::http::refusal::Refusal;

mod query;

/// Most headers (our limit).
const MAX_HEADERS: usize = 128;
/// Bytes of a head that are read at first: browsers send less than that.
const FIRST: usize = 2048;
/// Most bytes of empty lines before the request line (RFC 9112, section 2.2, wants one line).
const MAX_LEADING: usize = 8;
/// What ends a head (RFC 9112, section 2.1).
const END: &[u8] = b"\r\n\r\n";

/// First byte of a client that speaks TLS (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// A request head that keeps the rules of RFC 9112 and announces no content.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method, in the client's spelling: methods are case-sensitive.
    pub method: String,
    /// Path and query as they were sent, still percent-encoded; begins with `/`.
    pub target: String,
    /// The path with its leading `/`, percent-decoded once; it has no NUL.
    pub path: String,
    /// What follows the first `?` of the target, still encoded.
    pub query: Option<String>,
    /// Host and port of the target if it has them, of `Host` otherwise; empty only where the client
    /// left it empty or speaks HTTP/1.0.
    pub host: String,
    /// The client has a TLS connection, to us or to a trusted proxy in front.
    pub is_https: bool,
    /// The user who has logged in.
    pub user: Option<String>,
    /// Somebody has logged in for it, or has sent a token: the answer is for nobody else.
    pub is_private: bool,
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub version_minor: u8,
    /// Names and values in order; bytes of a value that are not UTF-8 have become U+FFFD.
    pub headers: Vec<(String, String)>,
}

/// Reads a request of at most `limit` bytes from the first of the request line to the empty line
/// (`headsize`), and nothing that follows it, until `deadline` at most.
///
/// # Errors
/// `Timeout` at the deadline, `Gone` when the client leaves first, and what is wrong with the head
/// as soon as it can be seen: 400, 414 or 431.
pub(crate) fn read(client: &Client, limit: usize, deadline: Instant) -> Result<Request, Refusal> {
    let mut buffer = Vec::new();
    let read = read_into(&mut buffer, client, limit, deadline);
    read.map_err(|refusal| match buffer.starts_with(b"HEAD ") {
        true => refusal.of_head(),
        false => refusal,
    })
}

fn read_into(
    buffer: &mut Vec<u8>,
    client: &Client,
    limit: usize,
    deadline: Instant,
) -> Result<Request, Refusal> {
    let (mut filled, mut next_look) = (0, 0);
    loop {
        if filled == buffer.len() {
            buffer.resize((2 * filled).max(FIRST).min(limit), 0);
        }
        let seen = filled + peek(client, deadline, &mut buffer[filled..])?;
        let start = filled.saturating_sub(END.len() - 1);
        let ends = buffer[start..seen]
            .windows(END.len())
            .any(|four| four == END);
        // A long head that comes byte by byte is not parsed anew at each byte.
        let head = match ends || seen >= next_look {
            true => inspect(&buffer[..seen])?,
            false => None,
        };
        if seen >= next_look {
            next_look = if seen < FIRST { 0 } else { 2 * seen };
        }
        let end = head.as_ref().map_or(seen, |(end, _)| *end);
        consume(client, &mut buffer[filled..end])?;
        filled = end;
        if let Some((_, mut request)) = head {
            request.is_https = client.is_tls();
            return Ok(request);
        }
        if filled == limit {
            let complete_line = buffer.windows(2).any(|pair| pair == b"\r\n");
            return Err(match complete_line {
                true => Refusal::HeadTooLarge,
                false => Refusal::TargetTooLong,
            });
        }
    }
}

/// Looks at what is there of a head: where it ends and what it says, or nothing yet.
///
/// # Errors
/// As [`read`], for what can be seen.
#[doc(hidden)]
pub fn inspect(seen: &[u8]) -> Result<Option<(usize, Request)>, Refusal> {
    let start = skip_empty_lines(seen)?;
    let text = &seen[start..];
    if text.first() == Some(&TLS_HANDSHAKE) {
        return Err(Refusal::Malformed("this port does not speak TLS"));
    }
    let end = text.windows(END.len()).position(|four| four == END);
    let text = &text[..end.map_or(text.len(), |at| at + END.len())];
    // On the heap: two KiB of stack would stay touched for as long as the client is there.
    let mut headers = vec![httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let status = head.parse(text).map_err(|error| match error {
        httparse::Error::TooManyHeaders => Refusal::TooManyHeaders,
        _ if proxy::is_beginning(seen) => proxy::NOT_BELIEVED,
        httparse::Error::Version => Refusal::Malformed("only HTTP/1.1 is spoken here"),
        httparse::Error::HeaderName => Refusal::Malformed("a bad header name"),
        httparse::Error::HeaderValue => Refusal::Malformed("a bad header value"),
        httparse::Error::NewLine => Refusal::Malformed("a bad line ending"),
        httparse::Error::Token | httparse::Error::Status => {
            Refusal::Malformed("not an HTTP request")
        }
    })?;
    if has_bare_line_feed(text) {
        return Err(Refusal::Malformed("a line ends without a carriage return"));
    }
    match (status, end) {
        (httparse::Status::Complete(_), Some(_)) => {
            Ok(Some((start + text.len(), Request::new(&head)?)))
        }
        (httparse::Status::Partial, None) => Ok(None),
        _ => Err(Refusal::Malformed("not an HTTP request")),
    }
}

/// Length of the empty lines in front of the request (RFC 9112, section 2.2).
fn skip_empty_lines(seen: &[u8]) -> Result<usize, Refusal> {
    let lines = seen.chunks_exact(2).take_while(|pair| pair == b"\r\n");
    match 2 * lines.count() {
        length if length > MAX_LEADING => Err(Refusal::Malformed("not an HTTP request")),
        length => Ok(length),
    }
}

fn has_bare_line_feed(text: &[u8]) -> bool {
    text.first() == Some(&b'\n')
        || text
            .windows(2)
            .any(|two| two[1] == b'\n' && two[0] != b'\r')
}

impl Request {
    /// Makes a request of a complete head; refuses content and a target or `Host` that is wrong.
    fn new(head: &httparse::Request<'_, '_>) -> Result<Self, Refusal> {
        let target = head.path.unwrap_or_default();
        let target = match (head.method, target) {
            // RFC 9112, section 3.2.4: of the server as a whole.
            (Some("OPTIONS"), "*") => "/",
            (_, target) => target,
        };
        let (authority, target) = split_target(target)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        // A target such as `http://host?query` has an empty path, which means `/`.
        let path = if path.is_empty() { "/" } else { path };
        let text = |value| String::from_utf8_lossy(value).into_owned();
        let mut request = Self {
            method: head.method.unwrap_or_default().to_owned(),
            target: match target.starts_with('/') {
                true => target.to_owned(),
                false => format!("/{target}"),
            },
            path: decode_path(path)?,
            query,
            host: String::new(),
            is_https: false,
            user: None,
            is_private: false,
            version_minor: head.version.unwrap_or_default(),
            headers: (head.headers.iter())
                .map(|header| (header.name.to_owned(), text(header.value)))
                .collect(),
        };
        request.refuse_content()?;
        // RFC 9112, section 3.2: once, and overruled by a target that names a host.
        let host = request.once("Host")?.map(str::to_owned);
        if host.is_none() && request.version_minor > 0 {
            return Err(Refusal::Malformed("no Host"));
        }
        request.host = authority.or(host).unwrap_or_default();
        match request.host.bytes().all(is_host_byte) {
            true => Ok(request),
            false => Err(Refusal::Malformed("a bad Host")),
        }
    }

    /// RFC 9112, section 6.3: what announces content, or contradicts itself about it.
    fn refuse_content(&self) -> Result<(), Refusal> {
        if self.header("Transfer-Encoding").is_some() {
            return Err(Refusal::Body);
        }
        match self.once("Content-Length")? {
            None => Ok(()),
            Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
                Err(Refusal::Malformed("a bad Content-Length"))
            }
            Some(digits) if digits.bytes().all(|b| b == b'0') => Ok(()),
            Some(_) => Err(Refusal::Body),
        }
    }

    /// All values of a header, in order; its name in any case.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        (self.headers.iter())
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        (self.headers.iter())
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The cookies; those of several lines as one (RFC 9113, section 8.2.3).
    pub fn cookies(&self) -> Option<String> {
        let lines: Vec<_> = self.headers("Cookie").collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// The value of a header that may come once.
    ///
    /// # Errors
    /// `Repeated` when it came more often.
    pub fn once(&self, name: &'static str) -> Result<Option<&str>, Refusal> {
        match self.headers(name).count() {
            0 | 1 => Ok(self.header(name)),
            _ => Err(Refusal::Repeated(name)),
        }
    }

    /// The elements of a header that is a comma list, over all its lines (RFC 9110, section 5.6.1).
    pub fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers(name)
            .flat_map(|value| value.split(','))
            .map(|element| element.trim_matches([' ', '\t']))
            .filter(|element| !element.is_empty())
    }

    /// Whether a comma list has this token, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|own| own.eq_ignore_ascii_case(token))
    }

    /// Whether this was a handshake (RFC 6455, section 4.1) before a proxy in front made it another
    /// request: proxies that do not know of WebSocket speak HTTP/1.0, or take the headers out that
    /// stand for one connection only (RFC 9110, section 7.6.1).
    pub fn is_spoiled_upgrade(&self) -> bool {
        !self.is_upgrade()
            && (self.header("Sec-WebSocket-Key").is_some()
                || self.version_minor == 0 && self.has_token("Upgrade", "websocket"))
    }

    /// A refusal as the answer to this request.
    pub(crate) fn refused(&self, refusal: Refusal) -> Refusal {
        match self.is_head() {
            true => refusal.of_head(),
            false => refusal,
        }
    }

    /// Whether its answer has no content (RFC 9110, section 9.3.2).
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Whether the client may send another request on the connection (RFC 9112, section 9.3).
    pub fn is_persistent(&self) -> bool {
        self.version_minor > 0 && !self.has_token("Connection", "close")
    }

    /// Whether this asks for a WebSocket: both headers of RFC 6455, section 4.2.1, items 3 and 4.
    /// HTTP/1.0 cannot ask for an upgrade (RFC 9110, section 7.8).
    pub fn is_upgrade(&self) -> bool {
        self.version_minor > 0
            && self.has_token("Connection", "upgrade")
            && self.has_token("Upgrade", "websocket")
    }
}

/// Splits the host off an absolute target (RFC 9112, section 3.2); path and query are left.
fn split_target(target: &str) -> Result<(Option<String>, &str), Refusal> {
    let (authority, rest) = match target.split_once("://") {
        _ if target.starts_with('/') => (None, target),
        Some((scheme, rest)) if is_scheme(scheme) => {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        _ => return Err(Refusal::Malformed("a target without a path")),
    };
    if authority == Some("") || target.contains('#') {
        return Err(Refusal::Malformed("a bad target"));
    }
    Ok((authority.map(str::to_owned), rest))
}

fn is_scheme(scheme: &str) -> bool {
    (["http", "https", "ws", "wss"].iter()).any(|known| scheme.eq_ignore_ascii_case(known))
}

/// What a host and port are made of (RFC 3986, section 3.2.2), IPv6 literals included.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%:[]!$&'()*+;=".contains(&byte)
}

/// Decodes a path, the only place where that is done: no check may see another path than the one
/// that is opened.
fn decode_path(path: &str) -> Result<String, Refusal> {
    percent_decode(path)
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|decoded| !decoded.contains('\0'))
        .ok_or_else(|| Refusal::BadName(path.to_owned()))
}

/// Decodes percent-encoding once (RFC 3986, section 2.1); `None` where no two hex digits follow.
fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            other => other,
        });
    }
    Some(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
