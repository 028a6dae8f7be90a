//! Passwords as they are stored: argon2id, and the forms of the C gateway.
//!
//! Every check costs one run of argon2, for an unknown user and for an old form too, so that the
//! time tells nothing.

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};
use base64ct::{Base64, Encoding};
use md5::Md5;
use rpcplugin::Error;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::throttle::Standing;
use crate::turn::Run;

/// Memory of one run, in KiB: a router with 32 MiB can spare it for a moment.
const MEMORY: u32 = 4096;
/// Passes over it: about a quarter of a second on a MIPS 24Kc.
const PASSES: u32 = 3;
/// Most memory a stored password may ask for, in KiB: other programs write the file too.
const MAX_MEMORY: u32 = 64 * 1024;
/// Longest password, in bytes.
pub(crate) const MAX_PASSWORD: usize = 1024;

/// How a password is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A PHC string with salt and costs: `$argon2id$v=19$m=...`.
    Argon2id,
    /// `$a5$` and the base64 of SHA-256, without salt (the C gateway's).
    GatewaySha256,
    /// `$a1$`, MD5: read, never written.
    GatewayMd5,
    /// `$a6$`, SHA-512: read, never written.
    GatewaySha512,
}

impl Form {
    /// The form of a stored password, if it is one of ours.
    fn of(stored: &str) -> Option<Form> {
        const PREFIXES: [(&str, Form); 4] = [
            ("$argon2id$", Form::Argon2id),
            ("$a1$", Form::GatewayMd5),
            ("$a5$", Form::GatewaySha256),
            ("$a6$", Form::GatewaySha512),
        ];
        PREFIXES
            .iter()
            .find(|(prefix, _)| stored.starts_with(prefix))
            .map(|(_, form)| *form)
    }

    /// Its name to users.
    fn name(self) -> &'static str {
        match self {
            Form::Argon2id => "argon2id",
            Form::GatewayMd5 => "MD5",
            Form::GatewaySha256 => "SHA-256",
            Form::GatewaySha512 => "SHA-512",
        }
    }
}

/// The name of a stored password's algorithm.
pub(crate) fn algorithm(stored: &str) -> Option<&'static str> {
    Form::of(stored).map(Form::name)
}

/// Makes and checks stored passwords.
pub(crate) struct Hasher {
    form: Form,
    argon2: Argon2<'static>,
}

impl Hasher {
    /// A hasher that stores new passwords in this form.
    pub(crate) fn new(form: Form) -> Result<Hasher, Error> {
        Hasher::with_costs(form, MEMORY, PASSES)
    }

    /// The same with other costs, for tests that make hundreds of runs.
    pub(crate) fn with_costs(form: Form, memory: u32, passes: u32) -> Result<Hasher, Error> {
        let params = Params::new(memory, passes, 1, None).map_err(|error| failed(&error))?;
        Ok(Hasher {
            form,
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
        })
    }

    /// A new password as it is to be stored.
    pub(crate) fn store(&self, password: &str) -> Result<String, Error> {
        if self.form == Form::GatewaySha256 {
            return Ok(format!("$a5${}", base64::<Sha256>(password)));
        }
        let _run = Run::wait(Standing::Clean)?;
        let hash = self.argon2.hash_password(password.as_bytes());
        hash.map(|hash| hash.to_string())
            .map_err(|error| failed(&error))
    }

    /// Whether this is the password of the user; `stored` is `None` if there is no such user.
    ///
    /// # Errors
    /// Others run before, for too long; or nobody wants to know any more.
    pub(crate) fn check(
        &self,
        user: &str,
        password: &str,
        stored: Option<&str>,
        standing: Standing,
    ) -> Result<bool, Error> {
        let fits = password.len() <= MAX_PASSWORD;
        let password = if fits { password } else { "" };
        let stored = stored.unwrap_or_default();
        let _run = Run::wait(standing)?;
        if Form::of(stored) == Some(Form::Argon2id) {
            return Ok(self.check_argon2(password, stored) && fits);
        }
        self.run_for_nothing(password);
        Ok(check_gateway(user, password, stored) && fits)
    }

    fn check_argon2(&self, password: &str, stored: &str) -> bool {
        let Ok(hash) = PasswordHash::new(stored) else {
            return false;
        };
        if !Params::try_from(&hash).is_ok_and(|params| params.m_cost() <= MAX_MEMORY) {
            return false;
        }
        self.argon2
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    }

    /// Takes as long as a check of argon2id.
    fn run_for_nothing(&self, password: &str) {
        let mut output = [0; 32];
        let run = self
            .argon2
            .hash_password_into(password.as_bytes(), &[0; 16], &mut output);
        std::hint::black_box((run.is_ok(), output));
    }
}

/// A password in a form of the C gateway: `$aN$HASH`, or `$aN$realm=R$HASH` where the hash is over
/// `user:R:password` (RFC 7616's digest).
fn check_gateway(user: &str, password: &str, stored: &str) -> bool {
    let Some(form) = Form::of(stored) else {
        return false;
    };
    // Each prefix has four bytes.
    let rest = &stored[4..];
    let (expected, text) = match rest
        .strip_prefix("realm=")
        .and_then(|rest| rest.split_once('$'))
    {
        Some((realm, expected)) => (expected, format!("{user}:{realm}:{password}")),
        None => (rest, password.to_string()),
    };
    let computed = match form {
        Form::GatewayMd5 => base64::<Md5>(&text),
        Form::GatewaySha256 => base64::<Sha256>(&text),
        Form::GatewaySha512 => base64::<Sha512>(&text),
        Form::Argon2id => return false,
    };
    computed.as_bytes().ct_eq(expected.as_bytes()).into()
}

fn base64<D: Digest>(text: &str) -> String {
    Base64::encode_string(&D::digest(text.as_bytes()))
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    Error::failure("internal error").with(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hasher(form: Form) -> Hasher {
        Hasher::with_costs(form, 8, 1).expect("valid costs")
    }

    fn fits(hasher: &Hasher, user: &str, password: &str, stored: Option<&str>) -> bool {
        let checked = hasher.check(user, password, stored, Standing::Clean);
        checked.expect("its turn")
    }

    #[test]
    fn a_new_password_is_argon2id_with_a_salt_of_its_own() {
        let hasher = hasher(Form::Argon2id);
        let stored = hasher.store("test").expect("hashed");
        assert!(
            stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"),
            "{stored}"
        );
        assert_ne!(stored, hasher.store("test").expect("hashed"));
        assert!(fits(&hasher, "u", "test", Some(&stored)));
        assert!(!fits(&hasher, "u", "Test", Some(&stored)));
        assert_eq!(algorithm(&stored), Some("argon2id"));
    }

    #[test]
    fn the_costs_fit_a_router() {
        let hasher = Hasher::new(Form::Argon2id).expect("valid costs");
        let stored = hasher.store("test").expect("hashed");
        assert!(
            stored.starts_with("$argon2id$v=19$m=4096,t=3,p=1$"),
            "{stored}"
        );
    }

    #[test]
    fn the_forms_of_the_c_gateway_are_accepted() {
        let hasher = hasher(Form::GatewaySha256);
        let sha256 = "$a5$n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=";
        assert_eq!(hasher.store("test").expect("hashed"), sha256);
        let sha512 = "$a6$7iaw3Ur350mqGo7jwQrpkj9hiYB3Lkc/iBml1JQODbJ6wYX4oOHV+E+IvIh/1nsUNzLDBMxfqa2Ob1f1ACio/w==";
        let md5 = "$a1$CY9rzUYh03PK3k6DJie09g==";
        // user:realm:test
        let digest = "$a1$realm=realm$WUg01vvBSCOrZPn2iANRrw==";
        for stored in [sha256, sha512, md5, digest] {
            assert!(fits(&hasher, "user", "test", Some(stored)), "{stored}");
            assert!(!fits(&hasher, "user", "tesT", Some(stored)), "{stored}");
        }
        assert_eq!(algorithm(sha256), Some("SHA-256"));
    }

    #[test]
    fn a_text_that_is_not_a_stored_password_fits_no_password() {
        let hasher = hasher(Form::Argon2id);
        let huge = "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for stored in [
            "",
            "test",
            "$a5$",
            "$a5$realm=x",
            "$a9$",
            "$argon2id$",
            huge,
        ] {
            assert!(!fits(&hasher, "u", "test", Some(stored)), "{stored}");
            assert!(!fits(&hasher, "u", "", Some(stored)), "{stored}");
        }
        assert!(!fits(&hasher, "u", "test", None));
    }

    #[test]
    fn a_password_longer_than_its_limit_fits_nothing() {
        let hasher = hasher(Form::GatewaySha256);
        let long = "x".repeat(MAX_PASSWORD + 1);
        let stored = hasher.store(&long).expect("hashed");
        assert!(!fits(&hasher, "u", &long, Some(&stored)));
        let empty = hasher.store("").expect("hashed");
        assert!(!fits(&hasher, "u", &long, Some(&empty)));
    }
}
