//! What kind a private key is, for the message that says why it cannot be used.

use rustls::pki_types::PrivateKeyDer;

use super::der::{Der, INTEGER, OBJECT_IDENTIFIER, SEQUENCE};

const OCTET_STRING: u8 = 0x04;
/// The curve of an EC key (RFC 5915, section 3).
const PARAMETERS: u8 = 0xa0;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

/// Other kinds of keys (RFC 8017, RFC 8410, RFC 3279), as encoded.
const KINDS: [(&[u8], &str); 6] = [
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10],
        "an RSA-PSS key",
    ),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], "a DSA key"),
    (&[0x2b, 0x65, 0x6e], "an X25519 key"),
    (&[0x2b, 0x65, 0x6f], "an X448 key"),
    (&[0x2b, 0x65, 0x70], "an Ed25519 key"),
    (&[0x2b, 0x65, 0x71], "an Ed448 key"),
];

/// Curves (RFC 5480, section 2.1.1.1; SEC 2), as encoded.
const CURVES: [(&[u8], &str); 5] = [
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7], "P-256"),
    (&[0x2b, 0x81, 4, 0, 0x0a], "secp256k1"),
    (&[0x2b, 0x81, 4, 0, 0x21], "P-224"),
    (&[0x2b, 0x81, 4, 0, 0x22], "P-384"),
    (&[0x2b, 0x81, 4, 0, 0x23], "P-521"),
];

/// The kind of a key, such as "an RSA key of 1024 bits".
pub(super) fn kind(key: &PrivateKeyDer<'_>) -> String {
    let kind = match key {
        PrivateKeyDer::Pkcs1(key) => rsa(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(key) => ec(key.secret_sec1_der()),
        PrivateKeyDer::Pkcs8(key) => pkcs8(key.secret_pkcs8_der()),
        _ => None,
    };
    kind.unwrap_or_else(|| "a key that cannot be understood".to_owned())
}

/// RFC 5958, section 2.
fn pkcs8(key: &[u8]) -> Option<String> {
    let mut fields = Der(Der(key).expect(SEQUENCE)?);
    fields.expect(INTEGER)?;
    let mut algorithm = Der(fields.expect(SEQUENCE)?);
    let kind = algorithm.expect(OBJECT_IDENTIFIER)?;
    let known = KINDS.iter().find(|(oid, _)| *oid == kind);
    match known {
        Some((_, name)) => Some((*name).to_owned()),
        None if kind == RSA => rsa(fields.expect(OCTET_STRING)?),
        None if kind == EC => Some(on_curve(algorithm.next())),
        None => None,
    }
}

/// RFC 8017, section A.1.2.
fn rsa(key: &[u8]) -> Option<String> {
    let mut fields = Der(Der(key).expect(SEQUENCE)?);
    fields.expect(INTEGER)?;
    let modulus = fields.expect(INTEGER)?;
    let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
    let first = modulus.get(zeros)?;
    let bits = 8 * (modulus.len() - zeros) - first.leading_zeros() as usize;
    Some(format!("an RSA key of {bits} bits"))
}

/// RFC 5915, section 3.
fn ec(key: &[u8]) -> Option<String> {
    let mut fields = Der(Der(key).expect(SEQUENCE)?);
    fields.expect(INTEGER)?;
    fields.expect(OCTET_STRING)?;
    let mut parameters = Der(fields.expect(PARAMETERS)?);
    Some(on_curve(parameters.next()))
}

fn on_curve(parameters: Option<(u8, &[u8])>) -> String {
    match parameters {
        Some((OBJECT_IDENTIFIER, oid)) => match CURVES.iter().find(|(known, _)| *known == oid) {
            Some((_, curve)) => format!("an EC key on curve {curve}"),
            None => "an EC key on an unusual curve".to_owned(),
        },
        _ => "an EC key that describes its curve instead of naming it".to_owned(),
    }
}
