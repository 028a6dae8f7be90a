//! Start-up: one certificate chain and its key, read from PEM or DER files and checked.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{error, fmt};

use log::warn;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::der::{INTEGER, SEQUENCE};
use super::{key, x509};
use crate::config::TlsPair;
use crate::system::privileged;
use crate::system::reason::reason;

/// Longest file, in bytes: above any chain or CA bundle.
const MAX_FILE: u64 = 4 << 20;

/// What messages tell people to do (openssl-req(1)).
const HOW_TO_MAKE: &str = "'openssl req -x509 -nodes -days 3650 -newkey ec \
    -pkeyopt ec_paramgen_curve:P-256 -subj /CN=NAME -addext subjectAltName=DNS:NAME \
    -keyout KEYFILE -out CRTFILE' makes a key and its certificate";

/// What is wrong with a file of the `tls` section.
#[derive(Debug)]
pub enum TlsError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is longer than 4 MiB.
    TooLong(PathBuf),
    /// The file is PEM with an error in it.
    BadPem(PathBuf, PemError),
    /// There is no certificate in the file.
    NoCertificate(PathBuf),
    /// There is no private key in the file.
    NoKey(PathBuf),
    /// The private key needs a passphrase.
    EncryptedKey(PathBuf),
    /// The key is of a kind that cannot be used; the kind.
    BadKey(PathBuf, String),
    /// The certificate cannot be used; why.
    BadCertificate(PathBuf, &'static str),
    /// The key is not the certificate's.
    Mismatch(TlsPair),
    /// The CA certificates for clients cannot be used.
    BadAuthority(PathBuf, String),
    /// rustls refuses the whole.
    Unusable(Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Unreadable(file, error) => {
                write!(
                    f,
                    "cannot read {}, a file of 'tls': {}",
                    file.display(),
                    reason(error)
                )?;
                match error.kind() {
                    io::ErrorKind::NotFound => write!(f, "; {HOW_TO_MAKE}"),
                    _ => Ok(()),
                }
            }
            TlsError::TooLong(file) => write!(f, "{}: longer than 4 MiB", file.display()),
            TlsError::BadPem(file, error) => {
                write!(f, "{}: bad PEM: ", file.display())?;
                match error {
                    PemError::IllegalSectionStart { .. } => f.write_str("a broken BEGIN line"),
                    PemError::MissingSectionEnd { .. } => f.write_str("an END line is missing"),
                    PemError::Base64Decode(_) => f.write_str("a character that is not base64"),
                    error => error.fmt(f),
                }
            }
            TlsError::NoCertificate(file) => {
                write!(
                    f,
                    "{}: no certificate (PEM, BEGIN CERTIFICATE, or DER) in it",
                    file.display()
                )
            }
            TlsError::NoKey(file) => write!(
                f,
                "{}: no private key (PKCS#8, PKCS#1 or SEC1, in PEM or DER) in it",
                file.display()
            ),
            TlsError::EncryptedKey(file) => write!(
                f,
                "{}: the key has a passphrase, which nobody can type at start; \
                 'openssl pkey' writes it without",
                file.display()
            ),
            TlsError::BadKey(file, kind) => write!(
                f,
                "{}: cannot use {kind}: EC keys on P-256 or P-384, Ed25519 keys and RSA keys of \
                 2048 to 4096 bits can be used; {HOW_TO_MAKE}",
                file.display()
            ),
            TlsError::BadCertificate(file, why) => write!(
                f,
                "{}: cannot use this certificate: {why}; {HOW_TO_MAKE}",
                file.display()
            ),
            TlsError::Mismatch(pair) => write!(
                f,
                "{}: the key in {} belongs to another certificate",
                pair.certificate.display(),
                pair.key.display()
            ),
            TlsError::BadAuthority(file, reason) => {
                write!(
                    f,
                    "{}: cannot use these CA certificates: {reason}",
                    file.display()
                )
            }
            TlsError::Unusable(error) => write!(f, "cannot set up TLS: {error}"),
        }
    }
}

impl error::Error for TlsError {}

/// Reads a chain and its key and makes sure that they belong together.
pub(super) fn load(pair: &TlsPair, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&pair.certificate)?;
    let key = private_key(&pair.key)?;
    let kind = key::kind(&key);
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| TlsError::BadKey(pair.key.clone(), kind))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(_)) => return Err(TlsError::Mismatch(pair.clone())),
        Err(_) => {
            let why = match x509::is_version_1(&certified.cert[0]) {
                true => "it is of X.509 version 1, which has no subjectAltName for a host's name",
                false => "it is no X.509 certificate, or a damaged one",
            };
            return Err(TlsError::BadCertificate(pair.certificate.clone(), why));
        }
    }
    warn_about_permissions(&pair.key);
    if let Some(warning) = date_warning(&pair.certificate, &certified.cert[0], seconds_now()) {
        warn!("{warning}");
    }
    Ok(certified)
}

/// All certificates of a PEM file, at least one, or the one of a DER file.
pub(super) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    if is_der(&text) {
        return Ok(vec![CertificateDer::from(text)]);
    }
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::BadPem(file.to_owned(), error))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(file.to_owned()));
    }
    Ok(chain)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(file)?;
    if is_der(&text) {
        return PrivateKeyDer::try_from(text).map_err(|_| TlsError::NoKey(file.to_owned()));
    }
    // PKCS#8's own label, or the header of the older forms (RFC 1421, section 4.6.1.1)
    let marks: [&[u8]; 2] = [
        b"-BEGIN ENCRYPTED PRIVATE KEY-",
        b"\nProc-Type: 4,ENCRYPTED",
    ];
    if marks
        .iter()
        .any(|mark| text.windows(mark.len()).any(|window| window == *mark))
    {
        return Err(TlsError::EncryptedKey(file.to_owned()));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        PemError::NoItemsFound => TlsError::NoKey(file.to_owned()),
        error => TlsError::BadPem(file.to_owned(), error),
    })
}

/// Whether a file is DER: a SEQUENCE with a long length, or one that begins with an INTEGER, as
/// short keys do. PEM files and what people write above them are text.
fn is_der(text: &[u8]) -> bool {
    matches!(
        text,
        [SEQUENCE, 0x81..=0x84, ..] | [SEQUENCE, _, INTEGER, ..]
    )
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let text = privileged::read(file, MAX_FILE + 1)
        .map_err(|error| TlsError::Unreadable(file.to_owned(), error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(TlsError::TooLong(file.to_owned()));
    }
    Ok(text)
}

fn warn_about_permissions(key: &Path) {
    let others = key
        .metadata()
        .is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0);
    if others {
        warn!(
            "{}: every user of this machine can read this key; 'chmod o=' closes it",
            key.display()
        );
    }
}

/// What the administrator should know about a certificate's dates at `now`.
pub(super) fn date_warning(file: &Path, leaf: &[u8], now: i64) -> Option<String> {
    let (not_before, not_after) = x509::validity(leaf)?;
    let file = file.display();
    if now > not_after.seconds {
        Some(format!(
            "{file}: the certificate expired on {not_after}; clients will refuse it"
        ))
    } else if now < not_before.seconds {
        Some(format!(
            "{file}: the certificate is not valid before {not_before}; is the clock right?"
        ))
    } else {
        None
    }
}

/// Seconds since 1970; not before, whatever the clock says.
pub(super) fn seconds_now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
