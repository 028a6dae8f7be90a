//! The UNIX servers behind the gateway, played by the test.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};

use crate::process::DEADLINE;

/// A listening UNIX server.
pub(crate) struct Backend {
    listener: UnixListener,
}

impl Backend {
    /// A stream server at `path`.
    pub(crate) fn listen(path: &Path) -> Backend {
        let listener = UnixListener::bind(path).expect("a free path");
        Backend { listener }
    }

    /// A SEQPACKET server at `path`.
    pub(crate) fn listen_packets(path: &Path) -> Backend {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)
            .expect("SEQPACKET sockets exist");
        let address = UnixAddr::new(path).expect("a short path");
        bind(socket.as_raw_fd(), &address).expect("a free path");
        listen(&socket, Backlog::new(64).expect("a small backlog")).expect("a bound socket");
        Backend {
            listener: UnixListener::from(socket),
        }
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> Connection {
        assert!(
            readable(&self.listener, PollFlags::POLLIN),
            "no connection came"
        );
        let (stream, _) = self.listener.accept().expect("a connection is waiting");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a timeout above zero");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a timeout above zero");
        Connection { stream }
    }

    /// True if someone has connected and is not accepted yet.
    pub(crate) fn is_called(&self) -> bool {
        let mut fds = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).expect("poll") > 0
    }

    /// Reads every byte and answers nothing, for each connection, until the test ends. The gateway
    /// need not wait for such a backend's end.
    pub(crate) fn drain(self) {
        std::thread::spawn(move || {
            for stream in self.listener.incoming() {
                let Ok(mut stream) = stream else { break };
                std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
            }
        });
    }

    /// Sends every byte back, for each connection, until the test ends.
    pub(crate) fn echo(self) {
        std::thread::spawn(move || {
            for stream in self.listener.incoming() {
                let Ok(stream) = stream else { break };
                std::thread::spawn(move || copy_back(stream));
            }
        });
    }
}

/// Reads and writes back what each read returned, until the end.
fn copy_back(mut stream: UnixStream) {
    let mut buffer = vec![0; 65536];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 && !stream_has_more(&stream) {
            break;
        }
        if stream.write_all(&buffer[..count]).is_err() {
            break;
        }
        // An empty packet: write_all of nothing sends nothing.
        if count == 0 && stream.write(&[]).is_err() {
            break;
        }
    }
}

/// After a read of nothing: false at the end of the stream, true after an empty packet of a
/// SEQPACKET socket.
fn stream_has_more(stream: &UnixStream) -> bool {
    // POLLRDHUP has no name in nix: the peer will write no more (poll(2)).
    let ended = PollFlags::from_bits_retain(nix::libc::POLLRDHUP) | PollFlags::POLLHUP;
    let mut fds = [PollFd::new(stream.as_fd(), ended)];
    poll(&mut fds, PollTimeout::ZERO).expect("poll") == 0
}

/// One accepted connection.
pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
}

impl Connection {
    /// Exactly the next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream
            .read_exact(&mut bytes)
            .expect("bytes from the gateway");
        bytes
    }

    /// What one read of up to 256 KiB returns.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 256 * 1024];
        let count = self.stream.read(&mut bytes).expect("bytes or the end");
        bytes.truncate(count);
        bytes
    }

    /// All bytes up to the end of the stream.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream
            .read_to_end(&mut bytes)
            .expect("bytes, then the end");
        bytes
    }

    /// The next packet of a SEQPACKET socket, None at the end.
    pub(crate) fn packet(&mut self) -> Option<Vec<u8>> {
        assert!(readable(&self.stream, PollFlags::POLLIN), "no packet came");
        let bytes = self.read();
        (!bytes.is_empty() || stream_has_more(&self.stream)).then_some(bytes)
    }

    /// Writes all of `bytes` (one packet, on a SEQPACKET socket).
    pub(crate) fn give(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            let sent = self.stream.write(bytes).expect("a reader");
            assert_eq!(sent, 0);
        }
        self.stream.write_all(bytes).expect("a reader");
    }

    /// Waits until there is something to read, and reads none of it.
    pub(crate) fn wait_readable(&self) {
        assert!(readable(&self.stream, PollFlags::POLLIN), "no bytes came");
    }
}

fn readable(socket: &impl AsFd, events: PollFlags) -> bool {
    let mut fds = [PollFd::new(socket.as_fd(), events)];
    let timeout = PollTimeout::try_from(DEADLINE).expect("a few minutes");
    poll(&mut fds, timeout).expect("poll") > 0
}
