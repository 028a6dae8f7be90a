//! A request without an upgrade: static files, so that a page and its WebSocket share an origin.
//!
//! One answer, then the connection closes. What is asked for is opened beneath `docroot` by
//! `beneath`; refusals are written by the caller.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::client::Client;
use crate::config::DocumentConfig;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::response::{header, start};
use crate::system::beneath::read_beneath;

/// Most bytes held of a file.
const PIECE: usize = 16 * 1024;
/// How long one write may wait for a client that does not read.
const STALL: Duration = Duration::from_secs(10);
/// The slowest a client may read, in bytes a second: it holds a place among `maxclients`.
const SLOWEST: u64 = 1024;
/// The methods served.
const METHODS: &str = "GET, HEAD";
/// The one name with a leading dot that is served (RFC 8615), for certificate authorities.
const WELL_KNOWN: &str = ".well-known";

/// A directory of files to serve.
#[derive(Debug, Clone)]
pub struct Document {
    docroot: PathBuf,
    default_page: String,
}

impl Document {
    /// The files of a `document` section.
    pub fn new(config: &DocumentConfig) -> Self {
        Self {
            docroot: config.docroot.clone(),
            default_page: config.default_page.clone(),
        }
    }

    /// Answers a request with a file, a redirect to the directory, or "not modified"; returns
    /// the bytes written. `opening` is dropped once the file is open.
    ///
    /// # Errors
    /// Why there is no answer yet; `Gone` if there is a beginning of one, whoever failed.
    pub fn serve<T>(&self, client: &Client, request: &Request, opening: T) -> Result<u64, Refusal> {
        match request.method.as_str() {
            "GET" => self.answer(client, request, opening),
            "HEAD" => self
                .answer(client, request, opening)
                .map_err(Refusal::of_head),
            other => Err(Refusal::BadMethod(other.to_owned(), METHODS)),
        }
    }

    fn answer<T>(&self, client: &Client, request: &Request, opening: T) -> Result<u64, Refusal> {
        let name = file_name(&request.path)?;
        let name = match name.is_empty() || name.ends_with('/') {
            true => name + &self.default_page,
            false => name,
        };
        let (file, metadata) = self.open(&name)?;
        drop(opening);
        // Sets how long each later write may wait, too.
        client
            .set_deadline(Instant::now() + STALL)
            .map_err(Refusal::Gone)?;
        if metadata.is_dir() {
            return redirect(client, &name);
        }
        if !metadata.is_file() {
            return Err(Refusal::NoFile(name));
        }
        let tag = entity_tag(&metadata);
        if is_known(request, &tag) {
            let answer = not_modified(&tag);
            return written(client, answer.as_bytes());
        }
        if request.method == "HEAD" {
            let head = head(&name, metadata.len(), None, &tag);
            return written(client, head.as_bytes());
        }
        let range = asked_range(request, metadata.len(), &tag)?;
        let head = head(&name, metadata.len(), range.as_ref(), &tag);
        send(client, &head, file, range.unwrap_or(0..metadata.len())).map_err(Refusal::Gone)
    }

    fn open(&self, name: &str) -> Result<(File, Metadata), Refusal> {
        let file = read_beneath(&self.docroot, name).map_err(|errno| match errno {
            Errno::EACCES => Refusal::NotAllowed(name.to_owned()),
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => {
                Refusal::Unavailable(format!("cannot open {name}: {}", io::Error::from(errno)))
            }
            _ => Refusal::NoFile(name.to_owned()),
        })?;
        match file.metadata() {
            Ok(metadata) => Ok((file, metadata)),
            Err(_) => Err(Refusal::Internal("cannot stat an open file")),
        }
    }
}

/// The path without its leading `/`. No segment is empty or begins with a dot; the last may be
/// missing.
fn file_name(path: &str) -> Result<String, Refusal> {
    let name = path.strip_prefix('/').unwrap_or(path);
    let directories = name.strip_suffix('/').unwrap_or(name);
    let hidden = |(place, segment): (usize, &str)| {
        segment.is_empty() || segment.starts_with('.') && (place, segment) != (0, WELL_KNOWN)
    };
    match !name.is_empty() && directories.split('/').enumerate().any(hidden) {
        true => Err(Refusal::NoFile(name.to_owned())),
        false => Ok(name.to_owned()),
    }
}

/// Sends the client to the directory's name with a slash, so that its page can use relative
/// links. The query is not repeated: no answer carries what the client wrote.
fn redirect(client: &Client, name: &str) -> Result<u64, Refusal> {
    let body = "301 Moved Permanently: this is a directory\n";
    let mut answer = start(301, "text/plain; charset=utf-8", body.len() as u64);
    header(&mut answer, "Location", &format!("/{}/", encode(name)));
    answer.push_str("\r\n");
    answer.push_str(body);
    written(client, answer.as_bytes())
}

/// Percent-encodes all but what stands for itself in a path (RFC 3986, section 2.3).
fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn written(client: &Client, answer: &[u8]) -> Result<u64, Refusal> {
    client.write_all(answer).map_err(Refusal::Gone)?;
    Ok(answer.len() as u64)
}

/// Size and time of change, to the nanosecond: strong enough to join ranges by.
fn entity_tag(metadata: &Metadata) -> String {
    let (size, seconds) = (metadata.len(), metadata.mtime());
    format!("\"{size:x}-{seconds:x}-{:x}\"", metadata.mtime_nsec())
}

/// Whether the client has this version (RFC 9110, section 13.1.2: compared weakly).
fn is_known(request: &Request, tag: &str) -> bool {
    (request.list("If-None-Match"))
        .any(|own| own == "*" || own.strip_prefix("W/").unwrap_or(own) == tag)
}

fn not_modified(tag: &str) -> String {
    let mut answer = String::from("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n");
    header(&mut answer, "ETag", tag);
    header(&mut answer, "Cache-Control", "no-cache");
    answer + "\r\n"
}

/// The one range asked for; what is no range, or several, means the whole file (RFC 9110,
/// section 14.2).
fn asked_range(request: &Request, size: u64, tag: &str) -> Result<Option<Range<u64>>, Refusal> {
    if request.header("If-Range").is_some_and(|own| own != tag) {
        return Ok(None);
    }
    let Ok(Some(value)) = request.once("Range") else {
        return Ok(None);
    };
    match parse_range(value, size) {
        Some(range) if range.is_empty() => Err(Refusal::BadRange(size)),
        range => Ok(range),
    }
}

/// `bytes=2-5`, `bytes=2-` or `bytes=-4` (RFC 9110, section 14.1.2); empty where the file has
/// none of it.
fn parse_range(value: &str, size: u64) -> Option<Range<u64>> {
    let (unit, set) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    match set.split_once('-')? {
        ("", length) => Some(size.saturating_sub(number(length)?)..size),
        (first, "") => Some(number(first)?..size),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| first..size.min(last.saturating_add(1)))
        }
    }
}

/// Digits and nothing else; too many for a `u64` lie behind any file.
fn number(digits: &str) -> Option<u64> {
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn head(name: &str, size: u64, range: Option<&Range<u64>>, tag: &str) -> String {
    let (status, length) = match range {
        Some(range) => (206, range.end - range.start),
        None => (200, size),
    };
    let mut head = start(status, content_type(name), length);
    if let Some(Range { start, end }) = range {
        let content_range = format!("bytes {start}-{}/{size}", end - 1);
        header(&mut head, "Content-Range", &content_range);
    }
    header(&mut head, "ETag", tag);
    header(&mut head, "Cache-Control", "no-cache");
    header(&mut head, "Accept-Ranges", "bytes");
    head + "\r\n"
}

/// Writes the head and what `range` has of the file, a small file with its head in one write.
fn send(client: &Client, head: &str, mut file: File, range: Range<u64>) -> io::Result<u64> {
    file.seek(SeekFrom::Start(range.start))?;
    let mut content = file.take(range.end - range.start);
    let deadline = Instant::now() + STALL + Duration::from_secs(content.limit() / SLOWEST);
    let mut piece = Vec::with_capacity(PIECE);
    piece.extend_from_slice(head.as_bytes());
    let mut sent = 0;
    while !piece.is_empty() || content.limit() > 0 {
        let room = PIECE.saturating_sub(piece.len()) as u64;
        if content.by_ref().take(room).read_to_end(&mut piece)? == 0 && piece.is_empty() {
            // The length is promised; closing early is the only way to say so.
            return Err(io::Error::other(
                "the file became shorter while it was sent",
            ));
        }
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        client.write_all(&piece)?;
        sent += piece.len() as u64;
        piece.clear();
    }
    Ok(sent)
}

/// The content type by the name's ending.
fn content_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "txt" | "md" | "log" | "conf" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        "xml" => "text/xml; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests;
