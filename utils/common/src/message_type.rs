//! The type of the messages to a client, text or binary.
//!
//! Where nothing else is set, the client's last message decides. Before its first one, its
//! subprotocol or the backend's first bytes do: a page that expects a binary protocol cannot read
//! text.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::Utf8;

/// Subprotocols that carry binary messages: of the IANA registry of WebSocket subprotocols, and
/// what noVNC offers.
const BINARY_PROTOCOLS: [&str; 7] = ["binary", "rfb", "mqtt", "mqttv3.1", "amqp", "coap", "bfcp"];

/// Beginnings of binary protocols in which the server speaks first: RFB (RFC 6143, section 7.1.1)
/// and SSH (RFC 4253, section 4.2).
const BINARY_GREETINGS: [&[u8]; 2] = [b"RFB ", b"SSH-"];

// The values of ALWAYS_TEXT, ALWAYS_BINARY and BINARY also go to backends (`handover`).
const UNKNOWN: u8 = 0;
const ALWAYS_TEXT: u8 = 1;
const ALWAYS_BINARY: u8 = 2;
const BINARY: u8 = 3;
const TEXT: u8 = 4;

/// Whether a client gets text; shared by the threads that read and write it.
#[derive(Debug)]
pub struct MessageType(AtomicU8);

impl MessageType {
    /// Nothing is set, and nothing is known of the client.
    pub const fn unknown() -> Self {
        Self(AtomicU8::new(UNKNOWN))
    }

    /// Before the client's first message, with the subprotocol chosen.
    pub fn new(protocol: Option<&str>) -> Self {
        Self(AtomicU8::new(match protocol {
            Some(name) if is_binary(name) => BINARY,
            _ => UNKNOWN,
        }))
    }

    /// Text or binary, whatever the client sends.
    pub fn fixed(text: bool) -> Self {
        Self(AtomicU8::new(if text {
            ALWAYS_TEXT
        } else {
            ALWAYS_BINARY
        }))
    }

    /// The value that tells a backend what is known; `None` if nothing is.
    pub fn code(&self) -> Option<u8> {
        Some(self.0.load(Ordering::Relaxed)).filter(|code| *code != UNKNOWN)
    }

    /// Takes what [`MessageType::code`] said. Other values change nothing.
    pub fn set_code(&self, code: u8) {
        if (ALWAYS_TEXT..=BINARY).contains(&code) {
            self.0.store(code, Ordering::Relaxed);
        }
    }

    /// Records the type of the client's message.
    pub fn set(&self, text: bool) {
        if !matches!(self.0.load(Ordering::Relaxed), ALWAYS_TEXT | ALWAYS_BINARY) {
            let code = if text { TEXT } else { BINARY };
            self.0.store(code, Ordering::Relaxed);
        }
    }

    /// Whether bytes that are no text may not go out as binary.
    pub fn must_be_text(&self) -> bool {
        self.0.load(Ordering::Relaxed) == ALWAYS_TEXT
    }

    /// Whether the client gets text. `bytes` are what the backend sends: where nothing is known
    /// yet, they decide until the client sends a message.
    pub fn is_text(&self, bytes: &[u8]) -> bool {
        if self.0.load(Ordering::Relaxed) == UNKNOWN && !bytes.is_empty() {
            let guess = if begins_binary(bytes) { BINARY } else { TEXT };
            // The client's own type, if it came meanwhile, stays.
            let order = Ordering::Relaxed;
            let _ = self.0.compare_exchange(UNKNOWN, guess, order, order);
        }
        !matches!(self.0.load(Ordering::Relaxed), BINARY | ALWAYS_BINARY)
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
    BINARY_GREETINGS
        .iter()
        .any(|greeting| bytes.starts_with(greeting))
        || !Utf8::new().push(bytes)
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
            assert_eq!(
                MessageType::new(Some(name)).is_text(b"Hello"),
                text,
                "{name}"
            );
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
            let message_type = MessageType::unknown();
            assert_eq!(message_type.is_text(bytes), text, "{bytes:?}");
            assert_eq!(message_type.is_text(b"later"), text, "{bytes:?}");
            message_type.set(!text);
            assert_eq!(message_type.is_text(bytes), !text, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_set_stays_and_its_code_means_the_same_elsewhere() {
        for (here, text, fixed) in [
            (MessageType::fixed(true), true, true),
            (MessageType::fixed(false), false, true),
            (MessageType::new(Some("mqtt")), false, false),
        ] {
            let there = MessageType::unknown();
            there.set_code(here.code().expect("it is known"));
            assert_eq!(there.is_text(b"RFB 003.008\n"), text);
            there.set(!text);
            assert_eq!(there.is_text(b"a"), text == fixed);
            assert_eq!(there.must_be_text(), text && fixed);
        }
        assert_eq!(MessageType::unknown().code(), None);
    }

    #[test]
    fn a_code_of_a_later_version_changes_nothing() {
        let message_type = MessageType::unknown();
        for code in [0, 4, 9, 255] {
            message_type.set_code(code);
            assert_eq!(message_type.code(), None, "{code}");
        }
    }
}
