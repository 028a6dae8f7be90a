//! A request that is no upgrade: static files, so that a page and its WebSocket share an origin.
//!
//! Files are opened beneath `docroot` by `beneath`; the caller writes refusals, and reads the next
//! request of the connection.

mod range;
mod sending;
mod types;

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Instant;

use log::warn;
use nix::errno::Errno;

use crate::client::Client;
use crate::config::DocumentConfig;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::response::{After, header, start};
use crate::system::beneath::read_beneath;
use crate::system::reason::reason;
use sending::Pace;

/// The methods served.
const METHODS: &str = "GET, HEAD, OPTIONS";
/// The one name with a leading dot that is served (RFC 8615), for certificate authorities.
const WELL_KNOWN: &str = ".well-known";
/// Pages of other sites may not put ours into a frame and have people click there. What else a page
/// may load or run is its own to say: it may narrow this with a `<meta>` element.
pub(super) const POLICY: &str = "frame-ancestors 'self'";
/// Other sites are told from which host people come, not from which page or query.
pub(super) const REFERRER: &str = "strict-origin-when-cross-origin";

/// A directory of files to serve.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    docroot: PathBuf,
    default_page: String,
}

/// A file that is open, and what is told of it.
struct Content {
    file: File,
    length: u64,
    /// The ETag. It differs between the file and its gzip, so that ranges of both cannot be joined.
    tag: String,
    /// It is compressed, and the client takes that.
    is_gzip: bool,
}

impl Document {
    /// The files of a `document` section.
    pub(crate) fn new(config: &DocumentConfig) -> Self {
        Self {
            docroot: config.docroot.clone(),
            default_page: config.default_page.clone(),
        }
    }

    /// Answers a request with a file, a redirect to the directory, or "not modified"; returns the
    /// bytes written. `opening` is dropped once the file is open.
    ///
    /// # Errors
    /// Why the file was not sent; `Gone` if part of the answer is already out.
    pub(crate) fn serve<T>(
        &self,
        client: &Client,
        request: &Request,
        after: After,
        opening: T,
    ) -> Result<u64, Refusal> {
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Err(Refusal::BadMethod(request.method.clone(), METHODS));
        }
        let name = file_name(&request.path)?;
        let name = match name.is_empty() || name.ends_with('/') {
            true => name + &self.default_page,
            false => name,
        };
        let content = self.find(&name, takes_gzip(request))?;
        drop(opening);
        let Some(content) = content else {
            return write(client, &redirect(&name, request.is_head(), after));
        };
        let tag = &content.tag;
        if is_known(request, tag) {
            return write(client, &not_modified(request, tag, after));
        }
        if request.is_head() {
            return write(client, &head(request, &name, &content, None, after));
        }
        let range = range::asked(request, content.length, tag)?;
        let head = head(request, &name, &content, range.as_ref(), after);
        let range = range.unwrap_or(0..content.length);
        sending::send(client, &head, content.file, range, Pace::LEAST).map_err(Refusal::Gone)
    }

    /// Opens a file, or the one beside it with the ending `.gz` if the client takes gzip and it is
    /// no older. `None` is a directory.
    fn find(&self, name: &str, takes_gzip: bool) -> Result<Option<Content>, Refusal> {
        let plain = self.open(name);
        if let Ok((_, metadata)) = &plain
            && metadata.is_dir()
        {
            return Ok(None);
        }
        let since = plain.as_ref().map_or(i64::MIN, |(_, own)| own.mtime());
        if takes_gzip
            && let Ok((file, metadata)) = self.open(&format!("{name}.gz"))
            && metadata.is_file()
            && metadata.mtime() >= since
        {
            return Ok(Some(Content::new(file, &metadata, true)));
        }
        match plain? {
            (file, metadata) if metadata.is_file() => {
                Ok(Some(Content::new(file, &metadata, false)))
            }
            _ => Err(Refusal::NoFile(name.to_owned())),
        }
    }

    fn open(&self, name: &str) -> Result<(File, Metadata), Refusal> {
        let file = read_beneath(&self.docroot, name).map_err(|errno| match errno {
            Errno::EACCES => {
                let docroot = self.docroot.display();
                warn!("{docroot}/{name}: the gateway's user may not read it, or not go there");
                Refusal::Unavailable(format!(
                    "{name}: permission denied; the gateway's user must be allowed to read it"
                ))
            }
            Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => {
                let error = io::Error::from(errno);
                Refusal::Unavailable(format!("cannot open {name}: {}", reason(&error)))
            }
            _ => Refusal::NoFile(name.to_owned()),
        })?;
        match file.metadata() {
            Ok(metadata) => Ok((file, metadata)),
            Err(_) => Err(Refusal::Internal("cannot stat an open file")),
        }
    }
}

impl Content {
    fn new(file: File, metadata: &Metadata, is_gzip: bool) -> Self {
        let (size, seconds) = (metadata.len(), metadata.mtime());
        let nanoseconds = metadata.mtime_nsec();
        let coding = if is_gzip { "-gz" } else { "" };
        Self {
            file,
            length: size,
            tag: format!("\"{size:x}-{seconds:x}-{nanoseconds:x}{coding}\""),
            is_gzip,
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

/// Whether the client takes gzip: it names it, with a weight above zero (RFC 9110, section 12.5.3).
fn takes_gzip(request: &Request) -> bool {
    request.list("Accept-Encoding").any(|element| {
        let mut parts = element.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        let refuses = |part: &str| {
            let weight = part.strip_prefix("q=").or(part.strip_prefix("Q="));
            weight.is_some_and(|weight| !weight.contains(|digit| ('1'..='9').contains(&digit)))
        };
        coding.eq_ignore_ascii_case("gzip") && !parts.any(refuses)
    })
}

/// Sends the client to the directory's name with a slash, so that its page can use relative links.
/// The query is not repeated.
fn redirect(name: &str, is_head: bool, after: After) -> String {
    let body = "301 Moved Permanently: this is a directory\n";
    let mut answer = start(301, after);
    header(&mut answer, "Content-Type", "text/plain; charset=utf-8");
    header(&mut answer, "Content-Length", &body.len().to_string());
    header(&mut answer, "Location", &format!("/{}/", encode(name)));
    answer.push_str("\r\n");
    if !is_head {
        answer.push_str(body);
    }
    answer
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

/// Writes an answer without a file.
fn write(client: &Client, answer: &str) -> Result<u64, Refusal> {
    let deadline = Instant::now() + Pace::LEAST.stall;
    client
        .write_all_until(answer.as_bytes(), deadline)
        .map_err(Refusal::Gone)?;
    Ok(answer.len() as u64)
}

/// Whether the client has this version (RFC 9110, section 13.1.2: compared weakly).
fn is_known(request: &Request, tag: &str) -> bool {
    (request.list("If-None-Match"))
        .any(|own| own == "*" || own.strip_prefix("W/").unwrap_or(own) == tag)
}

fn not_modified(request: &Request, tag: &str, after: After) -> String {
    let mut answer = start(304, after);
    about_file(&mut answer, tag, caching(request));
    answer + "\r\n"
}

fn head(
    request: &Request,
    name: &str,
    content: &Content,
    range: Option<&std::ops::Range<u64>>,
    after: After,
) -> String {
    let (status, length) = match range {
        Some(range) => (206, range.end - range.start),
        None => (200, content.length),
    };
    let mut head = start(status, after);
    header(&mut head, "Content-Type", types::content_type(name));
    header(&mut head, "Content-Length", &length.to_string());
    if content.is_gzip {
        header(&mut head, "Content-Encoding", "gzip");
    }
    if let Some(range) = range {
        let (first, last, size) = (range.start, range.end - 1, content.length);
        let content_range = format!("bytes {first}-{last}/{size}");
        header(&mut head, "Content-Range", &content_range);
    }
    about_file(&mut head, &content.tag, caching(request));
    header(&mut head, "Accept-Ranges", "bytes");
    header(&mut head, "Content-Security-Policy", POLICY);
    header(&mut head, "Referrer-Policy", REFERRER);
    head + "\r\n"
}

/// How an answer may be kept: never without asking again, and where it is for one user by nobody in
/// between (RFC 9111, section 5.2.2; RFC 6750, section 2.3).
pub(super) fn caching(request: &Request) -> &'static str {
    match request.is_private {
        true => "private, no-cache",
        false => "no-cache",
    }
}

/// What a file and "not modified" have in common (RFC 9110, section 15.4.5).
fn about_file(answer: &mut String, tag: &str, caching: &str) {
    header(answer, "ETag", tag);
    header(answer, "Cache-Control", caching);
    // A cache must not send the gzip to a client that does not take it.
    header(answer, "Vary", "Accept-Encoding");
}

#[cfg(test)]
mod tests;
