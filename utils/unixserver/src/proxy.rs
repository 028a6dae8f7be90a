//! Running: what the gateway says of its client (`-P`).
//!
//! With `proxy = "v2"` the gateway begins each connection with a binary header of the PROXY
//! protocol, version 2: the client's address, and further fields as TLVs (type, length, value). It
//! is read only where the administrator said that there is one: a client could otherwise send a
//! header of its own and claim to be anyone.

use std::io;
use std::net::SocketAddr;

pub(crate) use common::proxy::FIXED;
use common::proxy::{
    AUTHORITY, COOKIES, Family, ID, MAX_REST, ORIGIN, QUERY, SERVICE, SIGNATURE, SUBJECT, USER,
    split_tlv,
};

/// What the gateway knows of a client and tells with `proxy = "v2"`. A field is `None` where the
/// gateway does not know it or has left it out, all are without `-P`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address and port.
    pub address: Option<SocketAddr>,
    /// The server name that a TLS client asked for.
    pub server_name: Option<String>,
    /// The name under which the service was asked for.
    pub service: Option<String>,
    /// The Origin of the page; other clients than browsers have none (RFC 6454).
    pub origin: Option<String>,
    /// The subject of the client's certificate (RFC 4514).
    pub subject: Option<String>,
    /// The user that has logged in at the gateway.
    pub user: Option<String>,
    /// The query of the request, without its `?`.
    pub query: Option<String>,
    /// The cookies of the request, as its Cookie field has them (RFC 6265, section 4.2).
    pub cookies: Option<String>,
    /// The client's id in the gateway's log and state.
    pub id: Option<String>,
}

impl ClientInfo {
    /// Sets the field that a TLV of this type tells. Unknown types are skipped (section 2.2.7), and
    /// so are values that are not UTF-8.
    fn set(&mut self, kind: u8, value: &[u8]) {
        let field = match kind {
            AUTHORITY => &mut self.server_name,
            SERVICE => &mut self.service,
            ORIGIN => &mut self.origin,
            SUBJECT => &mut self.subject,
            USER => &mut self.user,
            QUERY => &mut self.query,
            COOKIES => &mut self.cookies,
            ID => &mut self.id,
            _ => return,
        };
        *field = str::from_utf8(value).ok().map(str::to_owned);
    }
}

/// Reads the fixed part: which addresses follow, and how many bytes in all.
///
/// # Errors
/// `InvalidData` for what is no header of version 2, or too long a one.
pub(crate) fn parse_fixed(fixed: &[u8; FIXED]) -> io::Result<(Family, usize)> {
    let rest = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if !fixed.starts_with(&SIGNATURE) || fixed[12] >> 4 != 2 || rest > MAX_REST {
        return Err(invalid());
    }
    let family = Family::of(fixed[13]).ok_or_else(invalid)?;
    Ok((family, rest))
}

/// Reads the addresses and TLVs that follow the fixed part.
///
/// # Errors
/// `InvalidData` if `rest` is too short for its family or ends within a TLV.
pub(crate) fn parse_rest(family: Family, rest: &[u8]) -> io::Result<ClientInfo> {
    let (addresses, mut tlvs) = rest.split_at_checked(family.length()).ok_or_else(invalid)?;
    let mut info = ClientInfo {
        address: family.source(addresses),
        ..ClientInfo::default()
    };
    while !tlvs.is_empty() {
        let (kind, value, next) = split_tlv(tlvs).ok_or_else(invalid)?;
        info.set(kind, value);
        tlvs = next;
    }
    Ok(info)
}

/// The error for a connection that does not begin with a header.
pub(crate) fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no PROXY v2 header")
}

#[cfg(test)]
mod tests;
