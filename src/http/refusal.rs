//! Before the 101: every reason for which a client is refused, and its HTTP status.
//!
//! After the 101 a connection ends with a close code instead; that is `pump`'s.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::time::Duration;

use common::Escaped;

use crate::http::challenge::Challenge;
use crate::system::reason::reason;

/// An answer of the program that checks logins (`type = "forward"` of `auth`), as it goes to the
/// client.
#[derive(Debug, PartialEq, Eq)]
pub struct SentBack {
    /// The status: 401, 403, 429 or that of a redirect.
    pub status: u16,
    /// Names and values; printable ASCII.
    pub headers: Vec<(&'static str, String)>,
}

/// Why a client is refused; each variant carries the value that broke the rule.
#[derive(Debug)]
pub enum Refusal {
    /// Not an HTTP/1.1 request head (RFC 9112); says which rule it broke.
    Malformed(&'static str),
    /// A header that may come once came more often.
    Repeated(&'static str),
    /// A request with content; nothing here takes any.
    Body,
    /// A path that cannot be percent-decoded.
    BadName(String),
    /// `Sec-WebSocket-Key` is not 16 bytes in base64, or is missing (RFC 6455, section 4.2.1).
    BadKey(String),
    /// An offered subprotocol that is no token, or is offered twice (RFC 6455, section 4.1).
    BadProtocol(String),
    /// The name is not served: `allow` and `deny`, or the grammar of names.
    NotAllowed(String),
    /// A page of this origin may not connect.
    OriginNotAllowed(String),
    /// Somebody must log in first; what is asked for.
    LoginNeeded(Challenge),
    /// A user or password was wrong; what is asked for again, and the user.
    WrongPassword(Challenge, String),
    /// A token lets nobody in; what is asked for again, and why.
    BadToken(Challenge, &'static str),
    /// A client certificate is needed.
    NoCertificate,
    /// The subject of the client's certificate is not one of those that may come in.
    WrongCertificate(String),
    /// A user who has logged in is in none of the groups that may come in.
    NotInGroup(String),
    /// An address has sent wrong passwords; how long it has to wait.
    TooManyFailures(Duration),
    /// The program that checks logins has an answer of its own for the client.
    SentBack(SentBack),
    /// The program that checks logins gives no verdict; why.
    LoginUnavailable(String),
    /// A browser asks for a host that this server does not go by.
    WrongHost(String),
    /// What only this machine or a login may see.
    #[cfg(feature = "state")]
    NotForStrangers,
    /// No service of this name.
    NoService(String),
    /// Nothing stands under this name, and a service may in a moment.
    Away(String),
    /// No file of this name.
    NoFile(String),
    /// A method that is not served there; the methods that are.
    BadMethod(String, &'static str),
    /// The request head was not complete at the deadline.
    Timeout,
    /// The request line alone is longer than a head may be.
    TargetTooLong,
    /// The asked range lies beyond the file; its length in bytes.
    BadRange(u64),
    /// A plain request where only WebSockets are served.
    NotAnUpgrade,
    /// A plain request of a service's name.
    IsService(String),
    /// A handshake that a proxy in front has made another request.
    SpoiledUpgrade,
    /// A plain request where TLS is wanted; the address to go to.
    Redirect(String),
    /// A WebSocket version other than 13.
    BadVersion(String),
    /// The head is longer than a head may be.
    HeadTooLarge,
    /// More headers than a head may have.
    TooManyHeaders,
    /// Something failed here that is not the client's doing.
    Internal(&'static str),
    /// The backend refuses, or is gone; why.
    Unavailable(String),
    /// The program of the service cannot be run.
    NotRun(String),
    /// No slot among `maxclients`, or among `maxperip`.
    TooManyClients,
    /// There is no TLS session to answer through; why.
    NoSession(String),
    /// The client itself went: nothing is written.
    Gone(io::Error),
    /// Any of these as the answer to a HEAD, which has no content (RFC 9110, section 9.3.2).
    OfHead(Box<Refusal>),
}

impl Refusal {
    /// The same refusal of a HEAD.
    pub fn of_head(self) -> Self {
        match self {
            Self::Gone(_) | Self::OfHead(_) => self,
            refusal => Self::OfHead(Box::new(refusal)),
        }
    }

    /// The same refusal of a client that expects TLS and has no session yet.
    pub fn unanswered(self) -> Self {
        match self {
            Self::Gone(_) | Self::NoSession(_) => self,
            refusal => Self::NoSession(refusal.to_string()),
        }
    }

    /// Whether the client is there, and can read an answer.
    pub fn is_answered(&self) -> bool {
        !matches!(self, Self::Gone(_) | Self::NoSession(_))
    }

    /// The HTTP status (RFC 9110, section 15; RFC 6585, section 5).
    ///
    /// `Gone` has 499, which is never sent: logs know it as "client closed request".
    pub fn status(&self) -> u16 {
        match self {
            Self::Redirect(_) => 301,
            Self::Malformed(_) | Self::Repeated(_) | Self::Body => 400,
            Self::BadName(_) | Self::BadKey(_) | Self::BadProtocol(_) => 400,
            Self::LoginNeeded(_) | Self::WrongPassword(..) | Self::BadToken(..) => 401,
            Self::NotAllowed(_) | Self::OriginNotAllowed(_) | Self::NotInGroup(_) => 403,
            Self::NoCertificate | Self::WrongCertificate(_) => 403,
            #[cfg(feature = "state")]
            Self::NotForStrangers => 403,
            Self::TooManyFailures(_) => 429,
            Self::SentBack(answer) => answer.status,
            Self::NoService(_) | Self::Away(_) | Self::NoFile(_) => 404,
            Self::BadMethod(..) => 405,
            Self::Timeout => 408,
            Self::TargetTooLong => 414,
            Self::BadRange(_) => 416,
            Self::WrongHost(_) => 421,
            Self::NotAnUpgrade | Self::BadVersion(_) => 426,
            Self::IsService(_) | Self::SpoiledUpgrade => 426,
            Self::HeadTooLarge | Self::TooManyHeaders => 431,
            Self::Gone(_) => 499,
            Self::NoSession(_) => 499,
            Self::Internal(_) => 500,
            Self::Unavailable(_)
            | Self::NotRun(_)
            | Self::LoginUnavailable(_)
            | Self::TooManyClients => 503,
            Self::OfHead(refusal) => refusal.status(),
        }
    }

    /// A word for it, by which refusals are counted; `None` for a client that left by itself, and
    /// for one that is sent on.
    pub(crate) fn cause(&self) -> Option<&'static str> {
        Some(match self {
            Self::Gone(_) | Self::Redirect(_) => return None,
            Self::Malformed(_) | Self::Repeated(_) | Self::Body | Self::BadName(_) => "malformed",
            Self::BadKey(_) | Self::BadProtocol(_) | Self::BadVersion(_) => "handshake",
            Self::NotAnUpgrade | Self::IsService(_) => "no_upgrade",
            Self::SpoiledUpgrade => "proxy",
            Self::NotAllowed(_) => "name",
            Self::OriginNotAllowed(_) => "origin",
            Self::WrongHost(_) => "host",
            Self::LoginNeeded(_) | Self::SentBack(_) => "login",
            Self::WrongPassword(..) | Self::NotInGroup(_) | Self::TooManyFailures(_) => "user",
            Self::NoService(_) | Self::Away(_) => "no_service",
            Self::NoFile(_) => "no_file",
            Self::BadMethod(..) => "method",
            Self::BadRange(_) => "range",
            Self::Timeout => "timeout",
            Self::TargetTooLong | Self::HeadTooLarge | Self::TooManyHeaders => "size",
            Self::BadToken(..) => "token",
            Self::NoCertificate | Self::WrongCertificate(_) => "certificate",
            Self::Unavailable(_) | Self::LoginUnavailable(_) => "backend",
            #[cfg(feature = "state")]
            Self::NotForStrangers => "login",
            Self::NotRun(_) => "program",
            Self::TooManyClients => "maxclients",
            Self::NoSession(_) => "tls",
            Self::Internal(_) => "internal",
            Self::OfHead(refusal) => return refusal.cause(),
        })
    }

    /// One line for the person who reads the answer, without a byte that the client sent.
    pub fn body(&self) -> &'static str {
        match self {
            Self::Malformed(rule) => rule,
            Self::Repeated(_) => "a header that may come once came more often",
            Self::Body => "a request with content is not taken here",
            Self::BadName(_) => "the path cannot be decoded",
            Self::BadKey(_) => "Sec-WebSocket-Key must be 16 bytes in base64",
            Self::BadProtocol(_) => "Sec-WebSocket-Protocol must list different tokens",
            Self::NotAllowed(_) => "this name is not served",
            Self::OriginNotAllowed(_) => "pages of this origin may not connect",
            Self::LoginNeeded(challenge) => challenge.body(),
            #[cfg(feature = "state")]
            Self::NotForStrangers => "this is for who has logged in, and for this machine itself",
            Self::BadToken(..) => "this token lets nobody in",
            Self::NoCertificate => "a client certificate is needed",
            Self::WrongCertificate(_) => "this client certificate is not one that may come in",
            Self::WrongPassword(..) => "the user or the password is wrong",
            Self::NotInGroup(_) => "this user may not come in here",
            Self::TooManyFailures(_) => "too many wrong passwords came from your address, wait",
            Self::SentBack(_) => "a login is needed, or this user may not come in here",
            Self::LoginUnavailable(_) => "the login cannot be checked now, try again",
            Self::WrongHost(_) => {
                "this server does not go by this name; its setting 'hostname' lists the names it has"
            }
            Self::NoService(_) | Self::Away(_) => "there is no such service",
            Self::NoFile(_) => "there is no such file",
            Self::BadMethod(..) => "this method is not served here",
            Self::Timeout => "the request took too long",
            Self::TargetTooLong => "the address is too long",
            Self::BadRange(_) => "the file has no such range",
            Self::NotAnUpgrade => "only WebSocket connections are served here",
            Self::IsService(_) => {
                "this is a WebSocket service: a page or a program opens it, with ws:// or wss://"
            }
            Self::SpoiledUpgrade => {
                "the proxy in front does not pass WebSocket on; nginx does with: proxy_http_version \
                 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;"
            }
            Self::Redirect(_) => "this server is reached by https",
            Self::BadVersion(_) => "only WebSocket version 13 is spoken here",
            Self::HeadTooLarge => "the request head is too large",
            Self::TooManyHeaders => "the request has too many headers",
            Self::Gone(_) => "",
            Self::NoSession(_) => "",
            Self::Internal(_) => "the gateway failed",
            Self::Unavailable(_) | Self::NotRun(_) => "the service is not available, try again",
            Self::TooManyClients => "there are too many clients, try again",
            Self::OfHead(refusal) => refusal.body(),
        }
    }
}

/// The reason for the log, in one line, what the client sent escaped.
impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (reason, value) = match self {
            Self::Malformed(rule) => ("malformed request: ", *rule),
            Self::Repeated(name) => ("more than one ", *name),
            Self::BadName(path) => ("cannot decode the path ", path.as_str()),
            Self::BadKey(key) if key.is_empty() => ("no Sec-WebSocket-Key", ""),
            Self::BadKey(key) => ("bad Sec-WebSocket-Key ", key.as_str()),
            Self::BadProtocol(protocol) => ("bad subprotocol ", protocol.as_str()),
            Self::NotAllowed(name) => ("name not allowed: ", name.as_str()),
            Self::OriginNotAllowed(origin) => ("origin not allowed: ", origin.as_str()),
            Self::WrongPassword(_, user) => ("wrong password, or no such user: ", user.as_str()),
            Self::BadToken(_, why) => ("a token that lets nobody in: ", *why),
            Self::WrongCertificate(subject) => (
                "not matched by 'subject' of auth: the certificate of ",
                subject.as_str(),
            ),
            Self::LoginUnavailable(why) => ("login not checked: ", why.as_str()),
            Self::NotInGroup(user) => ("in none of 'groups' of auth: the user ", user.as_str()),
            Self::WrongHost(host) => (
                "not a name of this server ('hostname' lists them): ",
                host.as_str(),
            ),
            Self::NoService(name) | Self::Away(name) if name.is_empty() => ("no service at ", "/"),
            Self::NoService(name) | Self::Away(name) => ("no service ", name.as_str()),
            Self::NoFile(name) => ("no file ", name.as_str()),
            Self::IsService(name) => ("no upgrade, of the service ", name.as_str()),
            // A query may have a token.
            Self::Redirect(address) => ("sent on to ", without_query(address)),
            Self::BadMethod(method, _) => ("method not served: ", method.as_str()),
            Self::BadVersion(version) => ("bad WebSocket version ", version.as_str()),
            Self::Internal(what) => ("internal error: ", *what),
            Self::NotRun(why) => ("program not run: ", why.as_str()),
            Self::Unavailable(why) => ("service not available: ", why.as_str()),
            Self::Gone(error) => return write!(f, "the client left: {}", reason(error)),
            Self::NoSession(reason) => return f.write_str(reason),
            Self::OfHead(refusal) => return refusal.fmt(f),
            #[cfg(feature = "state")]
            Self::NotForStrangers => (self.body(), ""),
            Self::BadRange(length) => return write!(f, "range beyond {length} bytes"),
            Self::Body
            | Self::Timeout
            | Self::TargetTooLong
            | Self::NotAnUpgrade
            | Self::SpoiledUpgrade
            | Self::LoginNeeded(_)
            | Self::NoCertificate
            | Self::TooManyFailures(_)
            | Self::SentBack(_)
            | Self::HeadTooLarge
            | Self::TooManyHeaders
            | Self::TooManyClients => (self.body(), ""),
        };
        write!(f, "{reason}{}", Escaped(value))
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Gone(error) => Some(error),
            _ => None,
        }
    }
}

fn without_query(address: &str) -> &str {
    address
        .split_once('?')
        .map_or(address, |(address, _)| address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_text_is_escaped_in_the_log_and_absent_in_the_body() {
        let refusal = Refusal::NoService("evil\r\nSet-Cookie: a\u{1b}".into());
        assert_eq!(
            refusal.to_string(),
            "no service evil\\u{d}\\u{a}Set-Cookie: a\\u{1b}"
        );
        assert!(!refusal.body().contains("evil"));
    }

    #[test]
    fn statuses_are_those_of_the_table() {
        assert_eq!(Refusal::BadKey(String::new()).status(), 400);
        assert_eq!(Refusal::OriginNotAllowed("x".into()).status(), 403);
        assert_eq!(Refusal::NoService("x".into()).status(), 404);
        assert_eq!(Refusal::BadVersion("12".into()).status(), 426);
        assert_eq!(Refusal::TooManyClients.status(), 503);
    }
}
