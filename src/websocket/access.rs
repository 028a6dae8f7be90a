//! Opening: finds the service that a request asks for, if it may have it.
//!
//! The only maker of a [`Service`]: a name that has not passed the grammar, the `allow` and `deny`
//! lists and the walk beneath docroot cannot reach `backend`.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use log::warn;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};

use crate::config::{LinkConfig, SerialConfig, ServiceConfig, Target, WebsocketConfig, matches};
use crate::http::authority::Authority;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::system::beneath::open_beneath;
use crate::websocket::handshake::Upgrade;

/// Longest name, in bytes: what fits sun_path (unix(7)) with its NUL.
const MAX_NAME: usize = 107;

/// A name that has passed every check, and where its backend is.
pub struct Service<'a> {
    /// The name, as in the log.
    pub name: String,
    /// Where to connect.
    pub target: Target,
    /// How the backend is spoken to.
    pub config: &'a Arc<ServiceConfig>,
    /// The subprotocol chosen from those the client offered.
    pub protocol: Option<String>,
    /// Keeps the resolved file open, so that `target` means this very file.
    pub(super) file: Option<OwnedFd>,
}

impl Service<'_> {
    /// Whether the service keeps a descriptor open beside those of its client and backend.
    pub fn is_held_open(&self) -> bool {
        self.file.is_some()
    }
}

/// Finds the service a request asks for.
///
/// # Errors
/// Why the client may not have it.
pub fn resolve<'a>(
    config: &'a WebsocketConfig,
    request: &Request,
    upgrade: &Upgrade,
    tls: bool,
) -> Result<Service<'a>, Refusal> {
    check_origin(config, upgrade, &request.path, tls)?;
    let name = name_of(&request.path)?;
    if let Some(link) = (config.links.iter()).find(|link| is_meant(link, &name)) {
        check_name(config, &name)?;
        return Ok(Service {
            protocol: link.service.protocols.choose(&upgrade.protocols).cloned(),
            target: link.target.clone(),
            config: &link.service,
            name: if name.is_empty() { "/".into() } else { name },
            file: None,
        });
    }
    find(config, name, upgrade)
}

/// Whether a link serves this name.
pub(super) fn is_linked(config: &WebsocketConfig, name: &str) -> bool {
    config.links.iter().any(|link| is_meant(link, name))
}

/// The place among `links` of the one that serves a path, as [`resolve`] finds it.
pub(crate) fn link_of(config: &WebsocketConfig, path: &str) -> Option<usize> {
    let name = name_of(path).ok()?;
    (config.links.iter()).position(|link| is_meant(link, &name))
}

/// Whether a link serves a name. `ws://host/` has none: only a link with the empty glob serves it.
pub(super) fn is_meant(link: &LinkConfig, name: &str) -> bool {
    match name.is_empty() {
        true => link.origin.as_str().is_empty(),
        false => matches(&link.origin, name),
    }
}

/// What a plain request of a path gets that names a service: a WebSocket without a subprotocol may
/// have it, or it is not allowed. `None` where no service stands.
pub(crate) fn is_service(config: &WebsocketConfig, path: &str) -> Option<Refusal> {
    let name = name_of(path).ok()?;
    let is_found = || !name.is_empty() && matches!(open(config, &name), Ok(Found::Service(..)));
    if !is_linked(config, &name) && !is_found() {
        return None;
    }
    let allowed = check_name(config, &name).map(|()| Refusal::IsService(path.to_owned()));
    Some(allowed.unwrap_or_else(|refusal| refusal))
}

/// Looks a name up beneath docroot. Where it is a directory or nothing, the offered subprotocols
/// are tried. `Away` stands for a service that may be there in a moment.
fn find<'a>(
    config: &'a WebsocketConfig,
    name: String,
    upgrade: &Upgrade,
) -> Result<Service<'a>, Refusal> {
    let in_directory = if name.is_empty() {
        false
    } else {
        check_name(config, &name)?;
        match open(config, &name)? {
            Found::Service(target, file) => {
                return Ok(Service {
                    protocol: config.service.protocols.choose(&upgrade.protocols).cloned(),
                    config: &config.service,
                    target,
                    name,
                    file: Some(file),
                });
            }
            Found::Directory => true,
            Found::Unfit => return Err(Refusal::NoService(name)),
            Found::Nothing => false,
        }
    };
    let mut away = !name.is_empty() && !in_directory;
    for protocol in &upgrade.protocols {
        let candidate = match in_directory {
            true => format!("{name}/{protocol}"),
            false => protocol.clone(),
        };
        if check_name(config, &candidate).is_err() {
            continue;
        }
        match open(config, &candidate)? {
            Found::Service(target, file) => {
                return Ok(Service {
                    protocol: Some(protocol.clone()),
                    config: &config.service,
                    name: candidate,
                    target,
                    file: Some(file),
                });
            }
            Found::Nothing => away = true,
            Found::Directory | Found::Unfit => {}
        }
    }
    Err(match away {
        true => Refusal::Away(name),
        false => Refusal::NoService(name),
    })
}

/// What stands under a name.
pub(super) enum Found {
    Service(Target, OwnedFd),
    Directory,
    /// A file, or a link out of docroot: no service.
    Unfit,
    Nothing,
}

pub(super) fn open(config: &WebsocketConfig, name: &str) -> Result<Found, Refusal> {
    let file = match open_beneath(&config.docroot, name, OFlag::O_PATH) {
        Ok(file) => file,
        Err(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM) => {
            return Err(Refusal::Unavailable(
                "no file descriptor left; see ulimit -n".into(),
            ));
        }
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Found::Nothing),
        Err(Errno::EACCES) => {
            let reason = format!(
                "{name}: beneath {} permission is denied: the gateway's user must be allowed to \
                 enter each directory on the way to it",
                config.docroot.display()
            );
            warn!("{reason}");
            return Err(Refusal::Unavailable(reason));
        }
        Err(_) => return Ok(Found::Unfit),
    };
    let Ok(status) = fstat(&file) else {
        return Ok(Found::Unfit);
    };
    // proc(5): opening this path opens the file that was checked, whatever its name is now.
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let kind = SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits());
    Ok(if kind == SFlag::S_IFSOCK {
        Found::Service(Target::Unix(path), file)
    } else if kind == SFlag::S_IFCHR {
        Found::Service(Target::Tty(path, SerialConfig::default()), file)
    } else if kind == SFlag::S_IFIFO {
        Found::Service(Target::Fifo(path), file)
    } else if kind == SFlag::S_IFDIR {
        Found::Directory
    } else {
        Found::Unfit
    })
}

/// The name in a request's path. Slashes at its ends and doubled ones are forgiven: people and
/// their programs join paths that way.
fn name_of(path: &str) -> Result<String, Refusal> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    let name = segments.collect::<Vec<_>>().join("/");
    match name.is_empty() || is_name(&name) {
        true => Ok(name),
        false => Err(Refusal::NoService(name)),
    }
}

/// Whether this is a name (docs/behaviour.md, section 1.4).
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._~+@-".contains(&byte))
        })
}

/// The grammar, then `allow` and `deny`; these see the empty name of `ws://host/` too.
fn check_name(config: &WebsocketConfig, name: &str) -> Result<(), Refusal> {
    match (name.is_empty() || is_name(name)) && config.allows(name) {
        true => Ok(()),
        false => Err(Refusal::NotAllowed(name.to_owned())),
    }
}

/// A page may connect to the host and port it came from, and where `origins` lists it (RFC 6455,
/// section 10.2). Programs other than browsers send no Origin.
fn check_origin(
    config: &WebsocketConfig,
    upgrade: &Upgrade,
    path: &str,
    tls: bool,
) -> Result<(), Refusal> {
    let Some(origin) = &upgrade.origin else {
        return Ok(());
    };
    let listed = &config.origins;
    let page = Page::of(origin);
    let allowed = listed.any
        || listed.null && origin == "null"
        || listed.file && has_prefix(origin, "file:")
        || page.as_ref().is_some_and(|page| {
            let mut hosts = listed.hosts.iter();
            page.is_of(&upgrade.host, tls)
                || listed.same_host && page.is_of_host(&upgrade.host)
                || hosts.any(|pattern| pattern.matches(&page.from.host, page.from.port))
        });
    if allowed {
        return Ok(());
    }
    let cure = match &page {
        _ if origin == "null" => "null",
        _ if has_prefix(origin, "file:") => "file",
        Some(page) if page.is_of_host(&upgrade.host) => "same-host",
        Some(page) => &page.from.host,
        None => "*",
    };
    let reason = format!("{origin}, for {path} (origins = \"{cure}\" would let it in)");
    Err(Refusal::OriginNotAllowed(reason))
}

/// Whether `text` begins with `prefix`, whatever the case of its letters.
fn has_prefix(text: &str, prefix: &str) -> bool {
    let start = text.as_bytes().get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// Where a page comes from: its origin, taken apart (RFC 6454, section 4).
struct Page {
    scheme: String,
    from: Authority,
}

impl Page {
    /// Reads an origin with a host. A final slash is forgiven, and ws:// stands for http://: some
    /// programs other than browsers write their target that way.
    fn of(origin: &str) -> Option<Self> {
        let (scheme, authority) = origin.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ws" => "http".to_owned(),
            "wss" => "https".to_owned(),
            other => other.to_owned(),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let from = Authority::parse(authority, default_port(&scheme))?;
        Some(Self { scheme, from })
    }

    /// Whether the page is one of the web: none of a file or of an extension of a browser.
    fn is_web(&self) -> bool {
        matches!(self.scheme.as_str(), "http" | "https")
    }

    /// Whether it comes from the host and port that it connects to (RFC 6454, section 5).
    fn is_of(&self, host: &str, tls: bool) -> bool {
        // A proxy in front may add TLS for us, but none removes it. A Host without port therefore
        // means the port of the page's scheme.
        let port = default_port(&self.scheme);
        self.is_web()
            && (self.scheme == "https" || !tls)
            && Authority::parse(host, port).is_some_and(|host| host == self.from)
    }

    /// Whether it comes from the host that it connects to, by any port and scheme.
    fn is_of_host(&self, host: &str) -> bool {
        let host = Authority::parse(host, default_port(&self.scheme));
        self.is_web() && host.is_some_and(|host| host.host == self.from.host)
    }
}

fn default_port(scheme: &str) -> u16 {
    match scheme {
        "https" => 443,
        _ => 80,
    }
}

#[cfg(test)]
mod tests;
