//! What a backend is told of its client: with `proxy = "v2"`, and by a hand-over.

use crate::client::Client;
use crate::gateway::Gateway;
use crate::reach::PROXY_SIGNATURE;

/// The values of a PROXY protocol v2 header by their types (its section 2.2).
pub(crate) fn values(mut tlvs: &[u8]) -> Vec<(u8, String)> {
    let mut found = Vec::new();
    while let [kind, high, low, rest @ ..] = tlvs {
        let (value, after) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        found.push((*kind, String::from_utf8(value.to_vec()).expect("text")));
        tlvs = after;
    }
    found
}

/// Values without a client's id, which is the gateway's to choose.
fn without_id(values: Vec<(u8, String)>) -> Vec<(u8, String)> {
    values
        .into_iter()
        .filter(|(kind, _)| *kind != 0xe6)
        .collect()
}

fn owned<const N: usize>(values: [(u8, &str); N]) -> Vec<(u8, String)> {
    values.map(|(kind, value)| (kind, value.to_owned())).into()
}

#[test]
fn the_header_is_a_packet_of_its_own_with_what_the_request_says() {
    let gateway = Gateway::start("proxy = \"v2\"; origins = \"*\";");
    let backend = gateway.packet_backend("curious");
    let more = "Origin: https://a.test\r\nCookie: a=1\r\nCookie: b=2\r\n";
    let mut client = Client::open(&gateway, "curious?room=7&x=%20", more);
    let mut connection = backend.accept();
    let header = connection.packet().unwrap();
    assert_eq!(&header[..12], PROXY_SIGNATURE);
    let told = owned([
        (0xe0, "curious"),
        (0xe1, "https://a.test"),
        (0xe4, "room=7&x=%20"),
        (0xe5, "a=1; b=2"),
    ]);
    assert_eq!(without_id(values(&header[28..])), told);
    client.text("data");
    assert_eq!(connection.packet().unwrap(), b"data");
}

#[test]
fn two_clients_have_two_ids() {
    let gateway = Gateway::start("proxy = \"v2\";");
    let backend = gateway.packet_backend("curious");
    let mut ids = Vec::new();
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(gateway.open("curious"));
        let mut connection = backend.accept();
        let told = values(&connection.packet().unwrap()[28..]);
        let id = told.into_iter().find(|(kind, _)| *kind == 0xe6);
        ids.push(id.expect("an id").1);
    }
    assert!(ids.iter().all(|id| id.parse::<u32>().is_ok()), "{ids:?}");
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn cookies_that_do_not_fit_are_left_out_whole_and_all_else_is_told() {
    let gateway = Gateway::with("headsize = 65536;", "proxy = \"v2\";");
    let backend = gateway.packet_backend("curious");
    for (length, is_told) in [(16_000, true), (32_000, false)] {
        let cookie = format!("c={}", "x".repeat(length));
        let _client = Client::open(&gateway, "curious?q", &format!("Cookie: {cookie}\r\n"));
        let header = backend.accept().packet().unwrap();
        let mut told = owned([(0xe0, "curious"), (0xe4, "q")]);
        told.extend(is_told.then_some((0xe5, cookie)));
        assert_eq!(without_id(values(&header[28..])), told);
    }
}

#[test]
fn a_hand_over_tells_the_user_and_what_the_request_says() {
    let auth = "auth = { type = \"Basic\"; user = \"eva\"; passwd = \"eva\"; }; \
                options = \"direct\"; origins = \"*\";";
    let gateway = Gateway::start(auth);
    let backend = gateway.backend("curious");
    // eva:eva in base64 (RFC 7617, section 2).
    let more = "Authorization: Basic ZXZhOmV2YQ==\r\nOrigin: https://a.test\r\nCookie: ";
    for (length, is_told) in [(4, true), (5000, false)] {
        let cookie = "c".repeat(length);
        let _client = Client::open(&gateway, "curious?room=7", &format!("{more}{cookie}\r\n"));
        let data = backend.accept().read();
        assert_eq!(&data[16..19], b"WS\x01");
        let mut told = owned([
            (0xe3, "eva"),
            (0xe0, "curious"),
            (0xe1, "https://a.test"),
            (0xe4, "room=7"),
        ]);
        told.extend(is_told.then_some((0xe5, cookie)));
        assert_eq!(values(&data[19..]), told);
    }
}
