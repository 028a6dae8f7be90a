//! Ground: a TCP connection that the kernel watches, whoever is at its other end.

use std::net::TcpStream;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

/// Lets the kernel tell a host that has vanished: after `silence` it is asked, and after twice
/// that the connection fails, bytes under way or not. Small writes leave at once.
pub(crate) fn keep_alive(socket: &TcpStream, silence: Duration) {
    let seconds = u32::try_from(silence.as_secs()).unwrap_or(u32::MAX).max(1);
    // On a UNIX socket these say "not supported", and are not needed.
    let _ = socket.set_nodelay(true);
    let _ = setsockopt(socket, sockopt::KeepAlive, &true);
    let _ = setsockopt(socket, sockopt::TcpKeepIdle, &seconds);
    // Between two probes; 75 s by itself (tcp(7)), far beyond what a silent host gets.
    let _ = setsockopt(socket, sockopt::TcpKeepInterval, &seconds);
    let _ = setsockopt(
        socket,
        sockopt::TcpUserTimeout,
        &seconds.saturating_mul(2000),
    );
}
