//! Ground: has the kernel watch a TCP connection whose other end may vanish.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

/// Has the kernel probe the other host after `silence`. If it does not answer within twice that,
/// the connection fails, whether bytes are under way or not. Also sends small writes at once. What
/// a listening socket accepts inherits all of it.
pub(crate) fn keep_alive(socket: &impl AsFd, silence: Duration) {
    let seconds = u32::try_from(silence.as_secs()).unwrap_or(u32::MAX).max(1);
    // These fail on a UNIX socket, which does not need them.
    let _ = setsockopt(socket, sockopt::TcpNoDelay, &true);
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

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn an_accepted_socket_inherits_it_from_its_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        keep_alive(&listener, Duration::from_secs(7));
        let _far = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
        let (near, _) = listener.accept().expect("a client");
        assert_eq!(getsockopt(&near, sockopt::TcpNoDelay), Ok(true));
        assert_eq!(getsockopt(&near, sockopt::KeepAlive), Ok(true));
        assert_eq!(getsockopt(&near, sockopt::TcpKeepIdle), Ok(7));
        assert_eq!(getsockopt(&near, sockopt::TcpKeepInterval), Ok(7));
        assert_eq!(getsockopt(&near, sockopt::TcpUserTimeout), Ok(14_000));
    }
}
