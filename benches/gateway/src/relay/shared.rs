//! The roofline of a shared backend: one thread reads it and writes what it read to each client,
//! one send after the other.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{STACK, frames_from_bytes};
use crate::wire::CLOSE;

/// The path of a request for it.
pub(super) const NAME: &str = "shared";

/// The backend, once the first client has come; it stays for those of later samples.
static BACKEND: Mutex<Option<UnixStream>> = Mutex::new(None);
/// The clients, and where they come from.
static CLIENTS: Mutex<Vec<(SocketAddr, TcpStream)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The backend of all clients: an echo.
pub(super) fn backend(sockets: &Path) -> io::Result<UnixStream> {
    let mut backend = lock(&BACKEND);
    if let Some(backend) = &*backend {
        return backend.try_clone();
    }
    let connected = UnixStream::connect(sockets.join("echo"))?;
    let source = connected.try_clone()?;
    let read = move || frames_from_bytes(&source, All);
    thread::Builder::new().stack_size(STACK).spawn(read)?;
    *backend = Some(connected.try_clone()?);
    Ok(connected)
}

/// Has a client get what the backend says.
pub(super) fn join(client: &TcpStream) -> io::Result<()> {
    let entry = (client.peer_addr()?, client.try_clone()?);
    lock(&CLIENTS).push(entry);
    Ok(())
}

/// Has a client get a Close, and nothing more.
pub(super) fn leave(mut client: &TcpStream) -> io::Result<()> {
    let address = client.peer_addr()?;
    lock(&CLIENTS).retain(|(other, _)| *other != address);
    client.write_all(&[0x80 | CLOSE, 0])
}

/// All clients, as what a frame is written to.
struct All;

impl Write for All {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        for (_, client) in &mut *lock(&CLIENTS) {
            // A client that has gone leaves by its own thread.
            let _ = client.write_all(frame);
        }
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
