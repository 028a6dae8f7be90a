//! A client, for servers written in Rust: messages in, messages out.
//!
//! Reading and writing need only a shared reference, so that one thread may read while others
//! write; each direction has its own lock.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use nix::sys::socket::{MsgFlags, recv, send};

use crate::frame::{MAX_CONTROL_PAYLOAD, Opcode};
use crate::info::ClientInfo;
use crate::receive::{Event, Receiver};
use crate::send::Sender;
use common::close;

/// How long [`WebSocket::close`] waits for the client to end its side.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads of 4 KiB that drop what a client had sent when it was dropped.
const MOST_DROPPED: usize = 1024;

/// What one read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// Bytes of a message.
    Data {
        /// Type of the message: text or binary.
        opcode: Opcode,
        /// How many bytes are in the buffer now.
        len: usize,
        /// The message ends with them.
        fin: bool,
    },
    /// The client's Close, with its code if it had one.
    Close(Option<u16>),
    /// The client is gone without a Close.
    Eof,
}

/// A client of the gateway, after the handshake.
///
/// Pings are answered while reading. Dropping it says Close if there is room for that at once;
/// [`WebSocket::close`] does it properly.
#[derive(Debug)]
pub struct WebSocket {
    stream: TcpStream,
    peer: Option<SocketAddr>,
    receiver: Mutex<Receiver>,
    sender: Mutex<Sender>,
    /// Answer to the last ping, until the sending side is free.
    pong: Mutex<Option<Vec<u8>>>,
    info: ClientInfo,
    /// The connection that the client came over: its end tells the gateway that of the client.
    gateway: Option<UnixStream>,
}

impl WebSocket {
    /// A client's socket right after its handshake; `peer` is what the gateway said of it. The
    /// socket must stay blocking; timeouts are the server's choice.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn new(stream: TcpStream, peer: Option<SocketAddr>) -> io::Result<Self> {
        // A gateway on a UNIX socket hands UNIX clients over: no TCP there.
        let _ = stream.set_nodelay(true);
        stream.set_nonblocking(false)?;
        Ok(WebSocket {
            stream,
            peer,
            receiver: Mutex::new(Receiver::new()),
            sender: Mutex::new(Sender::new()),
            pong: Mutex::new(None),
            info: ClientInfo::default(),
            gateway: None,
        })
    }

    /// Keeps the connection that the client came over for as long as the client is there, and what
    /// the gateway has said of it.
    pub(crate) fn keep_gateway(&mut self, connection: UnixStream, info: ClientInfo) {
        self.gateway = Some(connection);
        self.info = info;
    }

    /// The client's address, as the gateway told it.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// What the gateway says of the client beside its address.
    pub fn info(&self) -> &ClientInfo {
        &self.info
    }

    /// The socket, for poll, timeouts and the like; not to read or write.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads bytes of one message, as many as have come and fit.
    ///
    /// # Errors
    /// `InvalidData` with the [`ProtocolError`](crate::ProtocolError) if the client broke a rule
    /// (it has been told so by a Close), else those of read(2).
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Piece> {
        if buffer.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no room for a message",
            ));
        }
        let mut receiver = lock(&self.receiver);
        loop {
            match receiver.advance(|space| read(&self.stream, space))? {
                Event::Payload => {
                    let room = usize::try_from(receiver.remaining())
                        .map_or(buffer.len(), |left| left.min(buffer.len()));
                    let len = read(&self.stream, &mut buffer[..room])?;
                    if len == 0 {
                        receiver.stop();
                    } else if receiver.take_payload(&mut buffer[..len]).is_ok() {
                        let opcode = receiver.opcode();
                        return Ok(Piece::Data {
                            opcode,
                            len,
                            fin: receiver.take_end(),
                        });
                    }
                }
                Event::MessageEnd => {
                    receiver.take_end();
                    return Ok(Piece::Data {
                        opcode: receiver.opcode(),
                        len: 0,
                        fin: true,
                    });
                }
                Event::Ping => {
                    *lock(&self.pong) = Some(receiver.control().to_vec());
                    self.flush_pong();
                }
                Event::Pong => {}
                Event::Close => return Ok(Piece::Close(receiver.close_code())),
                Event::Eof => return Ok(Piece::Eof),
                Event::Violation(violation) => {
                    let _ = self.say_close(Some(violation.close_code()), "");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, violation));
                }
            }
        }
    }

    /// Reads a whole message into `message`; None at the end of the connection. Beyond `limit`
    /// bytes the client gets a Close 1009.
    ///
    /// # Errors
    /// Those of [`WebSocket::read`]; `InvalidData` beyond the limit.
    pub fn read_message(&self, message: &mut Vec<u8>, limit: usize) -> io::Result<Option<Opcode>> {
        message.clear();
        let mut buffer = [0; 16 << 10];
        loop {
            match self.read(&mut buffer)? {
                Piece::Close(_) | Piece::Eof => return Ok(None),
                Piece::Data { len, .. } if message.len() + len > limit => {
                    let _ = self.say_close(Some(1009), "");
                    let text = format!("message of more than {limit} bytes");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                Piece::Data { opcode, len, fin } => {
                    message.extend_from_slice(&buffer[..len]);
                    if fin {
                        return Ok(Some(opcode));
                    }
                }
            }
        }
    }

    /// Sends a message: text or binary.
    ///
    /// # Errors
    /// Those of [`WebSocket::write_fragment`].
    pub fn write(&self, opcode: Opcode, payload: &[u8]) -> io::Result<()> {
        self.write_fragment(opcode, payload, true)
    }

    /// Sends a fragment: text or binary for the first, continuation for the others, `fin` with the
    /// last.
    ///
    /// # Errors
    /// `InvalidInput` for fragments out of order or text that is not UTF-8, `BrokenPipe` after a
    /// Close, else those of write(2). A write that fails within a frame leaves nothing to do but to
    /// drop the client.
    pub fn write_fragment(&self, opcode: Opcode, payload: &[u8], fin: bool) -> io::Result<()> {
        let result = self.send_fragment(&mut lock(&self.sender), opcode, payload, fin);
        self.flush_pong();
        result
    }

    fn send_fragment(
        &self,
        sender: &mut Sender,
        opcode: Opcode,
        payload: &[u8],
        fin: bool,
    ) -> io::Result<()> {
        self.take_pong(sender);
        if sender.is_closed() || sender.owed() > 0 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        let first = sender
            .message_frame(opcode, fin)
            .ok_or_else(|| invalid("fragments are out of order"))?;
        let utf8 = sender
            .text_is_valid(opcode, fin, &[payload])
            .ok_or_else(|| invalid("text is not UTF-8"))?;
        sender.begin(first, payload.len() as u64);
        sender.message_began(opcode, fin, utf8);
        self.write_out(sender, payload)
    }

    /// Sends a ping of up to 125 bytes.
    ///
    /// # Errors
    /// `InvalidInput` for a longer one, else as [`WebSocket::write`].
    pub fn ping(&self, payload: &[u8]) -> io::Result<()> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "ping of more than 125 bytes",
            ));
        }
        let result = self.send_ping(&mut lock(&self.sender), payload);
        self.flush_pong();
        result
    }

    fn send_ping(&self, sender: &mut Sender, payload: &[u8]) -> io::Result<()> {
        self.write_out(sender, &[])?;
        if !sender.control(Opcode::Ping, payload) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.write_out(sender, &[])
    }

    /// Ends the connection: says Close, with the client's code or 1000 if `code` is None, and waits
    /// up to 5 seconds for the client's end, so that nothing of what was sent is lost.
    ///
    /// # Errors
    /// `InvalidInput` for a code or reason (123 bytes) that may not be sent, else those of
    /// write(2).
    pub fn close(self, code: Option<u16>, reason: &str) -> io::Result<()> {
        self.say_close(code, reason)?;
        // A client that is gone already is no failure.
        let _ = self.stream.shutdown(Shutdown::Write);
        let until = Instant::now() + PATIENCE;
        let mut scrap = [0; 4096];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                return Ok(());
            }
            match (&self.stream).read(&mut scrap) {
                Ok(n) if n > 0 => {}
                _ => return Ok(()),
            }
        }
    }

    /// Sends Close unless one has been sent.
    fn say_close(&self, code: Option<u16>, reason: &str) -> io::Result<()> {
        if code.is_some_and(|code| !close::is_sendable(code))
            || reason.len() > MAX_CONTROL_PAYLOAD - 2
        {
            let text = "close code or reason may not be sent";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut sender = lock(&self.sender);
        if sender.is_closed() {
            return Ok(());
        }
        self.write_out(&mut sender, &[])?;
        if !sender.control(Opcode::Close, &self.close_payload(code, reason)) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.write_out(&mut sender, &[])
    }

    fn close_payload(&self, code: Option<u16>, reason: &str) -> Vec<u8> {
        // A thread that reads holds the lock: then no Close has come yet.
        let reply = match self.receiver.try_lock() {
            Ok(receiver) if receiver.has_close() => receiver.close_code(),
            _ => Some(1000),
        };
        match code.or(reply) {
            None => Vec::new(),
            Some(code) => [&code.to_be_bytes()[..], reason.as_bytes()].concat(),
        }
    }

    /// Writes what waits in the sender, and the payload it announced.
    fn write_out(&self, sender: &mut Sender, mut payload: &[u8]) -> io::Result<()> {
        while !sender.pending().is_empty() || !payload.is_empty() {
            let parts = [IoSlice::new(sender.pending()), IoSlice::new(payload)];
            match (&self.stream).write_vectored(&parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => payload = &payload[sender.sent(n)..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_pong(&self, sender: &mut Sender) {
        if sender.is_idle()
            && !sender.is_closed()
            && let Some(payload) = lock(&self.pong).take()
        {
            sender.control(Opcode::Pong, &payload);
        }
    }

    /// Sends the waiting pong, and what a call that failed has left, if that can be done without
    /// blocking; whoever holds the sender looks here again after letting go.
    fn flush_pong(&self) {
        loop {
            let mut sender = match self.sender.try_lock() {
                Ok(sender) => sender,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.take_pong(&mut sender);
            if !self.send_now(&mut sender) || sender.is_closed() {
                return;
            }
            drop(sender);
            if lock(&self.pong).is_none() {
                return;
            }
        }
    }

    /// Sends what waits as far as there is room; true if all of it went.
    fn send_now(&self, sender: &mut Sender) -> bool {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        while sender.owed() == 0 && !sender.pending().is_empty() {
            let Ok(n) = send(self.stream.as_raw_fd(), sender.pending(), flags) else {
                return false;
            };
            sender.sent(n);
        }
        sender.is_idle()
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        let payload = self.close_payload(None, "");
        let mut sender = lock(&self.sender);
        if self.send_now(&mut sender) && sender.control(Opcode::Close, &payload) {
            self.send_now(&mut sender);
        }
        // Unread bytes would make TCP reset the connection, and the client lose what was sent last.
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut scrap = [0; 4096];
        let queued = || recv(self.stream.as_raw_fd(), &mut scrap, MsgFlags::MSG_DONTWAIT);
        let _ = std::iter::repeat_with(queued)
            .take(MOST_DROPPED)
            .find(|n| !matches!(n, Ok(1..)));
    }
}

/// A panic in one thread leaves the state as good as any failed write does.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
