//! The hand-over of direct mode: what comes before it, and what the backend makes of it.

use crate::client::Client;
use crate::gateway::{Gateway, free_address, is_emulated};

#[test]
fn only_the_101_stands_between_the_connect_and_the_hand_over() {
    if is_emulated(crate::faults::NO_FAULTS) {
        return;
    }
    let mut command = crate::faults::daemon_with("FAULT_BETWEEN", "1");
    let settings = "options = \"direct\"; protocols = \"\";";
    let gateway = Gateway::run(&mut command, free_address(), "", settings);
    let backend = gateway.backend("direct");
    // That none is chosen is told afterwards.
    let client = Client::open(&gateway, "direct", "Sec-WebSocket-Protocol: chat\r\n");
    backend.accept();
    let told = |line: &str| line.contains("calls between connect and hand-over");
    let line = gateway.process.find_line(told).expect("a hand-over");
    assert_eq!(line, "1 calls between connect and hand-over");
    drop(client);
}

#[test]
fn a_backend_that_answers_no_hand_over_is_warned_of_and_the_end_of_one_that_does_is_logged() {
    let gateway = Gateway::start("options = \"direct\";");
    let backend = gateway.backend("direct");
    let log = |text: &str| gateway.process.find_line(|line| line.contains(text));
    let _client = gateway.open("direct");
    let mut without = backend.accept();
    // The data is the client's address. Its descriptor is lost: this read does not ask for it.
    assert_eq!(without.take(16).len(), 16);
    assert!(log("has not answered the hand-over").is_some());
    let client = gateway.open("direct");
    let address = client.stream.local_addr().unwrap();
    let mut with = backend.accept();
    with.take(16);
    with.give(b"!");
    drop(with);
    let over = format!("{address} direct: over, ");
    assert!(log(&over).is_some());
}

#[test]
fn a_backend_that_sends_the_hand_over_back_is_warned_of() {
    let gateway = Gateway::start("options = \"direct\";");
    let backend = gateway.backend("direct");
    let _client = gateway.open("direct");
    let mut without = backend.accept();
    let address = without.take(16);
    without.give(&address);
    let told = |line: &str| line.contains("has not answered the hand-over");
    assert!(gateway.process.find_line(told).is_some());
}
