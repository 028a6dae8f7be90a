//! Logins with a client certificate: the handshake has checked it, its subject decides.

use glob::Pattern;

use super::Known;
use crate::config::matches;
use crate::http::refusal::Refusal;

/// Checks the subject of a client's certificate, in the text form of RFC 4514. Its first common
/// name is the user, or the whole subject where it has none.
///
/// # Errors
/// `NoCertificate`, or `WrongCertificate` if the glob does not match.
pub(super) fn check(subject: Option<String>, allowed: &Pattern) -> Result<Known, Refusal> {
    let subject = subject.ok_or(Refusal::NoCertificate)?;
    if !matches(allowed, &subject) {
        return Err(Refusal::WrongCertificate(subject));
    }
    let user = common_name(&subject).unwrap_or(&subject).to_owned();
    let groups = Vec::new();
    Ok(Known { user, groups })
}

/// The first `CN` of a subject. One with an escape is left to the whole subject: nobody else's name
/// may look the same.
fn common_name(subject: &str) -> Option<&str> {
    if subject.contains('\\') {
        return None;
    }
    let mut parts = subject.split(',');
    parts.find_map(|part| part.strip_prefix("CN="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_name_of_a_subject_that_matches_is_the_user() {
        let user = |subject: &str, glob: &str| {
            let known = check(Some(subject.to_owned()), &Pattern::new(glob).unwrap());
            known.map(|known| known.user).map_err(|why| why.status())
        };
        assert_eq!(user("CN=anna,O=home", "*,O=home").as_deref(), Ok("anna"));
        assert_eq!(user("UID=1,CN=anna", "*").as_deref(), Ok("anna"));
        assert_eq!(user("O=home", "*").as_deref(), Ok("O=home"));
        let escaped = "CN=anna\\,CN=root,O=x";
        assert_eq!(user(escaped, "*").as_deref(), Ok(escaped));
        assert_eq!(user("CN=anna,O=away", "*,O=home"), Err(403));
        let none = check(None, &Pattern::new("*").unwrap()).map_err(|why| why.status());
        assert!(matches!(none, Err(403)));
    }
}
