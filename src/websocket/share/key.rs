//! Opening: what makes two services one shared backend.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{ServiceConfig, Share as Mode, Target, WebsocketConfig};
use crate::websocket::access::Service;

/// What is shared, and how.
#[derive(Clone)]
pub(crate) struct Key {
    /// The service's name.
    pub(crate) name: String,
    /// Where the backend is. For a service beneath docroot it is the path there.
    pub(crate) target: Target,
    pub(crate) config: Arc<ServiceConfig>,
    /// Longest wait for the backend.
    pub(crate) ping: Duration,
    /// Which clients are served; not `Auto`, not `None`.
    pub(crate) mode: Mode,
}

impl Key {
    /// Whether both are one connection: to a line or a pipe whatever its name, to anything else by
    /// one name.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.target, &other.target) {
            (Target::Tty(one, _), Target::Tty(other, _)) => one == other,
            (Target::Fifo(one), Target::Fifo(other)) => one == other,
            (Target::Fifos { source: one, .. }, Target::Fifos { source: other, .. }) => {
                one == other
            }
            (one, target) => self.name == other.name && one == target,
        }
    }

    /// Whether both mean the same by it.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let (one, two) = (&self.config, &other.config);
        self.target == other.target
            && self.mode == other.mode
            && (one.framing, one.frame_type, one.max_message)
                == (two.framing, two.frame_type, two.max_message)
            && (one.proxy, one.sharing) == (two.proxy, two.sharing)
    }
}

/// What a service shares; `None` if each of its clients has a backend of its own.
pub(crate) fn key(websocket: &WebsocketConfig, service: &Service<'_>) -> Option<Key> {
    match service.is_held_open() {
        true => key_in_docroot(websocket, &service.name, &service.target),
        false => key_of(websocket, &service.name, &service.target, service.config),
    }
}

/// What the clients of a service beneath docroot share. Its target is there for a moment only.
pub(super) fn key_in_docroot(
    websocket: &WebsocketConfig,
    name: &str,
    target: &Target,
) -> Option<Key> {
    let mut target = target.clone();
    if let Target::Unix(path) | Target::Tty(path, _) | Target::Fifo(path) = &mut target {
        *path = websocket.docroot.join(name);
    }
    key_of(websocket, name, &target, &websocket.service)
}

pub(super) fn key_of(
    websocket: &WebsocketConfig,
    name: &str,
    target: &Target,
    config: &Arc<ServiceConfig>,
) -> Option<Key> {
    Some(Key {
        name: if name.is_empty() { "/" } else { name }.to_owned(),
        target: target.clone(),
        config: Arc::clone(config),
        mode: config.sharing.share.of(target)?,
        ping: websocket.ping,
    })
}

/// The backends of a section that are to be held.
pub(crate) fn kept(websocket: &WebsocketConfig) -> impl Iterator<Item = Key> {
    let links = (websocket.links.iter()).filter(|link| link.service.sharing.keep);
    links.filter_map(|link| key_of(websocket, link.origin.as_str(), &link.target, &link.service))
}
