//! Start-up and reload: the certificates of one server, as rustls wants them.
//!
//! They can be renewed while connections are open: a handshake takes the configuration of its
//! moment and keeps it.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use log::{info, warn};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoClientAuth, ParsedCertificate, ResolvesServerCert, ServerSessionMemoryCache,
    StoresServerSessions, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::{CipherSuite, RootCertStore, ServerConfig, SupportedCipherSuite};

use super::pair::{self, TlsError, seconds_now};
use super::{lock, x509};
use crate::config::TlsConfig;

/// The files are looked at no more often than this.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Sessions kept for resumption; each client takes two (RFC 8446, section 4.6.1).
const SESSIONS: usize = 256;

/// All certificate pairs of one server. Renewed by [`Certificates::reload`], and by itself when a
/// file has changed.
pub struct Certificates {
    files: TlsConfig,
    current: RwLock<Current>,
    watch: Mutex<Watch>,
    sessions: Arc<dyn StoresServerSessions>,
}

/// What the files say.
struct Current {
    config: Arc<ServerConfig>,
    pairs: Vec<Arc<CertifiedKey>>,
}

/// What the files looked like.
struct Watch {
    loaded: Vec<Option<Stamp>>,
    last: Vec<Option<Stamp>>,
    looked: Instant,
}

/// Changes when a file is replaced or written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Certificates {
    /// Reads and checks the files of a `tls` section. What the administrator should look at is
    /// logged as a warning: an expired certificate, a key that others can read.
    ///
    /// # Errors
    /// [`TlsError`] names the file and the reason.
    pub fn load(files: &TlsConfig) -> Result<Certificates, TlsError> {
        let stamps = stamps(files);
        let sessions = ServerSessionMemoryCache::new(SESSIONS);
        Ok(Certificates {
            files: files.clone(),
            current: RwLock::new(read(files, sessions.clone())?),
            watch: Mutex::new(Watch {
                loaded: stamps.clone(),
                last: stamps,
                looked: Instant::now(),
            }),
            sessions,
        })
    }

    /// Whether one of the certificates is for a host.
    pub(crate) fn covers(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else {
            return false;
        };
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let mut pairs = current.pairs.iter();
        pairs.any(|pair| covers(&pair.cert[0], &name))
    }

    /// The files of the certificates in use, and the second since 1970 at which each ends.
    #[cfg(feature = "state")]
    pub(crate) fn ends(&self) -> Vec<(String, i64)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let end = |pair: &CertifiedKey| Some(x509::validity(pair.cert.first()?)?.1.seconds);
        let files = self.files.pairs.iter().zip(&current.pairs);
        files
            .filter_map(|(file, pair)| Some((file.certificate.display().to_string(), end(pair)?)))
            .collect()
    }

    /// Reads the files again, for the handshakes to come.
    ///
    /// # Errors
    /// [`TlsError`]; the certificates stay as they were.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.renew(&mut lock(&self.watch))
    }

    /// The configuration for one handshake.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        if let Ok(mut watch) = self.watch.try_lock()
            && watch.looked.elapsed() >= LOOK_EVERY
        {
            self.look(&mut watch);
        }
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .config
            .clone()
    }

    /// Renews when a file has changed, once the change has settled: a key is rarely written in the
    /// same moment as its certificate.
    fn look(&self, watch: &mut Watch) {
        watch.looked = Instant::now();
        let stamps = stamps(&self.files);
        let settled = stamps == watch.last;
        watch.last = stamps;
        if !settled || watch.last == watch.loaded {
            return;
        }
        match self.renew(watch) {
            Ok(()) => info!(
                "certificates renewed: {}",
                self.files.pairs[0].certificate.display()
            ),
            Err(error) => warn!("new certificates not taken, the old ones stay: {error}"),
        }
    }

    fn renew(&self, watch: &mut Watch) -> Result<(), TlsError> {
        watch.loaded = stamps(&self.files);
        watch.last.clone_from(&watch.loaded);
        let sessions = if self.files.client_ca.is_some() {
            // a session may rest on an authority that is no longer ours
            ServerSessionMemoryCache::new(SESSIONS)
        } else {
            self.sessions.clone()
        };
        let renewed = read(&self.files, sessions)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// Makes the next handshake look at the files.
    #[cfg(test)]
    pub(super) fn look_at_next_handshake(&self) {
        let mut watch = lock(&self.watch);
        watch.looked = Instant::now()
            .checked_sub(LOOK_EVERY)
            .expect("the clock runs for 3 s");
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn stamps(files: &TlsConfig) -> Vec<Option<Stamp>> {
    let pairs = files
        .pairs
        .iter()
        .flat_map(|pair| [&pair.certificate, &pair.key]);
    pairs
        .chain(&files.client_ca)
        .map(|file| {
            let metadata = fs::metadata(file).ok()?;
            Some(Stamp {
                inode: metadata.ino(),
                size: metadata.size(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
            })
        })
        .collect()
}

fn read(files: &TlsConfig, sessions: Arc<dyn StoresServerSessions>) -> Result<Current, TlsError> {
    let fast_aes = has_aes_instructions();
    let provider = Arc::new(provider(fast_aes));
    let pairs = files
        .pairs
        .iter()
        .map(|pair| pair::load(pair, &provider).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    let clock = Arc::new(Clock {
        earliest: newest_start(&pairs),
    });
    let verifier = client_verifier(files, provider.clone())?;
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(ByName {
            pairs: pairs.clone(),
        }));
    config.alpn_protocols = vec![b"http/1.1".to_vec()]; // RFC 7301, section 6
    config.session_storage = sessions;
    config.ignore_client_order = !fast_aes;
    Ok(Current {
        config: Arc::new(config),
        pairs,
    })
}

fn client_verifier(
    files: &TlsConfig,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let Some(file) = &files.client_ca else {
        return Ok(Arc::new(NoClientAuth));
    };
    let unusable = |reason: String| TlsError::BadAuthority(file.clone(), reason);
    let mut authorities = RootCertStore::empty();
    for certificate in pair::certificates(file)? {
        authorities.add(certificate).map_err(|_| {
            unusable("one of them is no X.509 certificate, or a damaged one".to_owned())
        })?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
    let builder = if files.client_auth_optional {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    builder.build().map_err(|error| unusable(error.to_string()))
}

/// ring's algorithms. Without instructions for AES, ChaCha20 is two to four times faster and comes
/// first.
fn provider(fast_aes: bool) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !fast_aes {
        provider
            .cipher_suites
            .sort_by_key(|suite| !is_chacha20(suite)); // stable: the rest stays
    }
    provider
}

fn is_chacha20(suite: &SupportedCipherSuite) -> bool {
    matches!(
        suite.suite(),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// As the kernel tells it, on x86 and ARM alike; MIPS has none. Asked once: a daemon that is
/// confined may not ask again.
fn has_aes_instructions() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        text.split_ascii_whitespace().any(|word| word == "aes")
    })
}

/// A clock that never runs before our own certificates were issued: a router without a battery
/// starts in 1970, and would refuse every client certificate.
#[derive(Debug)]
struct Clock {
    earliest: i64,
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(seconds_now().max(self.earliest)).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn newest_start(pairs: &[Arc<CertifiedKey>]) -> i64 {
    let starts = pairs
        .iter()
        .filter_map(|pair| x509::validity(pair.cert.first()?));
    starts
        .map(|(not_before, _)| not_before.seconds)
        .max()
        .unwrap_or(0)
}

/// Chooses the certificate by the name the client asks for; the first is for everybody else.
#[derive(Debug)]
struct ByName {
    pairs: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable =
            |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(hello.signature_schemes()).is_some();
        let asked = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let named = asked.and_then(|name| {
            let mut covering = self
                .pairs
                .iter()
                .filter(|pair| covers(&pair.cert[0], &name));
            covering.find(usable)
        });
        named.or_else(|| self.pairs.iter().find(usable)).cloned()
    }
}

fn covers(leaf: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, name).is_ok())
}
