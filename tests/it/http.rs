//! Requests and answers of HTTP/1.1, written and read by hand.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::gateway::Gateway;

/// The key of RFC 6455's example, and the accept value it must bring.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An upgrade request to `target` with `more` header lines, each ended by CRLF.
pub(crate) fn upgrade(gateway: &Gateway, target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n",
        gateway.address()
    )
}

/// An answer: its head, and what came after it.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The only value of the header `name`; None if it is not there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, v)| v);
        let value = values.next();
        assert!(values.next().is_none(), "{name} stands twice in {self:?}");
        value.map(String::as_str)
    }

    /// Reads a head, and leaves what follows it in `body`.
    pub(crate) fn read_head(stream: &mut TcpStream) -> Option<Response> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                return Some(parse(&bytes[..end], bytes[end + 4..].to_vec()));
            }
            match stream.read(&mut chunk).expect("an answer from the gateway") {
                0 if bytes.is_empty() => return None,
                0 => panic!("half an answer: {:?}", String::from_utf8_lossy(&bytes)),
                count => bytes.extend(&chunk[..count]),
            }
        }
    }
}

fn parse(head: &[u8], body: Vec<u8>) -> Response {
    let head = std::str::from_utf8(head).expect("an ASCII head");
    let mut lines = head.split("\r\n");
    let first = lines.next().expect("a status line");
    assert!(
        first.starts_with("HTTP/1.1 "),
        "not a status line: {first:?}"
    );
    let status = first[9..12].parse().expect("three digits");
    let headers = lines
        .map(|line| line.split_once(':').expect("a colon in each header"))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Response {
        status,
        headers,
        body,
    }
}

/// Sends `request` and reads the answer up to the end of the connection.
pub(crate) fn ask(gateway: &Gateway, request: &str) -> Response {
    try_ask(gateway, request.as_bytes()).expect("an answer, not the bare end")
}

/// The same for any bytes; None when the connection ends without an answer. The request ends with
/// the client's half of the connection.
pub(crate) fn try_ask(gateway: &Gateway, request: &[u8]) -> Option<Response> {
    let mut stream = gateway.connect();
    // A gateway that has answered already may no longer take the rest.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(Shutdown::Write);
    let mut response = Response::read_head(&mut stream)?;
    stream
        .read_to_end(&mut response.body)
        .expect("the rest of the answer");
    Some(response)
}

/// A plain GET of `target` with `more` header lines.
pub(crate) fn get(gateway: &Gateway, target: &str, more: &str) -> Response {
    plain(gateway, "GET", target, more)
}

/// A request that is no upgrade.
pub(crate) fn plain(gateway: &Gateway, method: &str, target: &str, more: &str) -> Response {
    let host = gateway.address();
    ask(
        gateway,
        &format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"),
    )
}
