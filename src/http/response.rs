//! Opening, last step: the answer to a request, a 101 or a refusal.
//!
//! Answers carry no `Date`: the clock of a router is often wrong (RFC 9110, section 6.6.1).

use std::fmt::Write;
use std::io;
use std::time::Duration;

use crate::client::Client;
use crate::http::refusal::Refusal;

/// Seconds after which a client that got a 503 may come again.
const RETRY_AFTER: u32 = 1;

/// Answers a refused request with one write; a client that went gets nothing.
///
/// # Errors
/// As write(2).
pub fn refuse(client: &Client, refusal: &Refusal) -> io::Result<()> {
    match refusal.is_answered() {
        true => client.write_all(self::refusal(refusal).as_bytes()),
        false => Ok(()),
    }
}

/// The answer to a refused request.
pub(crate) fn refusal(refusal: &Refusal) -> String {
    let (refusal, with_body) = match refusal {
        Refusal::OfHead(refusal) => (&**refusal, false),
        refusal => (refusal, true),
    };
    let status = refusal.status();
    let body = format!("{status} {}: {}\n", reason(status), refusal.body());
    let mut answer = start(status, After::Close);
    header(&mut answer, "Content-Type", "text/plain; charset=utf-8");
    header(&mut answer, "Content-Length", &body.len().to_string());
    match refusal {
        Refusal::BadMethod(_, allowed) => header(&mut answer, "Allow", allowed),
        Refusal::BadVersion(_)
        | Refusal::NotAnUpgrade
        | Refusal::IsService(_)
        | Refusal::SpoiledUpgrade => {
            // RFC 9110, section 15.5.22; RFC 6455, section 4.4.
            header(&mut answer, "Upgrade", "websocket");
            header(&mut answer, "Sec-WebSocket-Version", "13");
        }
        Refusal::LoginNeeded(challenge)
        | Refusal::WrongPassword(challenge, _)
        | Refusal::BadToken(challenge, _) => {
            header(&mut answer, "WWW-Authenticate", &challenge.to_string());
        }
        Refusal::TooManyFailures(wait) => {
            let seconds = wait.as_secs() + 1;
            header(&mut answer, "Retry-After", &seconds.to_string());
        }
        Refusal::SentBack(own) => {
            // A browser would keep a 301 for as long as it lives.
            header(&mut answer, "Cache-Control", "no-store");
            for (name, value) in &own.headers {
                header(&mut answer, name, value);
            }
        }
        Refusal::Redirect(address) => header(&mut answer, "Location", address),
        Refusal::BadRange(length) => {
            header(&mut answer, "Content-Range", &format!("bytes */{length}"));
        }
        Refusal::Unavailable(_)
        | Refusal::NotRun(_)
        | Refusal::LoginUnavailable(_)
        | Refusal::TooManyClients => {
            header(&mut answer, "Retry-After", &RETRY_AFTER.to_string());
        }
        _ => {}
    }
    answer.push_str("\r\n");
    if with_body {
        answer.push_str(&body);
    }
    answer
}

/// What becomes of the connection after an answer (RFC 9112, section 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It ends.
    Close,
    /// Another request may come within so long.
    Next(Duration),
}

/// A status line and the headers of every answer; the caller adds its own and the empty line.
pub(crate) fn start(status: u16, after: After) -> String {
    let mut answer = String::with_capacity(512);
    // Writing to a String cannot fail.
    let _ = write!(answer, "HTTP/1.1 {status} {}\r\n", reason(status));
    match after {
        // RFC 9110, section 7.8: whoever sends Upgrade names it in Connection too.
        After::Close if status == 426 => header(&mut answer, "Connection", "close, Upgrade"),
        After::Close => header(&mut answer, "Connection", "close"),
        After::Next(limit) => {
            // Browsers keep a connection for longer than this, unless they are told (RFC 2068,
            // section 19.7.1.1).
            header(&mut answer, "Connection", "keep-alive");
            let timeout = format!("timeout={}", limit.as_secs());
            header(&mut answer, "Keep-Alive", &timeout);
        }
    }
    header(&mut answer, "X-Content-Type-Options", "nosniff");
    answer
}

/// Adds a header.
pub(crate) fn header(answer: &mut String, name: &str, value: &str) {
    let _ = write!(answer, "{name}: {value}\r\n");
}

/// A status and its phrase.
#[cfg(feature = "state")]
pub(crate) fn status_line(status: u16) -> String {
    format!("{status} {}", reason(status))
}

/// The phrase of a status that we send (RFC 9110, section 15; RFC 6585).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::tests::pair;
    use std::io::Read;

    fn refused(refusal: &Refusal) -> String {
        let (client, mut far) = pair();
        refuse(&client, refusal).expect("written");
        drop(client);
        let mut answer = String::new();
        far.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn a_refusal_is_whole_and_closes() {
        assert_eq!(
            refused(&Refusal::NoService("secret\r\n".into())),
            "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\
             X-Content-Type-Options: nosniff\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 40\r\n\r\n\
             404 Not Found: there is no such service\n"
        );
    }

    #[test]
    fn refusals_carry_what_their_status_asks_for() {
        for (refusal, line) in [
            (Refusal::BadVersion("8".into()), "Sec-WebSocket-Version: 13"),
            (Refusal::NotAnUpgrade, "Upgrade: websocket"),
            (Refusal::NotAnUpgrade, "Connection: close, Upgrade"),
            (Refusal::TooManyClients, "Retry-After: 1"),
            (Refusal::Unavailable("refused".into()), "Retry-After: 1"),
            (
                Refusal::BadMethod("PUT".into(), "GET, HEAD"),
                "Allow: GET, HEAD",
            ),
            (Refusal::BadRange(7), "Content-Range: bytes */7"),
        ] {
            let answer = refused(&refusal);
            assert!(answer.contains(&format!("\r\n{line}\r\n")), "{answer}");
        }
    }

    #[test]
    fn the_refusal_of_a_head_announces_its_body_and_has_none() {
        let answer = refused(&Refusal::NoFile("x".into()).of_head());
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
        assert!(answer.contains("Content-Length: 37\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[test]
    fn a_client_that_went_gets_nothing() {
        let gone = Refusal::Gone(io::ErrorKind::UnexpectedEof.into());
        assert_eq!(refused(&gone), "");
    }
}
