//! PROXY headers, by bytes written out.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use super::*;
use crate::http::request::tests::{pair, soon};

/// Version 2, PROXY, TCP over IPv4: 192.0.2.1:4660 to 198.51.100.1:443.
const V4: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\
    \xc0\x00\x02\x01\xc6\x33\x64\x01\x12\x34\x01\xbb";
/// Version 1, the same.
const LINE: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.1 4660 443\r\n";

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family][..], &length, body].concat()
}

fn found(bytes: &[u8]) -> Option<Found> {
    find(bytes).ok()
}

#[test]
fn an_ipv4_client_is_twelve_bytes() {
    let header = header(address("192.0.2.1:4660"), address("198.51.100.1:443"), &[]);
    assert_eq!(header, V4);
}

#[test]
fn an_ipv6_client_is_thirty_six_bytes() {
    let header = header(address("[2001:db8::1]:4660"), address("10.0.0.1:443"), &[]);
    let body = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
        \0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x00\x00\x01\x12\x34\x01\xbb";
    assert_eq!(header, v2(0x21, 0x21, body));
}

#[test]
fn a_mapped_address_is_told_as_ipv4_and_an_unfit_destination_as_zeros() {
    let header = header(
        address("[::ffff:192.0.2.1]:7"),
        address("[2001:db8::1]:80"),
        &[],
    );
    assert_eq!(header, v2(0x21, 0x11, b"\xc0\0\x02\x01\0\0\0\0\0\x07\0\0"));
}

#[test]
fn an_unknown_address_is_local() {
    let header = header(None, None, &[(SERVICE, Some("chat")), (ORIGIN, None)]);
    assert_eq!(header, v2(0x20, 0x00, b"\xe0\x00\x04chat"));
}

#[test]
fn a_value_too_long_for_the_header_is_left_out() {
    let room = MAX_REST - 12 - 3;
    let (fits, beyond) = ("x".repeat(room), "x".repeat(room + 1));
    let whole = header(address("192.0.2.1:1"), None, &[(COOKIES, Some(&fits))]);
    assert_eq!(whole.len(), FIXED + MAX_REST);
    let tlvs = [(COOKIES, Some(&beyond[..])), (SUBJECT, Some("CN=x"))];
    let header = header(address("192.0.2.1:1"), None, &tlvs);
    assert_eq!(header[28..], *b"\xe2\x00\x04CN=x");
    assert_eq!(header[14..16], [0, 19]);
}

#[test]
fn what_is_sent_is_what_is_taken() {
    for text in ["192.0.2.1:4660", "[2001:db8::1]:65535"] {
        let sent = header(address(text), None, &[(SERVICE, Some("chat"))]);
        assert_eq!(found(&sent), Some(Found::Header(sent.len(), address(text))));
    }
}

#[test]
fn a_header_cut_anywhere_is_a_part_and_ends_where_it_ends() {
    for whole in [V4, LINE] {
        for cut in 1..whole.len() {
            assert_eq!(found(&whole[..cut]), Some(Found::Part), "{cut}");
        }
        let told = Some(Found::Header(whole.len(), address("192.0.2.1:4660")));
        assert_eq!(found(&[whole, b"GET / HTTP/1.1\r\n"].concat()), told);
    }
}

#[test]
fn a_header_is_never_longer_than_its_limit() {
    for room in 0..8 {
        let name = "n".repeat(MAX_REST - 12 - 3 - room);
        let tlvs = [(SERVICE, Some(name.as_str())), (ORIGIN, Some(""))];
        let header = header(address("192.0.2.1:1"), None, &tlvs);
        let full = FIXED + MAX_REST;
        assert!(header.len() <= full, "{} bytes", header.len());
        let is_full = room == 0 || room == 3;
        assert_eq!(header.len() == full, is_full, "room for {room}");
    }
}

#[test]
fn a_request_is_no_header() {
    for text in [
        "GET /",
        "PUT /",
        "PROPFIND",
        "PROXYING",
        "\r\nGET /",
        "\x16\x03",
    ] {
        assert_eq!(found(text.as_bytes()), Some(Found::Nothing), "{text}");
    }
}

#[test]
fn version_1_is_taken_strictly() {
    let told = |line: &str| match find(line.as_bytes()) {
        Ok(Found::Header(length, source)) if length == line.len() => Some(source),
        _ => None,
    };
    let six = told("PROXY TCP6 2001:db8::1 ::1 5 80\r\n");
    assert_eq!(six, Some(address("[2001:db8::1]:5")));
    assert_eq!(told("PROXY UNKNOWN\r\n"), Some(None));
    assert_eq!(
        told("PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n"),
        Some(None)
    );
    for bad in [
        "PROXY \r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\nGET / HTTP/1.1\r\n",
    ] {
        assert!(find(bad.as_bytes()).is_err(), "{bad:?}");
    }
}

#[test]
fn a_line_of_107_bytes_is_taken_and_one_more_is_not() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    assert_eq!(found(line(107).as_bytes()), Some(Found::Header(107, None)));
    assert_eq!(found(line(108).as_bytes()), None);
}

#[test]
fn version_2_is_taken_strictly() {
    let addresses = &V4[16..];
    let with = |tlvs: &[u8]| v2(0x21, 0x11, &[addresses, tlvs].concat());
    for good in [with(b""), with(b"\x04\0\0"), with(b"\x04\0\x02ab\xea\0\0")] {
        let told = Some(Found::Header(good.len(), address("192.0.2.1:4660")));
        assert_eq!(found(&good), told);
    }
    for nobody in [
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, addresses),
        v2(0x21, 0x00, b"what it says is not looked at"),
        v2(0x21, 0x31, &[b'/'; 216]),
        v2(0x20, 0x00, &[0; 520]),
    ] {
        assert_eq!(found(&nobody), Some(Found::Header(nobody.len(), None)));
    }
    for bad in [
        v2(0x11, 0x11, addresses),
        v2(0x22, 0x11, addresses),
        v2(0x21, 0x12, addresses),
        v2(0x21, 0x13, addresses),
        v2(0x21, 0x11, &addresses[..11]),
        v2(0x21, 0x21, addresses),
        with(b"\x04"),
        with(b"\x04\0\x03ab"),
        v2(0x20, 0x00, &[0; 521]),
    ] {
        assert_eq!(found(&bad), None, "{bad:?}");
    }
}

#[test]
fn a_header_comes_off_the_socket_and_not_a_byte_behind_it() {
    for header in [V4, LINE, b""] {
        let (client, mut far) = pair();
        far.write_all(header).unwrap();
        far.write_all(b"GET /").unwrap();
        let told = read(&client, soon()).unwrap();
        assert_eq!(told == Told::Nothing, header.is_empty());
        let mut next = [0; 16];
        assert_eq!(client.read(&mut next).unwrap(), 5);
        assert_eq!(next[..5], *b"GET /");
    }
}

#[test]
fn a_header_without_an_address_is_told_apart_from_none() {
    for header in [
        &b"PROXY UNKNOWN\r\n"[..],
        &v2(LOCAL, Family::Unspecified.code(), b""),
        &v2(PROXY, Family::Unspecified.code(), b""),
        &v2(PROXY, Family::Unix.code(), &[b'/'; 216]),
    ] {
        let (client, mut far) = pair();
        far.write_all(header).unwrap();
        assert_eq!(read(&client, soon()).unwrap(), Told::Nobody);
    }
}

#[test]
fn behind_a_unix_socket_there_is_no_address_and_a_proxy_header_tells_one() {
    let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let client = Client::plain(TcpStream::from(OwnedFd::from(near)));
    assert_eq!((client.peer(), client.local()), (None, None));
    far.write_all(LINE).unwrap();
    let source = address("192.0.2.1:4660").unwrap();
    assert_eq!(read(&client, soon()).unwrap(), Told::Source(source));
    client.set_source(source);
    assert_eq!(client.source(), Some(source));
}

#[test]
fn a_header_byte_by_byte_is_the_same_header() {
    let (client, mut far) = pair();
    let writer = std::thread::spawn(move || {
        for byte in V4 {
            far.write_all(&[*byte]).unwrap();
            std::thread::yield_now();
        }
        far
    });
    let source = address("192.0.2.1:4660").unwrap();
    assert_eq!(read(&client, soon()).unwrap(), Told::Source(source));
    writer.join().unwrap();
}

#[test]
fn half_a_header_ends_with_its_sender_or_at_the_deadline() {
    let (client, mut far) = pair();
    far.write_all(&V4[..3]).unwrap();
    let deadline = Instant::now() + Duration::from_millis(20);
    assert!(matches!(read(&client, deadline), Err(Refusal::Timeout)));
    drop(far);
    assert!(matches!(read(&client, soon()), Err(Refusal::Gone(_))));
}
