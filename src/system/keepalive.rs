//! Ground: has the kernel watch a TCP connection whose other end may vanish.

use std::net::TcpStream;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

/// Has the kernel probe the other host after `silence`. If it does not answer within twice that,
/// the connection fails, whether bytes are under way or not. Also sends small writes at once.
pub(crate) fn keep_alive(socket: &TcpStream, silence: Duration) {
    let seconds = u32::try_from(silence.as_secs()).unwrap_or(u32::MAX).max(1);
    // These fail on a UNIX socket, which does not need them.
    let _ = socket.set_nodelay(true);
    let _ = setsockopt(socket, sockopt::KeepAlive, &true);
    let _ = setsockopt(socket, sockopt::TcpKeepIdle, &seconds);
    // The time between two probes. The default of 75 s (tcp(7)) is too long.
    let _ = setsockopt(socket, sockopt::TcpKeepInterval, &seconds);
    let _ = setsockopt(
        socket,
        sockopt::TcpUserTimeout,
        &seconds.saturating_mul(2000),
    );
}
