//! Answers of a program that checks logins (`login/answer`, `login/socket`): read the same however
//! they are cut, within limits, and as the rules of HTTP have them.
#![no_main]

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept, bind, listen, send,
    socket,
};
use ouistiti::parts::config::Target;
use ouistiti::parts::login::{Answer, Fault, Socket};
use ouistiti_fuzz::Random;

/// Longest input, in bytes: all of it must find room in a socket.
const MAX_INPUT: usize = 20_000;
/// Longest head, in bytes.
const MAX_HEAD: usize = 16 << 10;
/// Longest piece, in bytes: one read takes it.
const MAX_PIECE: usize = 1000;
/// Most pieces: each takes a kilobyte of a socket's room.
const MAX_PIECES: usize = 100;

/// A socket that keeps its packets apart, so that each is one read.
fn listener() -> &'static (OwnedFd, PathBuf) {
    static LISTENER: OnceLock<(OwnedFd, PathBuf)> = OnceLock::new();
    LISTENER.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("fuzz-answer-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        let kind = SockType::SeqPacket;
        let fd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        let address = UnixAddr::new(&path).expect("a short path");
        bind(fd.as_raw_fd(), &address).expect("a free path");
        listen(&fd, Backlog::new(4).expect("it is small")).expect("it is bound");
        (fd, path)
    })
}

/// What is read of these pieces, all of which are there already, before an end.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Answer, Fault> {
    let (listener, path) = listener();
    let deadline = Instant::now() + Duration::from_secs(60);
    let socket = Socket::connect(&Target::Unix(path.clone()), deadline).expect("it listens");
    let accepted = accept(listener.as_raw_fd()).expect("a client");
    // SAFETY: accept(2) has just returned this descriptor, and nobody else has it.
    let far = unsafe { OwnedFd::from_raw_fd(accepted) };
    for piece in pieces {
        send(far.as_raw_fd(), piece, MsgFlags::MSG_DONTWAIT).expect("there is room");
    }
    drop(far);
    Answer::read(&socket, deadline)
}

/// The same bytes in pieces, as the input says, but not more than there is room for.
fn cut(bytes: &[u8]) -> Vec<&[u8]> {
    let mut random = Random::of(bytes);
    let (mut left, mut pieces) = (bytes, Vec::new());
    while !left.is_empty() {
        let piece = match pieces.len() < MAX_PIECES {
            true => random.piece(left.len()).min(MAX_PIECE),
            false => left.len().min(MAX_PIECE),
        };
        let (piece, rest) = left.split_at(piece);
        pieces.push(piece);
        left = rest;
    }
    pieces
}

/// The rules that a head must have kept (RFC 9112, sections 4 and 5), read from its bytes again.
fn check_head(bytes: &[u8], answer: &Answer) {
    assert!((200..600).contains(&answer.status));
    let mut rest = bytes;
    loop {
        let end = rest
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .expect("a head ends");
        let (head, behind) = rest.split_at(end + 4);
        let start = String::from_utf8_lossy(head);
        let start = start.trim_start_matches(['\r', '\n']);
        let status: u16 = start[9..12].parse().expect("a number");
        assert!(start.starts_with("HTTP/1."), "{start:?}");
        rest = behind;
        if status >= 200 {
            assert_eq!(status, answer.status);
            break;
        }
        assert_ne!(status, 101);
    }
    assert!(bytes.len() - rest.len() <= MAX_HEAD);
    let of = |name| answer.all(name).collect::<Vec<_>>();
    for value in ["Remote-User", "Location", "Set-Cookie"]
        .into_iter()
        .flat_map(of)
    {
        assert!(
            !value.iter().any(|byte| b"\r\n\0".contains(byte)),
            "{value:?}"
        );
    }
    if answer.is_kept && ![204, 304].contains(&answer.status) {
        let lengths = of("Content-Length");
        let [length] = lengths[..] else {
            panic!("{lengths:?}")
        };
        let length: usize = str::from_utf8(length)
            .expect("digits")
            .parse()
            .expect("digits");
        // Not a byte is left for the next answer.
        assert!(length <= MAX_HEAD && rest.len() >= length, "{length}");
        assert!(of("Transfer-Encoding").is_empty());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = &bytes[..bytes.len().min(MAX_INPUT)];
    let whole = read(bytes.chunks(MAX_PIECE));
    let parts = read(cut(bytes).into_iter());
    match (&whole, &parts) {
        (Ok(whole), Ok(parts)) => {
            check_head(bytes, whole);
            check_head(bytes, parts);
            for name in ["Remote-User", "Location", "Set-Cookie", "Content-Length"] {
                assert!(whole.all(name).eq(parts.all(name)), "{name}");
            }
        }
        (whole, parts) => assert_eq!(whole, parts),
    }
});
