//! Clients that do not read hold no thread, and get every byte when they do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

use crate::backend::Connection;
use crate::certificates::Files;
use crate::client::Client;
use crate::frames::{self, CLOSE, FIN, PING, PONG, TEXT};
use crate::gateway::Gateway;
use crate::process::wait_until;

/// Bytes that each client is sent: more than the sockets on their way hold.
const FLOOD: usize = 8 << 20;

/// Bytes that the socket of a client holds.
const HELD: usize = 64 << 10;

/// A line of the flood; no two lines are the same, and characters are of several bytes.
fn line(number: usize) -> String {
    format!("{number:08}: Grüße, {}\n", "€".repeat(number % 300))
}

/// The text that each client is sent, at least [`FLOOD`] bytes.
fn flood() -> String {
    let mut text = String::new();
    for number in 0.. {
        if text.len() >= FLOOD {
            break;
        }
        text.push_str(&line(number));
    }
    text
}

/// Has a backend say all of it, in writes that cut lines and characters, as long as there is a
/// client, and wait for its end.
fn say(mut connection: Connection, text: String) -> JoinHandle<()> {
    spawn(move || {
        connection.stream.set_write_timeout(None).expect("a socket");
        let mut pieces = text.as_bytes().chunks(10_007);
        if pieces.all(|piece| connection.stream.write_all(piece).is_ok()) {
            connection.stream.set_read_timeout(None).expect("a socket");
            connection.rest();
        }
    })
}

/// Has the kernel hold little for a client.
fn hold_little(socket: &TcpStream) {
    setsockopt(socket, sockopt::RcvBuf, &HELD).expect("a socket");
}

/// Clients that do not read, each with a backend that has more to say than the sockets hold.
fn deaf(gateway: &Gateway, count: usize, text: &str) -> (Vec<Client>, Vec<JoinHandle<()>>) {
    let backend = gateway.backend("flood");
    let open = |_| {
        let client = gateway.open("flood");
        hold_little(&client.stream);
        (client, say(backend.accept(), text.to_owned()))
    };
    (0..count).map(open).unzip()
}

/// Closes a client that has read everything.
fn leave(client: &mut Client) {
    client.send(&frames::close(1000));
    client.expect_close(1000);
    client.expect_end();
}

#[test]
fn clients_that_do_not_read_hold_no_thread_and_get_every_byte_later() {
    let gateway = Gateway::with("maxperip = 0; maxthreads = 4;", "park = 1;");
    gateway.backend("echo").echo();
    let idle = gateway.process.threads();
    let text = flood();
    let (mut clients, backends) = deaf(&gateway, 5, &text);
    wait_until("the threads to end", || gateway.process.threads() <= idle);
    let mut other = gateway.open("echo");
    for _ in 0..20 {
        other.text("Hello");
        assert_eq!(other.message().1, b"Hello");
    }
    for client in &mut clients {
        let got = client.bytes(text.len());
        assert!(got == text.as_bytes(), "lost or moved");
        leave(client);
    }
    for backend in backends {
        backend.join().expect("no panic");
    }
}

#[test]
fn lines_for_a_client_that_does_not_read_stay_lines() {
    let gateway = Gateway::with(
        "maxperip = 0; maxthreads = 4;",
        "park = 1; framing = \"line\";",
    );
    let text = flood();
    let (mut clients, backends) = deaf(&gateway, 2, &text);
    for client in &mut clients {
        for (number, wanted) in text.lines().enumerate() {
            // A reader that stops for longer than a write waits.
            if number % 8192 == 0 {
                std::thread::sleep(Duration::from_millis(300));
            }
            let (opcode, got) = client.message();
            assert!(opcode == TEXT && got == wanted.as_bytes(), "line {number}");
        }
        leave(client);
    }
    for backend in backends {
        backend.join().expect("no panic");
    }
}

#[test]
fn a_ping_of_a_client_that_does_not_read_is_answered_between_frames() {
    let gateway = Gateway::with("maxperip = 0; maxthreads = 4;", "park = 1;");
    let idle = gateway.process.threads();
    let text = flood();
    let backend = gateway.backend("flood");
    let mut client = gateway.open("flood");
    hold_little(&client.stream);
    let connection = backend.accept();
    let stream = connection.stream.try_clone().expect("a descriptor");
    let speaker = say(connection, text.clone());
    wait_until("the threads to end", || gateway.process.threads() <= idle);
    client.send(&frames::message(PING, b"still there?"));
    client.text("x");
    assert_eq!(Connection { stream }.take(1), b"x");
    // The ping is read. Its pong waits with the frames, and holds no thread either.
    wait_until("the threads to end", || gateway.process.threads() <= idle);
    let (mut count, mut pongs) = (0, 0);
    while count < text.len() || pongs == 0 {
        let frame = client.frame();
        match frame.opcode {
            PONG => {
                assert_eq!(frame.payload, b"still there?");
                pongs += 1;
            }
            _ => {
                let end = count + frame.payload.len();
                assert!(frame.fin && frame.payload == text.as_bytes()[count..end]);
                count = end;
            }
        }
    }
    assert_eq!(pongs, 1);
    leave(&mut client);
    speaker.join().expect("no panic");
}

#[test]
fn a_client_that_does_not_read_is_told_of_a_close_or_cut() {
    let mut gateway = Gateway::with("maxperip = 0; maxthreads = 4;", "park = 1;");
    let text = flood();
    let (mut clients, backends) = deaf(&gateway, 3, &text);
    let mut gone = clients.pop().expect("three");
    gone.send(&frames::close(1000));
    drop(gone);
    // One that has closed reads on, and gets its Close behind whole frames.
    let mut closing = clients.pop().expect("two");
    closing.send(&frames::close(3000));
    let mut count = 0;
    loop {
        let frame = closing.frame();
        if frame.opcode == CLOSE {
            assert_eq!(frame.payload, 3000_u16.to_be_bytes());
            break;
        }
        let end = count + frame.payload.len();
        assert!(
            frame.payload == text.as_bytes()[count..end],
            "lost or moved"
        );
        count = end;
    }
    closing.expect_end();
    // The last one reads nothing, and does not hold up the stop.
    gateway.process.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(gateway.process.wait().success());
    drop(clients);
    drop(backends);
}

#[test]
fn clients_with_tls_that_do_not_read_hold_no_thread_and_get_every_byte_later() {
    let files = Files::new();
    let gateway = files.gateway("maxperip = 0; maxthreads = 4;", "park = 1;");
    let backend = gateway.backend("flood");
    let idle = gateway.process.threads();
    let text = flood();
    let open = |_| {
        let client = files.open(&gateway, "flood");
        hold_little(&client.sock);
        (client, say(backend.accept(), text.clone()))
    };
    let (mut clients, backends): (Vec<_>, Vec<_>) = (0..3).map(open).unzip();
    wait_until("the threads to end", || gateway.process.threads() <= idle);
    for client in &mut clients {
        let mut got = Vec::new();
        while got.len() < text.len() {
            let mut head = [0; 2];
            client.read_exact(&mut head).expect("a frame");
            assert_eq!(head[0], FIN | TEXT);
            let mut length = [0; 8];
            let size = match head[1] {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            client
                .read_exact(&mut length[8 - size..])
                .expect("a length");
            let length = match size {
                0 => usize::from(head[1]),
                _ => u64::from_be_bytes(length) as usize,
            };
            let start = got.len();
            got.resize(start + length, 0);
            client.read_exact(&mut got[start..]).expect("a payload");
        }
        assert!(got == text.as_bytes(), "lost or moved");
        client.write_all(&frames::close(1000)).expect("it is read");
    }
    for backend in backends {
        backend.join().expect("no panic");
    }
}
