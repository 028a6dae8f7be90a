//! The type of frames to the client: `frametype`.

use crate::client::Client;
use crate::frames::{BINARY, TEXT};
use crate::framings::pair_of;
use crate::gateway::Gateway;

#[test]
fn frametype_auto_sends_binary_where_the_subprotocol_is_a_binary_one() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("vnc");
    let offer = "Sec-WebSocket-Protocol: binary, base64\r\n";
    let mut client = Client::open(&gateway, "vnc", offer);
    assert_eq!(
        client.answer.header("Sec-WebSocket-Protocol"),
        Some("binary")
    );
    backend.accept().give(b"Hello");
    assert_eq!(client.message(), (BINARY, b"Hello".to_vec()));
}

#[test]
fn frametype_auto_follows_the_client_and_never_sends_broken_text() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    connection.give(b"before anything came");
    assert_eq!(client.message(), (TEXT, b"before anything came".to_vec()));
    connection.give(b"\xff\xfe");
    assert_eq!(client.message(), (BINARY, b"\xff\xfe".to_vec()));
    connection.give(b"fine again");
    assert_eq!(client.message(), (TEXT, b"fine again".to_vec()));
    client.binary(b"q");
    assert_eq!(connection.take(1), b"q");
    connection.give(b"now binary");
    assert_eq!(client.message(), (BINARY, b"now binary".to_vec()));
}

#[test]
fn frametype_binary_and_text_are_kept() {
    let gateway = Gateway::start("frametype = \"binary\";");
    let (mut client, mut connection) = pair_of(&gateway, "source");
    connection.give(b"plain");
    assert_eq!(client.message(), (BINARY, b"plain".to_vec()));

    let gateway = Gateway::start("frametype = \"text\";");
    let (mut client, mut connection) = pair_of(&gateway, "source");
    client.binary(b"q");
    assert_eq!(connection.take(1), b"q");
    connection.give(b"plain");
    assert_eq!(client.message(), (TEXT, b"plain".to_vec()));
    connection.give(b"\xff");
    client.expect_close(1007);
}

#[test]
fn a_direct_backend_is_told_the_frametype_behind_the_address() {
    for (setting, offer, told) in [
        ("", "", &b""[..]),
        ("", "Sec-WebSocket-Protocol: chat\r\n", b""),
        ("", "Sec-WebSocket-Protocol: mqtt\r\n", b"\xe7\0\x01\x03"),
        ("frametype = \"text\";", "", b"\xe7\0\x01\x01"),
        (
            "frametype = \"binary\";",
            "Sec-WebSocket-Protocol: mqtt\r\n",
            b"\xe7\0\x01\x02",
        ),
    ] {
        let gateway = Gateway::start(&format!("options = \"direct\"; {setting}"));
        let backend = gateway.backend("direct");
        let _client = Client::open(&gateway, "direct", offer);
        let data = backend.accept().read();
        let told = [b"WS\x01", told, b"\xe0\0\x06direct"].concat();
        assert_eq!(&data[16..], told, "{setting} {offer}");
    }
}

#[test]
fn frametype_auto_sends_binary_where_the_backend_greets_with_a_binary_protocol() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("vnc");
    for (greeting, wanted) in [
        (&b"RFB 003.008\n"[..], BINARY),
        (b"SSH-2.0-dropbear\r\n", BINARY),
        (b"J\0\0\0\n8.0.35\0", BINARY),
        (b"login: ", TEXT),
    ] {
        let mut client = gateway.open("vnc");
        let mut connection = backend.accept();
        connection.give(greeting);
        assert_eq!(client.message(), (wanted, greeting.to_vec()));
        connection.give(b"more");
        assert_eq!(client.message(), (wanted, b"more".to_vec()));
        client.text("I send text");
        connection.take(11);
        connection.give(b"and text again");
        assert_eq!(client.message(), (TEXT, b"and text again".to_vec()));
    }
}
