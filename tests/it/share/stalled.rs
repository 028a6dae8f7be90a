//! Clients that do not read: they lose their place with a Close, and nobody waits for them.

use std::time::{Duration, Instant};

use super::crowds::{stalled, stalled_with};
use super::{shared, shared_with};
use crate::backend::Connection;
use crate::client::Client;
use crate::frames::{self, CLOSE, TEXT};
use crate::gateway::{Gateway, is_emulated};
use crate::process::{figure, wait_until};

/// Bytes of a long line.
const LONG: usize = 32 << 10;
/// Lines that take six seconds to read, fewer than a third of what the kernel holds for a client.
const SLOW: usize = 12;

/// A numbered line of that length.
fn long(number: usize) -> String {
    format!("{number:07} {}", "x".repeat(LONG - 8))
}

/// Has the backend say a line, and all readers read it. Returns how long that took.
fn say(connection: &mut Connection, readers: &mut [Client], line: &str) -> Duration {
    let said = format!("{line}\n");
    let start = Instant::now();
    connection.give(said.as_bytes());
    for reader in readers {
        let (opcode, payload) = reader.message();
        assert!(opcode == TEXT && payload == line.as_bytes());
    }
    start.elapsed()
}

/// How many have lost their place.
fn left_behind(gateway: &Gateway) -> usize {
    gateway.process.log().matches("bytes behind").count()
}

/// How many bytes of payload a client is sent that does not read.
fn taken(gateway: &Gateway, connection: &mut Connection, readers: &mut [Client]) -> usize {
    let client = stalled(gateway);
    wait_until("it to lose its place", || {
        say(connection, readers, &long(0));
        left_behind(gateway) == 1
    });
    drop(client);
    let end = (gateway.process)
        .find_line(|line| line.contains(" bytes out, "))
        .expect("the line of its end");
    let words: Vec<_> = end.split(' ').collect();
    let at = words.windows(2).position(|pair| pair == ["bytes", "out,"]);
    words[at.expect("bytes out") - 1].parse().expect("a number")
}

#[test]
fn what_is_said_is_there_at_once_while_50_clients_do_not_read() {
    const EACH: usize = 50;
    const ROUNDS: usize = 200;
    let (gateway, backend) = shared_with("maxclients = 200;", "share = \"all\";");
    let mut readers: Vec<_> = (0..EACH).map(|_| gateway.open("line")).collect();
    let mut connection = backend.accept();
    let taken = taken(&gateway, &mut connection, &mut readers);
    let delays = |connection: &mut Connection, readers: &mut [Client]| {
        let delays = (0..ROUNDS).map(|_| say(connection, readers, "now"));
        let mut delays: Vec<_> = delays.collect();
        delays.sort_unstable();
        [delays[ROUNDS / 2], delays[ROUNDS * 9 / 10]]
    };
    let alone = delays(&mut connection, &mut readers);
    let stuck: Vec<_> = (0..EACH).map(|_| stalled(&gateway)).collect();
    // Their sockets are full then, and each is some 160 KiB behind.
    for number in 0..taken / LONG + 5 {
        say(&mut connection, &mut readers, &long(number));
    }
    let among = delays(&mut connection, &mut readers);
    // The log counts lines of one cause, ten a second: one more is enough to see.
    wait_until("those to lose their places", || {
        say(&mut connection, &mut readers, &long(0));
        left_behind(&gateway) > 1
    });
    drop(stuck);
    let alone_again = delays(&mut connection, &mut readers);
    figure(format!(
        "{EACH} clients have a message after (p50, p90) {alone:.1?} alone, {among:.1?} among {EACH} \
         whose sockets are full, {alone_again:.1?} when these have left"
    ));
}

#[test]
fn clients_that_leave_in_the_middle_of_a_frame_disturb_nobody() {
    let (gateway, backend) = shared_with("maxclients = 200;", "share = \"all\";");
    let mut reader = [gateway.open("line")];
    let mut connection = backend.accept();
    let taken = taken(&gateway, &mut connection, &mut reader);
    for _ in 0..12 {
        let stuck: Vec<_> = (0..50).map(|_| stalled(&gateway)).collect();
        // Their sockets are full then, within a frame, and they are not far behind.
        for number in 0..taken / LONG + 2 {
            say(&mut connection, &mut reader, &long(number));
        }
        let leaving = std::thread::spawn(|| drop(stuck));
        while !leaving.is_finished() {
            say(&mut connection, &mut reader, "now");
        }
        for _ in 0..200 {
            say(&mut connection, &mut reader, "now");
        }
    }
    // The thread of the line would have ended, and with it what all others hear.
    say(&mut connection, &mut reader, "the end");
    if !is_emulated("nix panics at the emulator's answer about a socket (`system::unread`)") {
        let log = gateway.process.log();
        assert!(!log.contains("panicked at"), "{log}");
    }
}

#[test]
fn a_client_that_reads_slowly_gets_what_it_was_sent_and_then_1013() {
    if is_emulated("the emulator does not tell what a client has not read") {
        return;
    }
    let (gateway, backend) = shared("share = \"all\";");
    let mut reader = [gateway.open("line")];
    let mut connection = backend.accept();
    let mut slow = stalled_with(&gateway, 64 << 10);
    let mut said = 0;
    while left_behind(&gateway) == 0 {
        say(&mut connection, &mut reader, &long(said));
        said += 1;
    }
    let told = read_slowly(&mut slow, said);
    figure(format!("1013 after {told} of {said} lines of {LONG} bytes"));
    say(&mut connection, &mut reader, "the others go on");
}

/// Reads whole lines in order, and then Close 1013. For the first six seconds it reads so slowly that
/// the gateway cannot write anything: only the kernel sees that it reads. Returns how many came.
fn read_slowly(client: &mut Client, said: usize) -> usize {
    for number in 0..said {
        let frame = client.frame();
        if frame.opcode == CLOSE {
            let wanted = [&1013u16.to_be_bytes()[..], b"too slow"].concat();
            assert_eq!(frame.payload, wanted);
            assert!(number > 0, "it has got something before");
            client.send(&frames::close(1013));
            client.expect_end();
            return number;
        }
        assert!(frame.payload == long(number).as_bytes(), "line {number}");
        if number < SLOW {
            std::thread::sleep(Duration::from_secs(6) / SLOW as u32);
        }
    }
    panic!("it has got all, and no Close");
}
