//! Headers, byte by byte.

use super::*;

fn header(command: u8, family: u8, rest: &[u8]) -> io::Result<ClientInfo> {
    let mut fixed = [0; FIXED];
    fixed[..12].copy_from_slice(&SIGNATURE);
    fixed[12] = command;
    fixed[13] = family;
    fixed[15] = u8::try_from(rest.len()).expect("test headers are short");
    let (family, length) = parse_fixed(&fixed)?;
    assert_eq!(length, rest.len());
    parse_rest(family, rest)
}

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().expect("an address"))
}

/// 192.0.2.7:49152 to 127.0.0.1:80.
const INET: [u8; 12] = [192, 0, 2, 7, 127, 0, 0, 1, 0xc0, 0, 0, 80];

#[test]
fn an_ipv4_header_tells_the_source() {
    let info = header(0x21, 0x11, &INET).expect("valid");
    assert_eq!(info.address, address("192.0.2.7:49152"));
}

#[test]
fn an_ipv6_header_with_a_further_field_tells_the_source() {
    let mut rest = [0; 40];
    rest[..2].copy_from_slice(&[0x20, 0x01]);
    rest[15] = 9;
    rest[33] = 7;
    rest[36..].copy_from_slice(&[0xee, 0, 1, b'?']);
    let info = header(0x21, 0x21, &rest).expect("valid");
    let expected = ClientInfo {
        address: address("[2001::9]:7"),
        ..ClientInfo::default()
    };
    assert_eq!(info, expected);
}

#[test]
fn each_tlv_fills_its_field() {
    let fields = [
        (0x02, "router.lan"),
        (0xe0, "chat"),
        (0xe1, "http://router.lan"),
        (0xe2, "CN=ann"),
        (0xe3, "ann"),
        (0xe4, "room=1&x"),
        (0xe5, "a=1; b=2"),
        (0xe6, "42"),
    ];
    let mut rest = INET.to_vec();
    for (kind, value) in fields {
        rest.extend([kind, 0, u8::try_from(value.len()).expect("short")]);
        rest.extend(value.bytes());
    }
    let text = |value: &str| Some(value.to_owned());
    let expected = ClientInfo {
        address: address("192.0.2.7:49152"),
        server_name: text("router.lan"),
        service: text("chat"),
        origin: text("http://router.lan"),
        subject: text("CN=ann"),
        user: text("ann"),
        query: text("room=1&x"),
        cookies: text("a=1; b=2"),
        id: text("42"),
    };
    assert_eq!(header(0x21, 0x11, &rest).expect("valid"), expected);
}

#[test]
fn a_header_without_an_address_still_tells_the_rest() {
    let info = header(0x20, 0x00, &[0xe3, 0, 3, b'a', b'n', b'n']).expect("valid");
    assert_eq!((info.address, info.user.as_deref()), (None, Some("ann")));
    let mut rest = vec![0; 216];
    rest.extend([0xe6, 0, 1, b'7']);
    let info = header(0x21, 0x31, &rest).expect("valid");
    assert_eq!((info.address, info.id.as_deref()), (None, Some("7")));
}

#[test]
fn a_value_that_is_not_utf8_is_left_out() {
    let info = header(0x20, 0x00, &[0xe3, 0, 1, 0xff, 0xe4, 0, 0]).expect("valid");
    assert_eq!((info.user, info.query.as_deref()), (None, Some("")));
}

#[test]
fn short_addresses_cut_tlvs_and_other_versions_are_refused() {
    for (version, family, rest) in [
        (0x21, 0x11, &[1, 2, 3][..]),
        (0x21, 0x21, &[0; 16]),
        (0x11, 0x11, &[0; 12]),
        (0x20, 0x00, &[0xe3, 0]),
        (0x20, 0x00, &[0xe3, 0, 2, b'a']),
    ] {
        let error = header(version, family, rest).expect_err("broken");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{rest:?}");
    }
    assert!(parse_fixed(b"GET / HTTP/1.1\r\n").is_err());
    let mut long = [0; FIXED];
    long[..12].copy_from_slice(&SIGNATURE);
    long[12..].copy_from_slice(&[0x21, 0x11, 0xff, 0xff]);
    assert!(parse_fixed(&long).is_err());
}
