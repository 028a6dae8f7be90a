//! wss: a certificate for the run, the client's trust in it, and the roofline's session.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig, ServerConnection};

/// Name in the certificate.
pub const NAME: &str = "localhost";
/// Ciphertext read at once: a whole plain buffer's worth and more.
const CIPHERTEXT: usize = 65 * 1024;

/// Writes cert.pem and key.pem (ECDSA, P-256), for the gateway to read too.
pub fn make_certificate(folder: &Path) -> io::Result<()> {
    let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
    fs::write(folder.join("cert.pem"), pair.cert.pem())?;
    fs::write(folder.join("key.pem"), pair.signing_key.serialize_pem())
}

/// A client that trusts the certificate and resumes nothing: each handshake is a full one.
pub fn client(folder: &Path) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem"));
    roots
        .add(certificate.map_err(io::Error::other)?)
        .map_err(io::Error::other)?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The roofline's side of it.
pub fn server(folder: &Path) -> io::Result<Arc<ServerConfig>> {
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem"));
    let certificate = certificate.map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).map_err(io::Error::other)?;
    let builder = ServerConfig::builder().with_no_client_auth();
    builder
        .with_single_cert(vec![certificate], key)
        .map(Arc::new)
        .map_err(io::Error::other)
}

/// One TLS session that one thread reads and another writes.
///
/// No lock is held across a blocking read, and records leave in the order they were made because
/// `outgoing` is locked from making to writing them.
pub struct Session {
    socket: TcpStream,
    connection: Mutex<ServerConnection>,
    incoming: Mutex<Incoming>,
    outgoing: Mutex<Vec<u8>>,
}

/// Ciphertext read and not yet given to the session.
struct Incoming {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

impl Session {
    /// Shakes hands.
    pub fn accept(mut socket: TcpStream, config: Arc<ServerConfig>) -> io::Result<Session> {
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        connection.set_buffer_limit(None);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(Session {
            socket,
            connection: Mutex::new(connection),
            incoming: Mutex::new(Incoming {
                bytes: vec![0; CIPHERTEXT],
                from: 0,
                to: 0,
            }),
            outgoing: Mutex::new(Vec::new()),
        })
    }

    /// Ends the session (close_notify) and the direction.
    pub fn finish(&self) -> io::Result<()> {
        lock(&self.connection).send_close_notify();
        let mut this = self;
        let _nothing = this.write(&[])?;
        self.socket.shutdown(Shutdown::Write)
    }
}

impl Read for &Session {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut incoming = lock(&self.incoming);
        loop {
            let mut connection = lock(&self.connection);
            let mut n = 0;
            loop {
                match connection.reader().read(&mut out[n..]) {
                    Ok(0) => return Ok(n),
                    Ok(some) => {
                        n += some;
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                if incoming.from == incoming.to {
                    break;
                }
                let mut rest = &incoming.bytes[incoming.from..incoming.to];
                incoming.from += connection.read_tls(&mut rest)?;
                connection.process_new_packets().map_err(io::Error::other)?;
            }
            if n > 0 {
                return Ok(n);
            }
            drop(connection);
            let read = (&self.socket).read(&mut incoming.bytes)?;
            if read == 0 {
                return Ok(0);
            }
            (incoming.from, incoming.to) = (0, read);
        }
    }
}

impl Write for &Session {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut outgoing = lock(&self.outgoing);
        let mut connection = lock(&self.connection);
        connection.writer().write_all(bytes)?;
        while connection.wants_write() {
            connection.write_tls(&mut *outgoing)?;
        }
        drop(connection);
        (&self.socket).write_all(&outgoing)?;
        outgoing.clear();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
