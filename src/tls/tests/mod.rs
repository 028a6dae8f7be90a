//! Tests of TLS in one process: a rustls client on a loopback socket, with certificates that the
//! `openssl` program makes on the spot.

mod certificates;
mod duplex;
mod handshake;
mod session;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::accept::AcceptError;
use super::{Certificates, Session};
use crate::config::{TlsConfig, TlsPair};

/// Nothing in these tests may take longer, on a machine however slow.
const PATIENCE: Duration = Duration::from_secs(60);

const CA_CONFIGURATION: &str = "[ca]\ndefault_ca = test\n[test]\ndatabase = index.txt\n\
    new_certs_dir = .\nrand_serial = yes\nunique_subject = no\ndefault_md = sha256\n\
    policy = any\ncopy_extensions = copyall\n[any]\norganizationName = optional\n\
    commonName = supplied\n";

/// How the key of a test certificate is made, for `openssl req -newkey`.
const EC: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
const RSA: &[&str] = &["rsa:2048"];

/// A directory with a certificate authority `ca.crt`; gone when dropped.
struct Authority(PathBuf);

impl Authority {
    fn new() -> Authority {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ouistiti-tls-{}-{number}", std::process::id());
        let authority = Authority(std::env::temp_dir().join(name));
        fs::create_dir(&authority.0).expect("a temporary directory");
        fs::write(authority.path("ca.cnf"), CA_CONFIGURATION).expect("ca.cnf");
        fs::write(authority.path("index.txt"), "").expect("index.txt");
        let subject = format!("/CN=Test CA {number}");
        let files = [
            "-keyout", "ca.key", "-out", "ca.crt", "-days", "3650", "-subj", &subject,
        ];
        authority.openssl(&[&["req", "-x509", "-nodes", "-newkey"], EC, &files].concat());
        authority
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn openssl(&self, arguments: &[&str]) {
        let run = Command::new("openssl")
            .args(arguments)
            .current_dir(&self.0)
            .output();
        let run = run.expect("the tests need the program openssl");
        assert!(
            run.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&run.stderr)
        );
    }

    /// Makes `name.crt` and `name.key`, valid now.
    fn issue(&self, name: &str, host: &str) -> TlsPair {
        self.issue_as(name, host, EC, ["20200101000000Z", "20491231000000Z"])
    }

    fn issue_as(&self, name: &str, host: &str, key: &[&str], dates: [&str; 2]) -> TlsPair {
        let [key_file, request, certificate] =
            ["key", "csr", "crt"].map(|end| format!("{name}.{end}"));
        let subject = format!("/O=Test/CN={name}");
        let names = format!("subjectAltName = DNS:{host}");
        let rest = [
            "-nodes",
            "-keyout",
            &key_file,
            "-out",
            &request,
            "-subj",
            &subject,
            "-addext",
            &names,
            "-addext",
            "basicConstraints = CA:FALSE",
        ];
        self.openssl(&[&["req", "-new", "-newkey"], key, &rest].concat());
        self.openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.cnf",
            "-cert",
            "ca.crt",
            "-keyfile",
            "ca.key",
            "-startdate",
            dates[0],
            "-enddate",
            dates[1],
            "-in",
            &request,
            "-out",
            &certificate,
        ]);
        TlsPair {
            certificate: self.path(&certificate),
            key: self.path(&key_file),
        }
    }

    /// A client that trusts this authority.
    fn client(&self) -> ClientConfig {
        self.client_of(rustls::DEFAULT_VERSIONS, None)
    }

    fn client_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&TlsPair>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(chain(&self.path("ca.crt")).remove(0))
            .expect("a CA certificate");
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions ring knows")
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
                builder
                    .with_client_auth_cert(chain(&pair.certificate), key)
                    .expect("a pair")
            }
        }
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn chain(file: &Path) -> Vec<CertificateDer<'static>> {
    let chain = CertificateDer::pem_file_iter(file).expect("a PEM file");
    chain.collect::<Result<_, _>>().expect("certificates")
}

fn serving(pairs: Vec<TlsPair>) -> TlsConfig {
    TlsConfig {
        pairs,
        client_ca: None,
        client_auth_optional: false,
    }
}

/// An authority, and a server with one certificate for `gateway.test`.
fn one_server() -> (Authority, Certificates) {
    let authority = Authority::new();
    let pair = authority.issue("gateway", "gateway.test");
    let certificates = Certificates::load(&serving(vec![pair])).expect("a good pair");
    (authority, certificates)
}

/// The two ends of a TCP connection: the client's, the server's.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connect");
    let (server, _) = listener.accept().expect("accept");
    for socket in [&client, &server] {
        socket.set_nodelay(true).expect("nodelay");
        socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
        socket.set_write_timeout(Some(PATIENCE)).expect("timeout");
    }
    (client, server)
}

type Peer = StreamOwned<ClientConnection, TcpStream>;

/// Connects a client that asks for `host`. Its result is an error where the server refused it,
/// which a TLS 1.3 client learns when it first reads: the server greets with `+`.
fn connect(
    certificates: &Certificates,
    client: &Arc<ClientConfig>,
    host: &'static str,
) -> (io::Result<Peer>, Result<Session, AcceptError>) {
    let (near, far) = sockets();
    let tls = ClientConnection::new(client.clone(), host.try_into().expect("a name"));
    let mut peer = StreamOwned::new(tls.expect("a client"), near);
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let session = Session::accept(far, certificates, Instant::now() + PATIENCE)?;
            (&session).write_all(b"+").expect("greet");
            Ok(session)
        });
        let greeted = peer.read_exact(&mut [0]);
        let session = server.join().expect("no panic");
        (greeted.map(|()| peer), session)
    })
}

/// Connects a client that must succeed.
fn connected(certificates: &Certificates, client: &Arc<ClientConfig>) -> (Peer, Session) {
    let (peer, session) = connect(certificates, client, "gateway.test");
    (peer.expect("greeted"), session.expect("a session"))
}
