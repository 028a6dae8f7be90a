//! The load's end of one connection, plain or TLS.

use super::*;

/// A client connection after its handshake.
pub struct Peer {
    pub(super) stream: Stream,
    pub(super) counter: Counter,
}

impl Peer {
    /// Connects and shakes hands.
    pub fn open(program: &Program, service: Service) -> io::Result<Peer> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, program.port(service)))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut stream = match &program.tls {
            Some(config) => {
                let name = tls::NAME.try_into().map_err(io::Error::other)?;
                let session = ClientConnection::new(config.clone(), name);
                let session = session.map_err(io::Error::other)?;
                Stream::Tls(Box::new(StreamOwned::new(session, stream)))
            }
            None => Stream::Plain(stream),
        };
        wire::connect(&mut stream, service.path())?;
        Ok(Peer {
            stream,
            counter: Counter::default(),
        })
    }

    /// Sends one small message and waits for its echo.
    pub fn echo_once(&mut self) -> io::Result<()> {
        self.echo(1)
    }

    /// Sends so many small messages at once and waits for their echoes.
    pub fn echo(&mut self, messages: usize) -> io::Result<()> {
        let frame = wire::client_frame(TEXT, &[b'x'; SMALL]);
        self.stream.write_all(&frame.repeat(messages))?;
        self.expect((SMALL * messages) as u64, &mut [0; 256])
    }

    /// Reads until so many payload bytes have come, however they are framed.
    pub(super) fn expect(&mut self, mut payload: u64, buffer: &mut [u8]) -> io::Result<()> {
        while payload > 0 {
            payload = payload.saturating_sub(self.read(buffer)?);
        }
        Ok(())
    }

    /// Sends bytes that hold whole frames.
    pub fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.stream.write_all(frames)
    }

    /// The socket of the connection.
    pub fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }

    /// Reads once; payload bytes that came.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<u64> {
        match self.stream.read(buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            n => self.counter.count(&buffer[..n]),
        }
    }

    /// The close handshake, to the end of the connection.
    pub fn close(mut self) -> io::Result<()> {
        self.stream
            .write_all(&wire::client_frame(CLOSE, &1000_u16.to_be_bytes()))?;
        while self.stream.read(&mut [0; 256])? != 0 {}
        Ok(())
    }
}

/// What a client writes and reads.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(session) => session.get_ref(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(session) => session.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(session) => session.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(session) => session.flush(),
        }
    }
}
