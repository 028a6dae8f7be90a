//! Nothing lost, nothing invented: 16 MB in every way a connection can end.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::frames::{self, BINARY, Random, TEXT, message, noise};
use crate::gateway::{Gateway, is_emulated};
use crate::process::{figure, wait_until};

/// Bytes in each test, in messages of so many bytes.
const TOTAL: usize = 16 << 20;
const MESSAGE: usize = 50_000;

/// All of it as messages.
fn messages(bytes: &[u8]) -> Vec<u8> {
    let messages = bytes.chunks(MESSAGE);
    messages.flat_map(|chunk| message(BINARY, chunk)).collect()
}

/// Sends from a thread of its own, so that the other side may be slow.
fn send(client: &Client, bytes: Vec<u8>) -> std::thread::JoinHandle<()> {
    let writer = client.stream.try_clone().unwrap();
    std::thread::spawn(move || (&writer).write_all(&bytes).expect("the gateway reads"))
}

#[test]
fn row_14_16_megabytes_and_a_close_all_reach_a_slow_backend() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("slow");
    let mut client = gateway.open("slow");
    let bytes = noise(TOTAL);
    let sender = send(&client, [messages(&bytes), frames::close(1000)].concat());
    let mut connection = backend.accept();
    let (mut got, mut chunk) = (Vec::<u8>::with_capacity(TOTAL), vec![0; 100_000]);
    let start = Instant::now();
    loop {
        match connection.stream.read(&mut chunk).unwrap() {
            0 => break,
            count => got.extend(&chunk[..count]),
        }
        // The backend only has to be slower than the client.
        std::thread::sleep(Duration::from_millis(3));
    }
    assert!(got == bytes, "{} of {TOTAL} bytes", got.len());
    sender.join().unwrap();
    drop(connection);
    client.expect_close(1000);
    client.expect_end();
    figure(format!(
        "{TOTAL} bytes, then the end, in {:.1?}",
        start.elapsed()
    ));
}

#[test]
fn row_15_16_megabytes_before_a_tcp_end_without_close_are_delivered() {
    let gateway = Gateway::start("");
    let backend = gateway.backend("sink");
    let client = gateway.open("sink");
    let bytes = noise(TOTAL);
    let sender = send(&client, messages(&bytes));
    let end = std::thread::spawn(move || {
        sender.join().unwrap();
        client.stream.shutdown(Shutdown::Write).unwrap();
        client
    });
    let got = backend.accept().rest();
    assert!(got == bytes, "{} of {TOTAL} bytes", got.len());
    end.join().unwrap();
    figure(format!("{TOTAL} bytes, then the end"));
}

#[test]
fn row_16_16_megabytes_of_a_backend_that_ends_all_arrive_before_close_1000() {
    let gateway = Gateway::start("frametype = \"binary\";");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    let bytes = noise(TOTAL);
    let sent = bytes.clone();
    let sender = std::thread::spawn(move || connection.give(&sent));
    assert!(client.bytes(TOTAL) == bytes);
    client.expect_close(1000);
    client.send(&frames::close(1000));
    client.expect_end();
    sender.join().unwrap();
    figure(format!("{TOTAL} bytes, then Close 1000"));
}

#[test]
fn row_17_16_megabytes_sent_after_the_backends_last_word_are_delivered() {
    // Made before the Close: after it the gateway serves the client for 5 s at the most.
    let total = match is_emulated("16 megabytes take more than 5 s: it sends one") {
        true => TOTAL / 16,
        false => TOTAL,
    };
    let bytes = noise(total);
    let sent = [messages(&bytes), frames::close(1000)].concat();
    let gateway = Gateway::start("");
    let backend = gateway.backend("reader");
    let mut client = gateway.open("reader");
    let mut connection = backend.accept();
    connection.give(b"last words");
    connection.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.message().1, b"last words");
    client.expect_close(1000);
    let sender = send(&client, sent);
    let got = connection.rest();
    assert!(got == bytes, "{} of {total} bytes", got.len());
    sender.join().unwrap();
    client.expect_end();
    figure(format!("{total} bytes after Close 1000, then the end"));
}

/// Where `backend_process` listens, and whether it reads.
const SOCKET: &str = "OUISTITI_TEST_SOCKET";

/// Not a test: a backend in a process of its own, so that it can be killed. It sends `noise` again
/// and again, and reads nothing.
#[test]
#[ignore = "it is the backend that other tests start and kill"]
fn backend_process() {
    let Some(path) = std::env::var_os(SOCKET) else {
        return;
    };
    let listener = UnixListener::bind(path).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let bytes = noise(1 << 20);
    loop {
        stream.write_all(&bytes).unwrap();
    }
}

#[test]
fn a_backend_killed_in_the_middle_ends_with_what_it_sent_and_a_close() {
    // The kernel resets a socket that is closed with unread bytes (unix(7)).
    for (unread, code) in [(false, 1000), (true, 1011)] {
        let gateway = Gateway::start("frametype = \"binary\";");
        let path = gateway.path("run/victim");
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "loss::backend_process", "--ignored"])
            .env(SOCKET, &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the backend to listen", || path.exists());
        let mut client = gateway.open("victim");
        if unread {
            client.text("never read");
        }
        let mut got = client.bytes(4 << 20);
        // SIGKILL: the backend can neither write nor clean up.
        victim.kill().unwrap();
        victim.wait().unwrap();
        let last = loop {
            let frame = client.frame();
            match frame.opcode {
                BINARY => got.extend(frame.payload),
                _ => break frame,
            }
        };
        assert_eq!(
            (last.opcode, &last.payload[..2]),
            (frames::CLOSE, &u16::to_be_bytes(code)[..])
        );
        let bytes = noise(1 << 20);
        let right = |(number, chunk): (usize, &[u8])| {
            assert!(chunk == &bytes[..chunk.len()], "megabyte {number} differs");
        };
        got.chunks(1 << 20).enumerate().for_each(right);
        client.send(&frames::close(code));
        client.expect_end();
        figure(format!(
            "{} bytes, all of them its own, then Close {code}",
            got.len()
        ));
    }
}

/// Through the daemon, which reads several pieces at once; that each cut alone does no harm is
/// proved a million times in `framing`. The client panics at a text that is not UTF-8.
#[test]
fn texts_cut_at_random_points_never_come_as_an_invalid_text() {
    let (count, seed) = (100_000, 7);
    let gateway = Gateway::start("frametype = \"text\";");
    let backend = gateway.backend("source");
    let mut client = gateway.open("source");
    let mut connection = backend.accept();
    let mut random = Random::new(seed);
    let letters = [
        "a",
        "é",
        "€",
        "🐒",
        "\0",
        "\u{7ff}",
        "\u{ffff}",
        "\u{10ffff}",
    ];
    let mut text = String::new();
    let mut cuts = Vec::with_capacity(count);
    for _ in 0..count {
        let start = text.len();
        for _ in 0..1 + random.below(8) {
            text.push_str(letters[random.below(letters.len())]);
        }
        // The cut is anywhere in the text, mostly within a character.
        cuts.push(start + random.below(text.len() - start));
    }
    cuts.push(text.len());
    let sent = text.clone();
    let sender = std::thread::spawn(move || {
        let mut start = 0;
        for cut in cuts {
            if cut > start {
                connection.give(&sent.as_bytes()[start..cut]);
            }
            start = cut;
        }
    });
    let (mut got, mut messages) = (Vec::with_capacity(text.len()), 0);
    while got.len() < text.len() {
        let (opcode, payload) = client.message();
        assert_eq!(opcode, TEXT);
        got.extend(payload);
        messages += 1;
    }
    assert!(got == text.as_bytes());
    sender.join().unwrap();
    client.expect_close(1000);
    figure(format!(
        "{count} texts (seed {seed}) came as {messages} messages, all of them UTF-8"
    ));
}
