//! Ground: thin layers over the kernel and std, which know nothing of connections.

pub mod beneath;
pub mod keepalive;
pub mod queue;
pub(crate) mod sync;
pub mod threads;
