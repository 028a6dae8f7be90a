//! The programs of clients, as the start, a reload and the stop of the daemon see them.

use nix::unistd::User;

use crate::backend::exec;
pub(crate) use crate::backend::exec::{kill, limit, stop};

/// Notes what programs may use. Call it before limits are raised and privileges given up.
pub(crate) fn measure(user: Option<&User>) {
    let becomes = |user: &&User| nix::unistd::geteuid() != user.uid;
    exec::measure(user.filter(becomes).map(|user| user.uid));
}
