//! The servers behind the gateway: an echo, and one that swallows or pours bytes.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Bytes read or written at once.
const BUFFER: usize = 64 * 1024;

/// What a client of the bulk backend sends first.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Bytes the client will send after the order.
    pub upload: u64,
    /// Bytes it wants back once they have arrived.
    pub download: u64,
}

impl Order {
    /// The order as the client sends it.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.upload.to_be_bytes());
        bytes[8..].copy_from_slice(&self.download.to_be_bytes());
        bytes
    }

    fn read(mut stream: &UnixStream) -> io::Result<Order> {
        let (mut upload, mut download) = ([0; 8], [0; 8]);
        stream.read_exact(&mut upload)?;
        stream.read_exact(&mut download)?;
        let (upload, download) = (u64::from_be_bytes(upload), u64::from_be_bytes(download));
        Ok(Order { upload, download })
    }
}

/// First byte of a message of the crowd's that goes to all of it.
pub const FOR_ALL: u8 = b'*';

/// Serves `echo`, `bulk` and `crowd` beneath `sockets` for ever.
pub fn serve(sockets: &Path) -> io::Result<()> {
    let echo_listener = UnixListener::bind(sockets.join("echo"))?;
    let bulk_listener = UnixListener::bind(sockets.join("bulk"))?;
    let crowd_listener = UnixListener::bind(sockets.join("crowd"))?;
    thread::scope(|scope| {
        scope.spawn(|| accept(&echo_listener, echo));
        scope.spawn(|| crowd(&crowd_listener));
        accept(&bulk_listener, bulk);
    });
    Ok(())
}

fn accept(listener: &UnixListener, serve: fn(UnixStream) -> io::Result<()>) {
    loop {
        let Ok((client, _)) = listener.accept() else {
            continue;
        };
        // A client that went away ends its own thread, nothing else.
        let _ = thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(move || serve(client));
    }
}

fn echo(mut client: UnixStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = client.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        client.write_all(&buffer[..n])?;
    }
}

fn bulk(mut client: UnixStream) -> io::Result<()> {
    let mut buffer = vec![b'x'; BUFFER];
    loop {
        let order = match Order::read(&client) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            order => order?,
        };
        let mut left = order.upload;
        while left > 0 {
            let want = left.min(BUFFER as u64) as usize;
            let n = client.read(&mut buffer[..want])?;
            if n == 0 {
                return Ok(());
            }
            left -= n as u64;
        }
        let mut left = order.download;
        while left > 0 {
            let some = left.min(BUFFER as u64) as usize;
            client.write_all(&buffer[..some])?;
            left -= some as u64;
        }
    }
}

/// Echoes to each of many clients, and what begins with [`FOR_ALL`] to all of them, in one thread,
/// so that what a silent client costs is not the backend's.
fn crowd(listener: &UnixListener) -> io::Result<()> {
    let poll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let readable = |fd| EpollEvent::new(EpollFlags::EPOLLIN, fd as u64);
    poll.add(listener, readable(listener.as_raw_fd()))?;
    let mut clients: HashMap<u64, UnixStream> = HashMap::new();
    let mut events = [EpollEvent::empty(); 64];
    let mut buffer = vec![0; BUFFER];
    loop {
        let ready = match poll.wait(&mut events, EpollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            ready => ready?,
        };
        for event in &events[..ready] {
            let Some(mut client) = clients.get(&event.data()) else {
                let (client, _) = listener.accept()?;
                poll.add(&client, readable(client.as_raw_fd()))?;
                clients.insert(client.as_raw_fd() as u64, client);
                continue;
            };
            // A client that fails has gone.
            let n = client.read(&mut buffer).unwrap_or(0);
            match buffer[..n].first() {
                None => drop(clients.remove(&event.data())),
                Some(&FOR_ALL) => {
                    for mut client in clients.values() {
                        let _ = client.write_all(&buffer[..n]);
                    }
                }
                Some(_) => drop(client.write_all(&buffer[..n])),
            }
        }
    }
}
