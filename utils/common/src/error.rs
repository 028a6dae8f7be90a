//! The rules of RFC 6455 that a client can break, and the close code each one means.

use core::fmt;

/// A rule of RFC 6455 that the client broke, with the value that broke it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// RSV1, RSV2 or RSV3 without an extension (section 5.2).
    ReservedBits,
    /// An opcode that has no meaning yet (section 5.2).
    ReservedOpcode(u8),
    /// A client's frame without masking key (section 5.1).
    Unmasked,
    /// A payload length with its highest bit set (section 5.2).
    LengthOverflow(u64),
    /// A payload length written in more bytes than it needs (section 5.2).
    PaddedLength(u64),
    /// A control frame without FIN (section 5.5).
    FragmentedControl,
    /// A control frame longer than 125 bytes (section 5.5).
    LongControl,
    /// A continuation frame, and no message to continue (section 5.4).
    NothingToContinue,
    /// A new message before the last fragment of the one before (section 5.4).
    UnfinishedMessage,
    /// A Close of one byte: half a close code (section 5.5.1).
    HalfCloseCode,
    /// A close code that must not be sent (section 7.4).
    BadCloseCode(u16),
    /// A text message or a close reason that is not UTF-8 (section 8.1).
    BadUtf8,
}

impl ProtocolError {
    /// The code of the Close that answers it (RFC 6455, section 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Self::BadUtf8 => 1007,
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::LengthOverflow(_)
            | Self::PaddedLength(_)
            | Self::FragmentedControl
            | Self::LongControl
            | Self::NothingToContinue
            | Self::UnfinishedMessage
            | Self::HalfCloseCode
            | Self::BadCloseCode(_) => 1002,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => write!(f, "reserved bits set, but no extension was agreed"),
            Self::ReservedOpcode(opcode) => write!(f, "reserved opcode {opcode}"),
            Self::Unmasked => write!(f, "frame without masking key"),
            Self::LengthOverflow(length) => write!(f, "payload length {length} out of range"),
            Self::PaddedLength(length) => {
                write!(f, "payload length {length} written longer than it needs")
            }
            Self::FragmentedControl => write!(f, "fragmented control frame"),
            Self::LongControl => write!(f, "control frame of more than 125 bytes"),
            Self::NothingToContinue => write!(f, "continuation frame without a message"),
            Self::UnfinishedMessage => write!(f, "new message before the end of the last"),
            Self::HalfCloseCode => write!(f, "close frame of one byte"),
            Self::BadCloseCode(code) => write!(f, "close code {code} is not allowed"),
            Self::BadUtf8 => write!(f, "text that is not UTF-8"),
        }
    }
}

impl core::error::Error for ProtocolError {}
