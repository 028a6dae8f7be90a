//! The keys of the `tls` section.

use super::super::choices::CLIENTAUTHS;
use super::super::schema::{Key, NEEDED, Section, words};

/// The `tls` section.
pub(crate) static TLS_SECTION: Section = Section {
    name: "tls",
    keys: &[
        &CRTFILE,
        &KEYFILE,
        &CACHAIN,
        &CLIENTAUTH,
        &CERTIFICATES,
        &DHMFILE,
    ],
    ..Section::EMPTY
};

pub(crate) static CRTFILE: Key = Key::optional(
    "crtfile",
    "PEM file of the certificate, followed by the certificates between it and the root. \
     All of them are sent. A DER file has one certificate.",
)
.absent(NEEDED, "/etc/ouistiti/server.crt");
pub(crate) static KEYFILE: Key = Key::optional("keyfile", "PEM or DER file of the private key.")
    .absent(NEEDED, "/etc/ouistiti/server.key")
    .formerly(&["pemfile"]);
pub(crate) static CACHAIN: Key = Key::optional(
    "cachain",
    "PEM file of the authorities of client certificates, which 'clientauth' asks for.",
)
.absent("none", "/etc/ouistiti/clients-ca.crt");
pub(crate) static CLIENTAUTH: Key = Key::choice(
    "clientauth",
    "none",
    &words(&CLIENTAUTHS),
    "Whether clients are asked for a certificate of 'cachain'.",
);
pub(crate) static CERTIFICATES: Key = Key::list(
    &CERTIFICATE,
    "Further certificates, chosen by the server name the client asks for.",
)
.absent("none", "");
pub(crate) static DHMFILE: Key = Key::optional(
    "dhmfile",
    "Unused, for files of the C gateway: keys are agreed on elliptic curves.",
)
.absent("none", "/etc/ouistiti/dhparam.pem");

/// One element of `certificates`.
pub(crate) static CERTIFICATE: Section = Section {
    name: "certificates",
    keys: &[&CRTFILE, &KEYFILE],
    ..Section::EMPTY
};
