//! One stored password, in any of the forms that people have: clear, crypt(5), those of the C
//! gateway, argon2id.

use data_encoding::BASE64;
use md5::Md5;
use sha_crypt::{PasswordVerifier, ShaCrypt};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::md5_crypt;

/// Least rounds of SHA-crypt (crypt(5)).
const MIN_ROUNDS: u32 = 1000;
/// Most rounds of SHA-crypt that a stored password may ask for: about a second on a router.
const MAX_ROUNDS: u32 = 100_000;

/// A stored password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stored {
    /// Itself.
    Clear(String),
    /// `$1$SALT$HASH`: salt and hash.
    Md5Crypt(String, String),
    /// `$5$...` or `$6$...`, whole.
    ShaCrypt(String),
    /// `$a1$`, `$a5$` or `$a6$` of the C gateway.
    Gateway(Gateway),
    /// `$argon2id$...`, whole.
    #[cfg(feature = "argon2id")]
    Argon2id(String),
}

/// `$aN$DIGEST`, or `$aN$realm=R$DIGEST` where the digest is of `user:R:password`; in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gateway {
    /// 1 for MD5, 5 for SHA-256, 6 for SHA-512.
    form: u8,
    realm: Option<String>,
    digest: Vec<u8>,
}

impl Stored {
    /// Reads a stored password.
    ///
    /// # Errors
    /// Why it fits no password.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = text.split('$').skip(1);
        match (parts.next(), text.starts_with('$')) {
            (_, false) => Ok(Self::Clear(text.to_owned())),
            (Some("1"), _) => match (parts.next(), parts.next(), parts.next()) {
                (Some(salt), Some(hash), None) if hash.len() == 22 => {
                    Ok(Self::Md5Crypt(salt.to_owned(), hash.to_owned()))
                }
                _ => Err("a damaged $1$ password"),
            },
            (Some("5"), _) => sha_crypt(text, 43),
            (Some("6"), _) => sha_crypt(text, 86),
            (Some("a1" | "a5" | "a6"), _) => Gateway::parse(text).map(Self::Gateway),
            #[cfg(feature = "argon2id")]
            (Some("argon2id"), _) => argon2id::parse(text).map(Self::Argon2id),
            #[cfg(not(feature = "argon2id"))]
            (Some("argon2id"), _) => Err("argon2id, which this ouistiti was built without"),
            _ => Err("a password in a form that is not known ($1$, $5$, $6$, $a1$, $a5$, $a6$)"),
        }
    }

    /// What decides how long a check takes: next to nothing, or the form with its parameters.
    pub(super) fn cost(&self) -> &str {
        match self {
            Self::Clear(_) | Self::Gateway(_) => "",
            Self::Md5Crypt(..) => "$1",
            Self::ShaCrypt(text) => before_salt(text),
            #[cfg(feature = "argon2id")]
            Self::Argon2id(text) => before_salt(text),
        }
    }

    /// Whether a user's password is this one, in a time that does not depend on how much of it is
    /// right.
    pub(super) fn fits(&self, user: &str, password: &str) -> bool {
        match self {
            // Digests are compared, since they have one length whatever the passwords have.
            Self::Clear(own) => is_same(&Sha256::digest(own), &Sha256::digest(password)),
            Self::Md5Crypt(salt, hash) => {
                let got = md5_crypt::hash(password.as_bytes(), salt.as_bytes());
                is_same(hash.as_bytes(), got.as_bytes())
            }
            Self::ShaCrypt(hash) => {
                let crypt = ShaCrypt::default();
                crypt
                    .verify_password(password.as_bytes(), hash.as_str())
                    .is_ok()
            }
            Self::Gateway(stored) => stored.fits(user, password),
            #[cfg(feature = "argon2id")]
            Self::Argon2id(stored) => argon2id::fits(stored, password),
        }
    }
}

/// Reads `$5$...` or `$6$...`, whose hash has this many digits.
fn sha_crypt(text: &str, digits: usize) -> Result<Stored, &'static str> {
    let damaged = Err("a damaged $5$ or $6$ password");
    let parts: Vec<_> = text.split('$').skip(2).collect();
    let (rounds, hash) = match parts[..] {
        [_, hash] => (Some(MIN_ROUNDS), hash),
        [part, _, hash] => (rounds(part), hash),
        _ => return damaged,
    };
    match rounds {
        Some(rounds) if rounds > MAX_ROUNDS => Err("a password with more than 100000 rounds"),
        Some(MIN_ROUNDS..) if hash.len() == digits => Ok(Stored::ShaCrypt(text.to_owned())),
        _ => damaged,
    }
}

fn rounds(part: &str) -> Option<u32> {
    part.strip_prefix("rounds=")?.parse().ok()
}

/// All of a hash but its last two parts, which are the salt and the digest.
fn before_salt(text: &str) -> &str {
    text.rsplitn(3, '$').nth(2).unwrap_or_default()
}

impl Gateway {
    /// Reads one that begins with `$a1$`, `$a5$` or `$a6$`.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let damaged = "a damaged $a1$, $a5$ or $a6$ password";
        let (form, rest) = (text.strip_prefix("$a"))
            .and_then(|text| text.split_once('$'))
            .ok_or(damaged)?;
        let with_realm = rest.strip_prefix("realm=");
        let (realm, digits) = match with_realm.and_then(|rest| rest.split_once('$')) {
            Some((realm, digits)) => (Some(realm.to_owned()), digits),
            None => (None, rest),
        };
        let (form, length) = match form {
            "1" => (1, 16),
            "5" => (5, 32),
            _ => (6, 64),
        };
        let digest = BASE64.decode(digits.as_bytes()).map_err(|_| damaged)?;
        match digest.len() == length {
            true => Ok(Self {
                form,
                realm,
                digest,
            }),
            false => Err(damaged),
        }
    }

    fn fits(&self, user: &str, password: &str) -> bool {
        let text = match &self.realm {
            Some(realm) => format!("{user}:{realm}:{password}"),
            None => password.to_owned(),
        };
        match self.form {
            1 => is_same(&self.digest, &Md5::digest(&text)),
            5 => is_same(&self.digest, &Sha256::digest(&text)),
            _ => is_same(&self.digest, &Sha512::digest(&text)),
        }
    }
}

fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(feature = "argon2id")]
mod argon2id {
    //! argon2id (RFC 9106), one check at a time: each takes as much memory as its form says.

    use std::sync::{Mutex, PoisonError};

    use argon2::password_hash::{PasswordVerifier, phc::PasswordHash};
    use argon2::{Argon2, Params};

    /// Most memory a stored password may ask for, in KiB.
    const MAX_MEMORY: u32 = 64 * 1024;

    pub(super) fn parse(text: &str) -> Result<String, &'static str> {
        let hash = PasswordHash::new(text).map_err(|_| "a damaged $argon2id$ password")?;
        match Params::try_from(&hash) {
            Ok(params) if params.m_cost() <= MAX_MEMORY => Ok(text.to_owned()),
            _ => Err("a $argon2id$ password that takes more than 64 MiB"),
        }
    }

    pub(super) fn fits(stored: &str, password: &str) -> bool {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(hash) = PasswordHash::new(stored) else {
            return false;
        };
        let argon2 = Argon2::default();
        argon2.verify_password(password.as_bytes(), &hash).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_fits_its_password_and_no_other() {
        for stored in [
            "test",
            "$1$saltsalt$tTWg0JeO/sYmHvtKmZE8c.",
            "$5$saltsalt$q6kNPzk9GPb3dpYKO2TUS45z2kiVxsUVz7eWVJcih.0",
            "$6$saltsalt$JcVDtuB6d1BHhCd5RPBh8g8xX/1CbY8EU2PN0MTaj2/Mypw4P./C6dN4j0HALhzBDTocyW1Jm.gYaTPjFGCV40",
            "$a1$CY9rzUYh03PK3k6DJie09g==",
            "$a1$realm=realm$WUg01vvBSCOrZPn2iANRrw==",
            "$a5$n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
            "$a6$7iaw3Ur350mqGo7jwQrpkj9hiYB3Lkc/iBml1JQODbJ6wYX4oOHV+E+IvIh/1nsUNzLDBMxfqa2Ob1f1ACio/w==",
        ] {
            let password = Stored::parse(stored).expect(stored);
            assert!(password.fits("user", "test"), "{stored}");
            for wrong in ["", "tes", "Test", "test ", "testtest", stored] {
                let is_own = wrong == "test";
                assert_eq!(password.fits("user", wrong), is_own, "{stored} {wrong}");
            }
        }
    }

    #[test]
    fn a_realm_is_part_of_what_is_hashed() {
        // RFC 2617, section 3.5.
        let stored = "$a1$realm=testrealm@host.com$k551eO2ePFGKRSrO52O86Q==";
        let password = Stored::parse(stored).expect("good");
        assert!(password.fits("Mufasa", "Circle Of Life"));
        assert!(!password.fits("mufasa", "Circle Of Life"));
    }

    #[test]
    fn what_fits_no_password_is_an_error() {
        for stored in [
            "$",
            "$1$",
            "$1$salt$short",
            "$2y$10$abcdefghijklmnopqrstuv",
            "$5$",
            "$5$SALT$HASH",
            "$5$more$saltsalt$q6kNPzk9GPb3dpYKO2TUS45z2kiVxsUVz7eWVJcih.0",
            "$6$saltsalt$q6kNPzk9GPb3dpYKO2TUS45z2kiVxsUVz7eWVJcih.0",
            "$6$rounds=999999999$salt$x",
            "$5$rounds=999$saltsalt$q6kNPzk9GPb3dpYKO2TUS45z2kiVxsUVz7eWVJcih.0",
            "$a9$x",
            "$a1",
            "$a1$",
            "$a1$realm=realm",
            "$a5$CY9rzUYh03PK3k6DJie09g==",
            "$a1$CY9rzUYh03PK3k6DJie09g",
            "$a1$*Y9rzUYh03PK3k6DJie09g==",
        ] {
            assert!(Stored::parse(stored).is_err(), "{stored}");
        }
    }

    #[test]
    #[cfg(feature = "argon2id")]
    fn argon2id_fits_and_is_bounded() {
        use argon2::password_hash::PasswordHasher;
        let params = argon2::Params::new(8, 1, 1, None).expect("valid costs");
        let argon2 =
            argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let stored = argon2
            .hash_password_with_salt(b"test", b"saltsaltsalt")
            .expect("hashed");
        let password = Stored::parse(&stored.to_string()).expect("good");
        assert!(password.fits("u", "test") && !password.fits("u", "Test"));
        let huge = "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(Stored::parse(huge).is_err());
    }
}
