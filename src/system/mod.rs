//! Ground: thin layers over the kernel and std, which know nothing of connections.

pub(crate) mod beneath;
#[cfg(feature = "websocket")]
pub(crate) mod budget;
pub(crate) mod condition;
pub(crate) mod epoll;
pub(crate) mod gather;
pub(crate) mod interfaces;
pub(crate) mod keepalive;
pub(crate) mod limits;
pub(crate) mod passing;
pub(crate) mod privileged;
#[cfg(any(feature = "websocket", feature = "auth_rpc", feature = "auth_forward"))]
pub(crate) mod queue;
pub(crate) mod reason;
pub(crate) mod runner;
pub(crate) mod sync;
pub(crate) mod threads;
pub(crate) mod trusted;
#[cfg(any(feature = "websocket", feature = "auth_rpc", feature = "auth_forward"))]
pub(crate) mod unread;
