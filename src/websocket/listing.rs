//! A plain request of the list of services (`list = true`), for pages that offer a choice.
//!
//! It names what `access` would let a client have, and no more. Walks beneath docroot are bounded:
//! so many entries are looked at, so many services named.

use std::collections::VecDeque;
use std::fmt::Write;
use std::fs;
use std::os::fd::AsRawFd;

use crate::backend::presence::{Listeners, State};
use crate::config::{LinkConfig, Target, WebsocketConfig, matches};
use crate::http::response::{After, header, start};
use crate::system::beneath::read_beneath;
use crate::websocket::access::{self, Found};
#[cfg(feature = "share")]
use crate::websocket::share;

/// The path of the list. The name in it may also be that of a service: only a plain GET asks for
/// the list.
pub(crate) const PATH: &str = "/-/services";

/// Most services that are named.
const MAX_SERVICES: usize = 200;
/// Most entries of directories that are looked at.
const MAX_ENTRIES: usize = 1024;

/// Whether a client may have a service of this name, that of a link by its number, as far as logins
/// are concerned.
pub(crate) type Admits<'a> = dyn Fn(Option<usize>, &str) -> bool + 'a;

/// The services that there are, at most so many.
struct Listing {
    /// Each name once.
    services: Vec<Listed>,
    /// There are more services than are named.
    is_cut: bool,
}

/// Returns the answer to a GET, or to a HEAD, of the list.
pub(crate) fn answer(
    config: &WebsocketConfig,
    admits: &Admits<'_>,
    is_head: bool,
    after: After,
) -> String {
    let body = Listing::of(config, admits).json();
    let mut answer = start(200, after);
    header(&mut answer, "Content-Type", "application/json");
    header(&mut answer, "Content-Length", &body.len().to_string());
    header(&mut answer, "Cache-Control", "no-store");
    answer.push_str("\r\n");
    if !is_head {
        answer.push_str(&body);
    }
    answer
}

/// A service in the list.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    name: String,
    state: Option<State>,
    /// How many clients share it now.
    clients: Option<usize>,
}

impl Listing {
    fn of(config: &WebsocketConfig, admits: &Admits<'_>) -> Self {
        let mut listing = Self {
            services: Vec::new(),
            is_cut: false,
        };
        let listeners = Listeners::read();
        for (number, link) in config.links.iter().enumerate() {
            let Some(name) = name_of_link(link.origin.as_str(), &link.target) else {
                continue;
            };
            // The first link that matches a name serves it.
            let mut links = config.links.iter();
            let first = links.find(|link| access::is_meant(link, &name));
            let is_own = first.is_some_and(|first| std::ptr::eq(first, link));
            if is_own && admits(Some(number), &name) {
                listing.add(config, name, &link.target, Some(link), &listeners);
            }
        }
        listing.walk(config, admits, &listeners);
        listing
            .services
            .sort_by(|one, other| one.name.cmp(&other.name));
        listing
    }

    /// Adds what stands beneath docroot, the directory itself first.
    fn walk(&mut self, config: &WebsocketConfig, admits: &Admits<'_>, listeners: &Listeners) {
        let mut entries = 0;
        let mut directories = VecDeque::from([String::new()]);
        while let Some(directory) = directories.pop_front() {
            for name in self.names_in(config, &directory, &mut entries) {
                match access::open(config, &name) {
                    Ok(Found::Directory) => directories.push_back(name),
                    // A link of this name has been asked already.
                    Ok(Found::Service(..))
                        if access::is_linked(config, &name) || !admits(None, &name) => {}
                    // The file stays open for as long as its path is looked at.
                    Ok(Found::Service(target, _file)) => {
                        self.add(config, name, &target, None, listeners);
                    }
                    _ => {}
                }
            }
        }
    }

    /// Returns what may be names of services in a directory beneath docroot. It is closed before
    /// they are looked at: a client has a right to few descriptors.
    fn names_in(
        &mut self,
        config: &WebsocketConfig,
        directory: &str,
        entries: &mut usize,
    ) -> Vec<String> {
        let path = if directory.is_empty() { "." } else { directory };
        let Ok(opened) = read_beneath(&config.docroot, path) else {
            return Vec::new();
        };
        // proc(5): this path is the directory that was opened, whatever its name is now.
        let Ok(found) = fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd())) else {
            return Vec::new();
        };
        drop(opened);
        let mut names = Vec::new();
        for entry in found.flatten() {
            *entries += 1;
            if *entries > MAX_ENTRIES {
                self.is_cut = true;
                break;
            }
            let own = entry.file_name().into_string();
            let name = own.map(|own| match directory {
                "" => own,
                directory => format!("{directory}/{own}"),
            });
            names.extend(name.ok().filter(|name| access::is_name(name)));
        }
        names
    }

    /// Adds a service that a client may have.
    fn add(
        &mut self,
        config: &WebsocketConfig,
        name: String,
        target: &Target,
        link: Option<&LinkConfig>,
        listeners: &Listeners,
    ) {
        if !config.allows(&name) {
            return;
        }
        if self.services.len() == MAX_SERVICES {
            self.is_cut = true;
            return;
        }
        let state = match target {
            Target::Unix(path) => listeners.state(path),
            _ => None,
        };
        #[cfg(feature = "share")]
        let clients = share::clients_of(config, &name, target, link);
        #[cfg(not(feature = "share"))]
        let (clients, _) = (None, link);
        self.services.push(Listed {
            name,
            state,
            clients,
        });
    }

    /// The list as JSON. A name has no character that needs an escape.
    fn json(&self) -> String {
        let mut json = String::from("{\"services\":[");
        for (place, listed) in self.services.iter().enumerate() {
            let name = &listed.name;
            let comma = if place == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(json, "{comma}\n{{\"name\":\"{name}\"");
            if let Some(state) = listed.state {
                let _ = write!(json, ",\"state\":\"{}\"", state.word());
            }
            if let Some(clients) = listed.clients {
                let _ = write!(json, ",\"clients\":{clients}");
            }
            json.push('}');
        }
        let _ = writeln!(json, "],\"more\":{}}}", self.is_cut);
        json
    }
}

/// The name that stands for a link: its glob if that is a name, else the last part of where it
/// leads, if the glob matches that.
fn name_of_link(glob: &str, target: &Target) -> Option<String> {
    if glob.is_empty() || access::is_name(glob) {
        return Some(glob.to_owned());
    }
    let own = match target {
        Target::Unix(path) | Target::Tty(path, _) | Target::Fifo(path) => {
            path.file_name()?.to_str()?
        }
        Target::Fifos {
            source,
            destination,
        } => destination
            .as_ref()
            .unwrap_or(source)
            .file_name()?
            .to_str()?,
        #[cfg(feature = "exec")]
        Target::Exec(config) => config.program.file_name()?.to_str()?,
        Target::Tcp(host, _) => host,
        Target::Status => return None,
    };
    let pattern = glob::Pattern::new(glob).ok()?;
    (access::is_name(own) && matches(&pattern, own)).then(|| own.to_owned())
}

#[cfg(test)]
mod tests;
