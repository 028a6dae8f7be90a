//! Answers that share a segment, and when they may not be kept for that.

mod support;

use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::libc;

use support::{Client, Server, compile, masked};

const TEXT: u8 = 0x81;

/// The library holds back no answer of a server that takes over 200 us, which every server does now
/// and then on a busy machine. The test tries this often.
const TRIES: usize = 200;

fn server(name: &str, mode: Option<&str>) -> Server {
    Server::start(true, |directory, socket| {
        let mut command = Command::new(compile(&format!("tests/servers/{name}.c"), directory, &[]));
        command.arg(socket).args(mode);
        command
    })
}

/// How many segments with data have come (tcp(7), TCP_INFO).
fn segments(client: &Client) -> u32 {
    // SAFETY: the structure is this function's, all zero is valid, and the length is its own.
    unsafe {
        let mut info: libc::tcp_info = std::mem::zeroed();
        let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
        let result = libc::getsockopt(
            client.stream.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &mut len,
        );
        assert_eq!(result, 0);
        info.tcpi_data_segs_in
    }
}

/// The servers of each way to wait.
const SERVERS: [(&str, Option<&str>); 5] = [
    ("thread", None),
    ("poll", None),
    ("select", None),
    ("epoll", None),
    ("epoll", Some("edge")),
];

#[test]
fn answers_to_messages_that_came_together_share_segments() {
    for (name, mode) in SERVERS {
        let server = server(name, mode);
        let mut client = server.client();
        let messages = masked(TEXT, &[b'x'; 50]).repeat(16);
        let least = (0..TRIES)
            .map(|_| {
                let before = segments(&client);
                client.raw(&messages);
                assert_eq!(client.payload(TEXT, 16 * 50), [b'x'; 16 * 50]);
                segments(&client) - before
            })
            .min();
        println!("figure: 16 answers of {name} {mode:?} in {least:?} segments");
        assert!(least < Some(5), "{name} {mode:?}: {least:?}");
    }
}

#[test]
fn an_answer_is_not_kept_while_the_server_waits() {
    for (name, mode) in SERVERS {
        let server = server(name, mode);
        let mut client = server.client();
        let message = masked(TEXT, b"Hello");
        let mut least = Duration::MAX;
        for _ in 0..TRIES {
            // The next message has begun, and does not go on before the answer has come.
            client.raw(&[&message[..], &message[..6]].concat());
            let sent = Instant::now();
            assert_eq!(client.frame(), (TEXT, b"Hello".to_vec()));
            least = least.min(sent.elapsed());
            client.raw(&message[6..]);
            assert_eq!(client.frame(), (TEXT, b"Hello".to_vec()));
        }
        println!("figure: an answer of {name} {mode:?} comes in {least:?}");
        // The kernel alone would keep it for 200 ms.
        assert!(
            least < Duration::from_millis(180),
            "{name} {mode:?}: {least:?}"
        );
    }
}
