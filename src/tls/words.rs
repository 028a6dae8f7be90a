//! What rustls found wrong with a client, in words for the log.

use std::fmt::{self, Display, Formatter};

use rustls::{CertificateError, Error};

/// A failure of TLS as the log tells it.
pub(super) struct Words<'a>(pub(super) &'a Error);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::InvalidCertificate(error) => {
                write!(f, "the certificate {}", of_certificate(error))
            }
            Error::NoCertificatesPresented => f.write_str("the client shows no certificate"),
            Error::AlertReceived(alert) => match alert.as_str() {
                Some(name) => write!(f, "the client gave up with the alert {name}"),
                None => write!(f, "the client gave up with the alert {}", u8::from(*alert)),
            },
            Error::PeerIncompatible(_) => {
                f.write_str("the client has no version or algorithm in common with this server")
            }
            Error::InvalidMessage(_) => f.write_str("the client does not speak TLS"),
            Error::PeerMisbehaved(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. } => {
                f.write_str("the client breaks a rule of TLS")
            }
            error => error.fmt(f),
        }
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::BadEncoding => "is not encoded as X.509 asks for",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        CertificateError::Revoked => "has been revoked",
        CertificateError::UnknownIssuer => "is of an authority that 'cachain' does not list",
        CertificateError::BadSignature => "has a wrong signature",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not for clients (extended key usage)"
        }
        _ => "cannot be used",
    }
}
