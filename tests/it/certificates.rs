//! Certificates that `openssl` makes, and clients that trust them.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    StreamOwned,
};

use crate::gateway::Gateway;
use crate::http::upgrade;
use crate::process::TempDir;

pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A directory with `crt` and `key`, a certificate that is its own authority.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Files {
        let files = Files(TempDir::new());
        files.renew();
        files
    }

    /// Makes both files anew.
    pub(crate) fn renew(&self) {
        self.make("crt", "key", "/CN=gateway", "gateway.test");
    }

    /// Makes `client.crt` and `client.key`, which are their own authority too.
    pub(crate) fn client_certificate(&self, subject: &str) {
        self.make("client.crt", "client.key", subject, "gateway.test");
    }

    /// Makes `NAME.crt` and `NAME.key` of a server of this name.
    pub(crate) fn certificate_for(&self, name: &str) {
        let (certificate, key) = (format!("{name}.crt"), format!("{name}.key"));
        self.make(&certificate, &key, "/CN=other", name);
    }

    fn make(&self, certificate: &str, key: &str, subject: &str, name: &str) {
        self.openssl(&[
            "req",
            "-x509",
            "-nodes",
            "-days",
            "3650",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-subj",
            subject,
            "-addext",
            &format!("subjectAltName = DNS:{name}"),
            "-addext",
            "basicConstraints = critical,CA:FALSE",
            "-keyout",
            key,
            "-out",
            certificate,
        ]);
    }

    pub(crate) fn openssl(&self, arguments: &[&str]) {
        let run = Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output();
        let run = run.expect("the tests need the program openssl");
        assert!(
            run.status.success(),
            "{}",
            String::from_utf8_lossy(&run.stderr)
        );
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The `tls` section with these files.
    pub(crate) fn section(&self, certificate: &str, key: &str) -> String {
        let (certificate, key) = (self.path(certificate), self.path(key));
        let (certificate, key) = (certificate.display(), key.display());
        format!("tls = {{ crtfile = \"{certificate}\"; keyfile = \"{key}\"; }};")
    }

    /// A gateway with these settings besides `tls`, and in its `websocket` section.
    pub(crate) fn gateway(&self, server: &str, websocket: &str) -> Gateway {
        Gateway::with(
            &format!("{} {server}", self.section("crt", "key")),
            websocket,
        )
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path("crt")).expect("a certificate")
    }

    /// A client that trusts the certificate there is now.
    pub(crate) fn connect(&self, gateway: &Gateway) -> Tls {
        self.connect_as(gateway, None)
    }

    /// The same with a certificate and key of its own.
    pub(crate) fn connect_as(&self, gateway: &Gateway, own: Option<(&str, &str)>) -> Tls {
        self.over(gateway.connect(), own)
    }

    /// The same over a connection that is there already.
    pub(crate) fn over(&self, stream: TcpStream, own: Option<(&str, &str)>) -> Tls {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions ring knows")
            .with_root_certificates(roots);
        let config = match own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let certificate = CertificateDer::from_pem_file(self.path(certificate));
                let key = PrivateKeyDer::from_pem_file(self.path(key));
                let chain = vec![certificate.expect("a certificate")];
                let config = config.with_client_auth_cert(chain, key.expect("a key"));
                config.expect("they belong together")
            }
        };
        let name = ServerName::try_from("gateway.test").expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        StreamOwned::new(tls, stream)
    }

    /// A client that asks for a server of this name, or of none, and takes whichever answers.
    pub(crate) fn connect_to(&self, gateway: &Gateway, name: &str) -> Tls {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("versions ring knows");
        let mut config = config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        config.enable_sni = !name.is_empty();
        let name = if name.is_empty() { "none.test" } else { name };
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        StreamOwned::new(tls, gateway.connect())
    }

    /// A client of the service `name`, past its upgrade.
    pub(crate) fn open(&self, gateway: &Gateway, name: &str) -> Tls {
        let mut client = self.connect(gateway);
        let request = upgrade(gateway, &format!("/{name}"), "");
        client
            .write_all(request.as_bytes())
            .expect("the gateway reads");
        let head = crate::tls::read_head(&mut client);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client
    }
}

/// Trusts every server, as an attacker's client does.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.0.signature_verification_algorithms;
        known.supported_schemes()
    }
}
