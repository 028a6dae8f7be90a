//! Opening, second step: checks whether a request is a WebSocket handshake (RFC 6455, section
//! 4.2.1).
//!
//! `access` finds the service and checks the origin.

use std::io;

use tungstenite::handshake::derive_accept_key;

use crate::client::Client;
use crate::http::refusal::Refusal;
use crate::http::request::Request;
use crate::http::response::header;

/// The only version of the protocol (RFC 6455, section 4.1, item 9).
const VERSION: &str = "13";

/// A handshake that keeps every rule of RFC 6455. Only [`check`] makes one.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// Value of `Sec-WebSocket-Accept`.
    pub accept_key: String,
    /// The subprotocols offered, in the client's order: different tokens.
    pub protocols: Vec<String>,
    /// The page's origin. Clients other than browsers send none.
    pub origin: Option<String>,
    /// Host and port the client asked for.
    pub host: String,
}

/// Checks a request, the numbers of RFC 6455, section 4.2.1, beside each step. Extensions may be
/// offered and are not chosen.
///
/// # Errors
/// The first rule that is broken: 405, 426 or 400.
pub fn check(request: &Request) -> Result<Upgrade, Refusal> {
    // 1: a GET,
    if request.method != "GET" {
        return Err(Refusal::BadMethod(request.method.clone(), "GET"));
    }
    // of HTTP/1.1 or higher; 3: Upgrade; 4: Connection.
    if !request.is_upgrade() {
        return Err(Refusal::NotAnUpgrade);
    }
    // 6: the version, before all that a later version may change (section 4.4).
    match request.once("Sec-WebSocket-Version")? {
        Some(VERSION) => {}
        other => return Err(Refusal::BadVersion(other.unwrap_or("none").to_owned())),
    }
    // 2: Host.
    if request.host.is_empty() {
        return Err(Refusal::Malformed("no Host"));
    }
    // 5: the key.
    let key = request.once("Sec-WebSocket-Key")?.unwrap_or_default();
    if !is_key(key) {
        return Err(Refusal::BadKey(key.to_owned()));
    }
    // 7: the origin; two would leave open which one is judged.
    let origin = request.once("Origin")?.map(str::to_owned);
    // 8: the subprotocols.
    let protocols = offered(request)?;
    Ok(Upgrade {
        accept_key: derive_accept_key(key.as_bytes()),
        protocols,
        origin,
        host: request.host.clone(),
    })
}

/// Whether this is base64 of 16 bytes. The four bits behind them may be anything: they are not zero
/// in the example of RFC 6455, section 4.1 ("AQIDBAUGBwgJCgsMDQ4PEC==").
fn is_key(key: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    key.len() == 24 && key.ends_with("==") && key.bytes().take(22).all(digit)
}

/// Joins the lines of `Sec-WebSocket-Protocol` (RFC 6455, section 11.3.4).
fn offered(request: &Request) -> Result<Vec<String>, Refusal> {
    let mut protocols: Vec<String> = Vec::new();
    for protocol in request.list("Sec-WebSocket-Protocol") {
        // Section 4.1, item 10: tokens, all of them different.
        if !protocol.bytes().all(is_token_byte) || protocols.iter().any(|own| own == protocol) {
            return Err(Refusal::BadProtocol(protocol.to_owned()));
        }
        protocols.push(protocol.to_owned());
    }
    Ok(protocols)
}

/// RFC 9110, section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Answers a good handshake (RFC 6455, section 4.2.2, item 5) with one write.
///
/// `protocol` must be one of those offered.
///
/// # Errors
/// As write(2).
pub fn switching_protocols(
    client: &Client,
    upgrade: &Upgrade,
    protocol: Option<&str>,
) -> io::Result<()> {
    client.write_all(switching(upgrade, protocol).as_bytes())
}

/// The text of the 101.
pub(super) fn switching(upgrade: &Upgrade, protocol: Option<&str>) -> String {
    let mut answer = String::with_capacity(256);
    answer.push_str("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n");
    header(&mut answer, "Connection", "Upgrade");
    header(&mut answer, "Sec-WebSocket-Accept", &upgrade.accept_key);
    if let Some(protocol) = protocol {
        header(&mut answer, "Sec-WebSocket-Protocol", protocol);
    }
    answer.push_str("\r\n");
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::tests::{EXAMPLE, pair, parse};
    use std::io::Read;

    fn checked(head: &str) -> Result<Upgrade, Refusal> {
        check(&parse(head.as_bytes()).expect("a good head"))
    }

    fn status(head: &str) -> u16 {
        checked(head).map_or_else(|refusal| refusal.status(), |_| 101)
    }

    #[test]
    fn the_example_of_the_rfc_is_taken() {
        let upgrade = checked(EXAMPLE).expect("a good handshake");
        assert_eq!(upgrade.accept_key, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(upgrade.protocols, ["chat", "superchat"]);
        assert_eq!(upgrade.origin.as_deref(), Some("http://example.com"));
        assert_eq!(upgrade.host, "server.example.com");
    }

    #[test]
    fn each_broken_rule_has_its_status() {
        for (from, to, wanted) in [
            ("GET", "POST", 405),
            ("GET", "get", 405),
            ("HTTP/1.1", "HTTP/1.0", 426),
            ("Upgrade: websocket\r\n", "", 426),
            ("Upgrade: websocket", "Upgrade: h2c", 426),
            ("keep-alive, Upgrade", "keep-alive", 426),
            ("Version: 13", "Version: 12", 426),
            ("Version: 13", "Version: 013", 426),
            ("Version: 13", "Version: 13, 8", 426),
            ("Sec-WebSocket-Version: 13\r\n", "", 426),
            (
                "Version: 13",
                "Version: 13\r\nSec-WebSocket-Version: 13",
                400,
            ),
            ("Host: server.example.com", "Host:", 400),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQQ=", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbX*sZSBub25jZQ==", 400),
            (
                "Origin:",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin:",
                400,
            ),
            ("Origin:", "Origin: http://other.lan\r\nOrigin:", 400),
            ("superchat", "chat", 400),
            ("superchat", "super chat", 400),
            ("superchat", "../x", 400),
        ] {
            assert_eq!(
                status(&EXAMPLE.replacen(from, to, 1)),
                wanted,
                "{from} -> {to}"
            );
        }
    }

    #[test]
    fn protocols_of_several_lines_are_joined() {
        let head = EXAMPLE.replace(
            "chat, superchat",
            "a, ,b\r\nSec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: c",
        );
        assert_eq!(checked(&head).expect("good").protocols, ["a", "b", "c"]);
    }

    #[test]
    fn an_unclean_last_digit_of_the_key_is_taken() {
        let head = EXAMPLE.replace("dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEC==");
        assert_eq!(status(&head), 101);
    }

    #[test]
    fn a_101_names_the_one_protocol_chosen() {
        let upgrade = Upgrade {
            accept_key: "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into(),
            protocols: vec!["chat".into(), "superchat".into()],
            origin: None,
            host: "server.example.com".into(),
        };
        for (chosen, line) in [
            (Some("chat"), "Sec-WebSocket-Protocol: chat\r\n"),
            (None, ""),
        ] {
            let (client, mut far) = pair();
            switching_protocols(&client, &upgrade, chosen).expect("written");
            drop(client);
            let mut answer = String::new();
            far.read_to_string(&mut answer).expect("an answer");
            assert_eq!(
                answer,
                format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{line}\r\n"
                )
            );
        }
    }
}
