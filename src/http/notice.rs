//! Before the 101: the line of the log that a refusal becomes: who, which status, why, what helps.

use std::fmt::Display;
use std::io::{self, ErrorKind};

use log::debug;

use crate::http::refusal::Refusal;
use crate::logging;
use crate::system::reason::reason;
use crate::tally;

/// Tells the administrator of a refusal. Of each cause ten lines a second are written; a client
/// that left by itself was not refused.
pub(crate) fn tell(peer: &dyn Display, refusal: &Refusal) {
    if let Some(cause) = refusal.cause() {
        tally::refused(cause);
    }
    match refusal {
        Refusal::Gone(error) => debug!("{peer}: {}", departure(error)),
        refusal if is_question(refusal) => debug!("{peer}: {refusal}"),
        // A client that expects TLS has got no HTTP answer, and so no status.
        Refusal::NoSession(why) => logging::info_of("TLS", format_args!("{peer} refused: {why}")),
        refusal => {
            let (status, why, cure) = (refusal.status(), reason(refusal), cure(refusal));
            let line = format_args!("{peer} refused: {status}, {why}{cure}");
            logging::info_of(refusal.body(), line);
        }
    }
}

/// Whether a client is asked for a login, or sent on: browsers send no password before they have
/// been asked for it.
fn is_question(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::OfHead(refusal) => is_question(refusal),
        Refusal::Redirect(_) | Refusal::LoginNeeded(_) => true,
        Refusal::SentBack(answer) => !matches!(answer.status, 403 | 429),
        _ => false,
    }
}

/// How a client went.
fn departure(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            "the client did not take its answer in time".to_owned()
        }
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            "the client left before it was answered".to_owned()
        }
        _ => format!("the client is lost: {}", reason(error)),
    }
}

/// What else helps, beside the reason; empty where only the client can do something.
fn cure(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::OfHead(refusal) => cure(refusal),
        Refusal::NotAllowed(_) => "; 'allow' and 'deny' say which names are served",
        Refusal::NoService(name) | Refusal::Away(name) if name.is_empty() => {
            "; an entry of 'links' with origin = \"\" serves it"
        }
        Refusal::NoService(_) | Refusal::Away(_) => {
            "; there is no socket of that name in 'docroot', and no entry of 'links'"
        }
        Refusal::NoFile(_) => "; there is no such file in 'docroot' of 'document'",
        Refusal::NotInGroup(_) => "; 'groups' says which come in",
        #[cfg(feature = "state")]
        Refusal::NotForStrangers => "; 'auth' in its entry of 'links' lets users in",
        Refusal::TooManyFailures(_) => "; it may try again when the wait is over",
        Refusal::NotAnUpgrade => "; a page or a program opens it by ws:// or wss://",
        Refusal::Timeout => "; 'keepalivetimeout' is how long it may take",
        Refusal::TargetTooLong | Refusal::HeadTooLarge => "; 'headsize' is the limit",
        Refusal::TooManyHeaders => "; 128 is the limit",
        Refusal::BadKey(_) => "; a client must send 16 bytes in base64",
        Refusal::BadProtocol(_) => "; a client must offer tokens, each once",
        Refusal::BadVersion(_) => "; a client must speak version 13",
        Refusal::LoginUnavailable(_) => "; the program at 'address' of auth must run and answer",
        Refusal::SentBack(_) => "; the program at 'address' of auth says so",
        Refusal::TooManyClients => "; 'maxclients' and 'maxperip' are the limits",
        _ => "",
    }
}

/// The settings that decide about a refusal, or what does where none does.
#[cfg(feature = "state")]
pub(crate) fn setting(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::OfHead(refusal) => setting(refusal),
        Refusal::NotAllowed(_) => "allow, deny (websocket)",
        Refusal::OriginNotAllowed(_) => "origins (websocket)",
        Refusal::WrongHost(_) => "hostname (servers)",
        Refusal::LoginNeeded(_) | Refusal::WrongPassword(..) => "auth (servers)",
        Refusal::SentBack(_) | Refusal::LoginUnavailable(_) => "address (auth)",
        Refusal::TooManyFailures(_) | Refusal::BadToken(..) => "auth (servers)",
        Refusal::NotInGroup(_) => "groups (auth)",
        Refusal::NotForStrangers => "auth (links)",
        Refusal::NoCertificate | Refusal::WrongCertificate(_) => "auth (servers), clientauth (tls)",
        Refusal::NoService(_) | Refusal::Away(_) => "docroot, links (websocket)",
        Refusal::NoFile(_) => "docroot (document)",
        Refusal::NotAnUpgrade => "document (servers)",
        Refusal::Redirect(_) => "redirect (servers)",
        Refusal::Timeout => "keepalivetimeout (servers)",
        Refusal::TargetTooLong | Refusal::HeadTooLarge => "headsize (servers)",
        Refusal::TooManyClients => "maxclients, maxperip (servers)",
        Refusal::NoSession(_) => "tls (servers)",
        Refusal::Unavailable(_) => {
            "docroot, links, user: the backend must run and let the daemon's user connect"
        }
        Refusal::SpoiledUpgrade => "none here: the proxy in front, such as proxy_http_version",
        Refusal::IsService(_) => "none: the client must ask for a WebSocket",
        _ => "none: the client must send another request",
    }
}

/// A step of a request on its way to a WebSocket or a file.
#[cfg(feature = "state")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Head,
    Host,
    Login,
    Handshake,
    Origin,
    Name,
    Backend,
    File,
}

#[cfg(feature = "state")]
impl Step {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Head => "request",
            Self::Host => "host",
            Self::Login => "login",
            Self::Handshake => "handshake",
            Self::Origin => "origin",
            Self::Name => "name",
            Self::Backend => "backend",
            Self::File => "file",
        }
    }
}

/// The step at which a client is refused.
#[cfg(feature = "state")]
pub(crate) fn step(refusal: &Refusal) -> Step {
    match refusal {
        Refusal::OfHead(refusal) => step(refusal),
        Refusal::WrongHost(_) | Refusal::Redirect(_) => Step::Host,
        Refusal::LoginNeeded(_) | Refusal::WrongPassword(..) => Step::Login,
        Refusal::TooManyFailures(_) | Refusal::NotInGroup(_) => Step::Login,
        Refusal::BadToken(..) | Refusal::SentBack(_) | Refusal::LoginUnavailable(_) => Step::Login,
        Refusal::NoCertificate | Refusal::WrongCertificate(_) => Step::Login,
        Refusal::BadKey(_) | Refusal::BadProtocol(_) | Refusal::BadVersion(_) => Step::Handshake,
        Refusal::OriginNotAllowed(_) => Step::Origin,
        Refusal::NotForStrangers => Step::Name,
        Refusal::NotAllowed(_) | Refusal::NoService(_) | Refusal::Away(_) => Step::Name,
        Refusal::Unavailable(_) | Refusal::Gone(_) => Step::Backend,
        Refusal::NoFile(_) | Refusal::BadRange(_) | Refusal::BadMethod(..) => Step::File,
        Refusal::NotAnUpgrade | Refusal::IsService(_) | Refusal::SpoiledUpgrade => Step::File,
        _ => Step::Head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::challenge::Challenge;
    use crate::http::refusal::SentBack;

    #[test]
    fn a_client_that_went_is_told_in_words() {
        let told = |kind: ErrorKind| departure(&kind.into());
        assert_eq!(
            told(ErrorKind::WouldBlock),
            "the client did not take its answer in time"
        );
        assert_eq!(
            told(ErrorKind::ConnectionReset),
            "the client left before it was answered"
        );
        let error = io::Error::from_raw_os_error(nix::libc::EHOSTUNREACH);
        assert_eq!(departure(&error), "the client is lost: no route to host");
    }

    #[test]
    fn a_client_is_asked_for_a_login_quietly_and_refused_aloud() {
        let sent_back = |status| {
            let headers = Vec::new();
            Refusal::SentBack(SentBack { status, headers })
        };
        let needed = || Refusal::LoginNeeded(Challenge::Basic("a".into()));
        for asked in [needed(), needed().of_head(), sent_back(401), sent_back(302)] {
            assert!(is_question(&asked), "{asked:?}");
        }
        let wrong = || Refusal::WrongPassword(Challenge::Basic("a".into()), "b".into());
        for refused in [wrong(), wrong().of_head(), sent_back(403), sent_back(429)] {
            assert!(!is_question(&refused), "{refused:?}");
        }
    }

    #[test]
    #[cfg(feature = "state")]
    fn every_refusal_of_a_login_is_explained_as_one() {
        let challenge = || Challenge::Basic("a".into());
        let (status, headers) = (403, Vec::new());
        for refusal in [
            Refusal::LoginNeeded(challenge()),
            Refusal::WrongPassword(challenge(), "b".into()),
            Refusal::BadToken(challenge(), "no reason"),
            Refusal::TooManyFailures(std::time::Duration::ZERO),
            Refusal::SentBack(SentBack { status, headers }),
            Refusal::LoginUnavailable("no reason".into()),
            Refusal::NotInGroup("b".into()),
            Refusal::NoCertificate,
            Refusal::WrongCertificate("CN=b".into()),
        ] {
            assert_eq!(step(&refusal), Step::Login, "{refusal:?}");
            assert!(!setting(&refusal).contains("none"), "{refusal:?}");
        }
    }

    #[test]
    fn the_answer_to_a_head_has_the_cure_of_its_refusal() {
        let refusal = Refusal::NoService("x".into()).of_head();
        assert!(cure(&refusal).contains("'docroot'"));
    }
}
