//! The TLS handshake of one client, on the client's own thread, under one absolute deadline. It
//! leaves the socket's own timeouts as they are.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustls::ServerConnection;

use super::certificates::Certificates;
use super::records::{Incoming, Outgoing};
use super::session::Session;
use super::words::Words;
use crate::system::reason::reason;

/// Plaintext that rustls encrypts at once, in bytes: the largest buffer of a backend's direction
/// (68 KiB) with its frame's header, so that its last bytes need no write of their own.
const BURST: usize = 72 << 10;

/// A handshake that failed, and the socket it failed on.
#[derive(Debug)]
pub struct AcceptError {
    /// The client's socket. After [`Failure::NotTls`] nothing was read from it or written to it.
    pub socket: TcpStream,
    /// What went wrong.
    pub failure: Failure,
}

/// Why there is no session.
#[derive(Debug)]
pub enum Failure {
    /// The client speaks plain HTTP, or sends a PROXY header: it can read an answer without TLS.
    NotTls,
    /// The deadline passed.
    Timeout,
    /// The client broke a rule of TLS, or offers nothing we accept. It was sent the alert.
    Tls(rustls::Error),
    /// The connection failed or ended.
    Io(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotTls => f.write_str("plain text where TLS was expected"),
            Failure::Timeout => f.write_str("the TLS handshake took too long"),
            Failure::Tls(error) => write!(f, "TLS handshake: {}", Words(error)),
            Failure::Io(error) => write!(f, "TLS handshake: {}", reason(error)),
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl std::error::Error for AcceptError {}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl Session {
    /// Does the handshake with the client on `socket`, until `deadline`.
    ///
    /// # Errors
    /// See [`Failure`]; the error gives the socket back.
    pub fn accept(
        socket: TcpStream,
        certificates: &Certificates,
        deadline: Instant,
    ) -> Result<Session, AcceptError> {
        match handshake(&socket, certificates, deadline) {
            Ok((tls, incoming, outgoing)) => Ok(Session::new(socket, tls, incoming, outgoing)),
            Err(failure) => Err(AcceptError { socket, failure }),
        }
    }
}

fn handshake(
    socket: &TcpStream,
    certificates: &Certificates,
    deadline: Instant,
) -> Result<(ServerConnection, Incoming, Outgoing), Failure> {
    let mut incoming = Incoming::default();
    let mut outgoing = Outgoing::default();
    wait(socket, PollFlags::POLLIN, deadline)?;
    if starts_like_text(socket)? {
        return Err(Failure::NotTls);
    }
    let mut tls = ServerConnection::new(certificates.current()).map_err(Failure::Tls)?;
    while tls.is_handshaking() {
        wait(socket, PollFlags::POLLIN, deadline)?;
        match incoming.fill(socket) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            filled => filled?,
        }
        if incoming.ended() {
            return Err(Failure::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        let outcome = advance(&mut tls, &mut incoming);
        outgoing.collect(&mut tls);
        if let Err(failure) = outcome {
            let _ = outgoing.send_now(socket); // the alert; the handshake has failed either way
            return Err(failure);
        }
        send_until(&mut outgoing, socket, deadline)?;
    }
    // The certificates have been sent.
    outgoing.shrink();
    tls.set_buffer_limit(Some(BURST));
    Ok((tls, incoming, outgoing))
}

/// No TLS record begins with a letter or CR (RFC 8446, section 5.1); every HTTP request and PROXY
/// header does.
fn starts_like_text(socket: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let count = socket.peek(&mut first)?;
    Ok(count == 1 && (first[0].is_ascii_alphabetic() || first[0] == b'\r'))
}

/// Gives rustls what was read, up to the end of the handshake.
fn advance(tls: &mut ServerConnection, incoming: &mut Incoming) -> Result<(), Failure> {
    while tls.is_handshaking() && !incoming.is_empty() {
        tls.read_tls(incoming)?;
        tls.process_new_packets().map_err(Failure::Tls)?;
    }
    Ok(())
}

fn send_until(
    outgoing: &mut Outgoing,
    socket: &TcpStream,
    deadline: Instant,
) -> Result<(), Failure> {
    loop {
        match outgoing.send_now(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait(socket, PollFlags::POLLOUT, deadline)?;
            }
            other => return Ok(other?),
        }
    }
}

/// Waits until the socket is ready for `event`.
fn wait(socket: &TcpStream, event: PollFlags, deadline: Instant) -> Result<(), Failure> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::Timeout);
        }
        let whole = left + Duration::from_micros(999); // rounds up to poll's milliseconds
        let timeout = PollTimeout::try_from(whole).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), event)], timeout) {
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(Failure::Io(error.into())),
        }
    }
}
