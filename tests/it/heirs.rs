//! After an upgrade, silent clients go over to the new process.

use std::fs;
use std::io::Write;

use crate::frames::{FIN, TEXT, close, frame};
use crate::gateway::is_emulated;
use crate::process::{figure, wait_until};
use crate::upgrades::{Installed, NO_PROGRAM, echoes, is_alive};

/// A gateway of which one asks by a control socket, and whose clients are silent after a second.
fn asked(server: &str) -> Installed {
    let top = format!("control = \"DIR/control\"; {server}");
    Installed::start_for(&top, "park = 1;", None)
}

/// What `-S json` says.
fn state(installed: &Installed) -> String {
    let (is_well, text) = crate::state::show(&installed.gateway, &["json"]);
    assert!(is_well, "{text}");
    text
}

fn count(installed: &Installed) -> usize {
    state(installed).matches("\"peer\":").count()
}

#[test]
fn silent_clients_go_over_and_the_process_before_ends() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let installed = asked("");
    let gateway = &installed.gateway;
    gateway.packet_backend("packets").echo();
    let names = ["echo", "packets"];
    let mut clients: Vec<_> = (0..20).map(|n| gateway.open(names[n % 2])).collect();
    for client in &mut clients {
        echoes(client, "12345");
    }
    // The first process stays, since this test has started it; the second one does not.
    installed.upgrade();
    wait_until("the clients to go over", || count(&installed) == 20);
    let second = installed.pid();
    for client in &mut clients {
        echoes(client, "1234567890");
    }
    installed.upgrade();
    wait_until("the second process to end", || !is_alive(second));
    assert_eq!(count(&installed), 20);
    let json = state(&installed);
    for number in 1..=20 {
        assert!(json.contains(&format!("\"id\":{number},")), "{json}");
    }
    for client in &mut clients {
        echoes(client, "still here");
        client.send(&close(1000));
        client.expect_close(1000);
    }
    // Bytes and seconds are those of the whole connection.
    let told = |line: &str| {
        let end = line.split_once("25 bytes in, 25 bytes out, ");
        let seconds = end.and_then(|(_, rest)| rest.split('.').next()?.parse::<u32>().ok());
        line.contains(" echo: 1000, ") && seconds.is_some_and(|seconds| seconds >= 10)
    };
    assert!(gateway.process.find_line(told).is_some());
    let mut newest = gateway.open("echo");
    echoes(&mut newest, "and others");
    figure("20 clients went over twice");
}

#[test]
fn a_client_in_the_middle_of_a_message_stays_until_it_has_sent_it() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let installed = asked("");
    let gateway = &installed.gateway;
    installed.upgrade();
    let (second, mut busy) = (installed.pid(), gateway.open("echo"));
    let mut silent = gateway.open("echo");
    let message = frame(FIN | TEXT, b"two halves");
    let (one, other) = message.split_at(9);
    busy.stream.write_all(one).unwrap();
    installed.upgrade();
    wait_until("the silent one to go over", || count(&installed) == 1);
    echoes(&mut silent, "still here");
    assert!(is_alive(second));
    busy.stream.write_all(other).unwrap();
    assert_eq!(busy.message().1, b"two halves");
    wait_until("the second process to end", || !is_alive(second));
    echoes(&mut busy, "still here");
}

#[test]
fn whoever_the_new_process_has_no_place_for_stays_with_the_old_one() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let installed = asked("");
    let gateway = &installed.gateway;
    installed.upgrade();
    let second = installed.pid();
    let mut clients: Vec<_> = (0..6).map(|_| gateway.open("echo")).collect();
    let file = gateway.path("ouistiti.conf");
    let text = fs::read_to_string(&file).unwrap();
    let text = text.replace("websocket =", "maxclients = 4; websocket =");
    fs::write(&file, text).unwrap();
    installed.upgrade();
    wait_until("four to go over", || count(&installed) == 4);
    for client in &mut clients {
        echoes(client, "still here");
    }
    assert!(is_alive(second));
    for client in &mut clients {
        client.send(&close(1000));
        client.expect_close(1000);
    }
    wait_until("the second process to end", || !is_alive(second));
}
