//! Running: the type of messages to the client, where `frametype` leaves it open.
//!
//! The client's last message decides. Before its first one, its subprotocol or the backend's
//! first bytes do: a page that expects a binary protocol cannot read text.

use std::sync::atomic::{AtomicU8, Ordering};

/// Subprotocols that carry binary messages: of the IANA registry of WebSocket subprotocols, and
/// what noVNC offers.
const BINARY_PROTOCOLS: [&str; 7] = ["binary", "rfb", "mqtt", "mqttv3.1", "amqp", "coap", "bfcp"];

/// Beginnings of binary protocols in which the server speaks first: RFB (RFC 6143, section
/// 7.1.1) and SSH (RFC 4253, section 4.2).
const BINARY_GREETINGS: [&[u8]; 2] = [b"RFB ", b"SSH-"];

const UNKNOWN: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// Whether the client expects text; shared by both copy threads.
pub(crate) struct Kind(AtomicU8);

impl Kind {
    /// Before the client's first message, with the subprotocol chosen.
    pub(crate) fn new(protocol: Option<&str>) -> Self {
        Self(AtomicU8::new(match protocol {
            Some(name) if is_binary(name) => BINARY,
            _ => UNKNOWN,
        }))
    }

    /// Records the type of the client's message.
    pub(crate) fn set(&self, text: bool) {
        self.0
            .store(if text { TEXT } else { BINARY }, Ordering::Relaxed);
    }

    /// Whether the client gets text. `bytes` are what the backend sends: where nothing is known
    /// yet, they decide until the client sends a message.
    pub(crate) fn is_text(&self, bytes: &[u8]) -> bool {
        if self.0.load(Ordering::Relaxed) == UNKNOWN && !bytes.is_empty() {
            let guess = if begins_binary(bytes) { BINARY } else { TEXT };
            // The client's own type, if it came meanwhile, stays.
            let order = Ordering::Relaxed;
            let _ = self.0.compare_exchange(UNKNOWN, guess, order, order);
        }
        self.0.load(Ordering::Relaxed) != BINARY
    }
}

/// Whether a subprotocol carries binary messages.
fn is_binary(protocol: &str) -> bool {
    BINARY_PROTOCOLS.contains(&protocol)
        || protocol.ends_with(".msgpack")
        || protocol.ends_with(".cbor")
}

/// Whether the first bytes of a backend cannot be text that a page expects: the greeting of a
/// binary protocol, no UTF-8, or control characters that no text and no terminal uses.
fn begins_binary(bytes: &[u8]) -> bool {
    let control = |byte: &u8| matches!(byte, 0x00..=0x06 | 0x10..=0x1a);
    let utf8 = std::str::from_utf8(bytes);
    BINARY_GREETINGS
        .iter()
        .any(|greeting| bytes.starts_with(greeting))
        || utf8.is_err_and(|error| error.error_len().is_some())
        || bytes.iter().any(control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_subprotocols_are_known_by_name() {
        for (name, text) in [
            ("binary", false),
            ("mqtt", false),
            ("wamp.2.msgpack", false),
            ("base64", true),
            ("v12.stomp", true),
            ("chat", true),
        ] {
            assert_eq!(Kind::new(Some(name)).is_text(b"Hello"), text, "{name}");
        }
    }

    #[test]
    fn the_first_bytes_decide_until_the_client_sends() {
        for (bytes, text) in [
            (&b"RFB 003.008\n"[..], false),
            (b"SSH-2.0-x\r\n", false),
            (b"J\0\0\0\n8.0.35\0", false),
            (b"\xff\xfe", false),
            (b"login: ", true),
            (b"\x1b[2J\x07\x08\t", true),
            (b"gr\xc3", true),
        ] {
            let kind = Kind::new(None);
            assert_eq!(kind.is_text(bytes), text, "{bytes:?}");
            assert_eq!(kind.is_text(b"later"), text, "{bytes:?}");
            kind.set(!text);
            assert_eq!(kind.is_text(bytes), !text, "{bytes:?}");
        }
    }
}
