//! Before the 101: the line of the log that a refusal becomes: who, which status, why, what helps.

use std::fmt::Display;
use std::io::{self, ErrorKind};

use log::debug;

use crate::http::refusal::Refusal;
use crate::logging;
use crate::system::reason::reason;

/// Tells the administrator of a refusal. Of each cause ten lines a second are written; a client
/// that left by itself was not refused.
pub(crate) fn tell(peer: &dyn Display, refusal: &Refusal) {
    match refusal {
        Refusal::Gone(error) => debug!("{peer}: {}", departure(error)),
        // Browsers send no password before they have been asked for it.
        Refusal::Redirect(_) | Refusal::LoginNeeded(_) => debug!("{peer}: {refusal}"),
        // A client that expects TLS has got no HTTP answer, and so no status.
        Refusal::NoSession(why) => logging::info_of("TLS", format_args!("{peer} refused: {why}")),
        refusal => {
            let (status, why, cure) = (refusal.status(), reason(refusal), cure(refusal));
            let line = format_args!("{peer} refused: {status}, {why}{cure}");
            logging::info_of(refusal.body(), line);
        }
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

/// The setting that decides, or what else helps; empty where only the client can do something.
fn cure(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::OfHead(refusal) => cure(refusal),
        Refusal::NotAllowed(_) => "; 'allow' and 'deny' say which names are served",
        Refusal::NoService(_) | Refusal::Away(_) => {
            "; there is no socket of that name in 'docroot', and no entry of 'links'"
        }
        Refusal::NotAnUpgrade => "; a page or a program opens it by ws:// or wss://",
        Refusal::Timeout => "; 'keepalivetimeout' is how long it may take",
        Refusal::TargetTooLong | Refusal::HeadTooLarge => "; 'headsize' is the limit",
        Refusal::Unavailable(_) => "; its server must run, and let the gateway's user connect",
        Refusal::TooManyClients => "; 'maxclients' and 'maxperip' are the limits",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_answer_to_a_head_has_the_cure_of_its_refusal() {
        let refusal = Refusal::NoService("x".into()).of_head();
        assert!(cure(&refusal).contains("'docroot'"));
    }
}
