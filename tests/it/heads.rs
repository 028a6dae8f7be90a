//! Malformed request heads in quantity: each gets its status, and nothing stays behind.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Instant;

use crate::frames::{Random, noise};
use crate::gateway::{Gateway, daemon, free_address, is_emulated};
use crate::http::upgrade;
use crate::process::{figure, wait_until};

/// Heads that are sent.
const COUNT: usize = 10_000;
/// The same to a gateway in emulation, which takes thirty times as long.
const EMULATED: usize = 1_200;

/// How many heads come before memory is measured first: the allocator has seen all kinds by then.
const WARM_UP: usize = 1_000;

/// KiB that memory may have grown by after all the others (`Pss_Anon`).
const FLAT: usize = 512;

/// A word that every head has where a client may choose, and that no answer may have.
const MARK: &str = "zqxj";

/// Statuses that are right after a random change, which may leave the head well-formed.
const ANY: &[u16] = &[101, 400, 403, 404, 405, 414, 426, 431];

/// Returns a head with the error of this number, and the statuses that are right for it. No status
/// stands for an end without an answer, because the client ends first.
fn head(gateway: &Gateway, kind: usize, random: &mut Random) -> (Vec<u8>, &'static [u16]) {
    let good = upgrade(gateway, "/echo", "");
    let with = |more: &str| upgrade(gateway, "/echo", more).into_bytes();
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "no {from:?}");
        good.replacen(from, to, 1).into_bytes()
    };
    let letters = |random: &mut Random, most: usize| {
        let count = 1 + random.below(most);
        let letter = |_| char::from(b'a' + random.below(26) as u8);
        (0..count).map(letter).collect::<String>() + MARK
    };
    let version = "Sec-WebSocket-Version: 13";
    let word = letters(random, 20);
    match kind {
        0 => (change("GET", &word.to_uppercase()), &[405]),
        1 => (
            change(version, &format!("Sec-WebSocket-Version: {word}")),
            &[426],
        ),
        2 => (
            change(
                version,
                &format!("Sec-WebSocket-Version: {}", 14 + random.below(999)),
            ),
            &[426],
        ),
        3 => (change(crate::http::KEY, &word), &[400]),
        4 => (
            change(
                "Upgrade: websocket",
                &format!("X: {word}\r\n {word}\r\nUpgrade: websocket"),
            ),
            &[400],
        ),
        5 => (change("\r\nUpgrade", "\nUpgrade"), &[400]),
        6 => (
            change("Upgrade: web", &format!("Upgrade: {word}\0web")),
            &[400],
        ),
        7 => {
            let length = if random.below(20) == 0 {
                1 << 20
            } else {
                17_000 + random.below(30_000)
            };
            (
                with(&format!("X: {}{word}\r\n", "y".repeat(length))),
                &[431],
            )
        }
        8 => {
            let count = if random.below(20) == 0 {
                10_000
            } else {
                129 + random.below(300)
            };
            (with(&format!("{word}: b\r\n").repeat(count)), &[431])
        }
        9 => {
            let twice = [
                "Host: x",
                "Sec-WebSocket-Key: x",
                version,
                "Content-Length: 0",
            ];
            let line = twice[random.below(twice.len())];
            let more = format!(
                "{line}\r\n{}",
                if line.contains("Length") {
                    "Content-Length: 1\r\n"
                } else {
                    ""
                }
            );
            (with(&more), &[400])
        }
        10 => (
            with(&format!("Origin: http://{word}\r\nOrigin: http://x\r\n")),
            &[400],
        ),
        11 => (
            change("GET /echo", &format!("GET http://{word}/{word}")),
            &[404],
        ),
        12 => (change("GET /echo", &format!("GET {word}")), &[400, 404]),
        13 => (format!("GET /{word}\r\n\r\n").into_bytes(), &[400]),
        14 => (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400]),
        15 => {
            let mut hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec();
            hello.extend(noise(random.below(500)));
            (hello, &[400])
        }
        16 => (
            with(&format!(
                "Content-Length: {}\r\n",
                1 + random.below(1 << 30)
            )),
            &[400],
        ),
        17 => (with(&format!("Transfer-Encoding: {word}\r\n")), &[400]),
        18 => (
            change(
                "/echo",
                &format!("/{word}{}", "a".repeat(16_384 + random.below(20_000))),
            ),
            &[414],
        ),
        19 => (change("HTTP/1.1", "HTTP/1.0"), &[426]),
        20 => (
            change("Upgrade: websocket", &format!("Upgrade: {word}")),
            &[426],
        ),
        21 => (with(&format!("Origin: http://{word}\r\n")), &[403]),
        22 => (change("/echo", &format!("/{word}")), &[404]),
        23 => (change("/echo", &format!("/..%2f{word}%00")), &[400, 404]),
        24 => (
            with(&format!("Sec-WebSocket-Protocol: {word}, {word}\r\n")),
            &[400],
        ),
        25 => (
            with(&format!("Sec-WebSocket-Protocol: {word}, chat\r\n")),
            &[101],
        ),
        26 => {
            let mut bytes = good.into_bytes();
            bytes.truncate(random.below(bytes.len()));
            (bytes, &[])
        }
        27 => {
            let mut bytes = good.into_bytes();
            let place = random.below(bytes.len());
            bytes[place] = random.next() as u8;
            (bytes, ANY)
        }
        28 => {
            let mut bytes = good.into_bytes();
            let place = random.below(bytes.len());
            bytes.splice(place..place, noise(1 + random.below(40)));
            (bytes, ANY)
        }
        _ => {
            let mut bytes = good.into_bytes();
            let place = random.below(bytes.len());
            let end = (place + 1 + random.below(30)).min(bytes.len());
            bytes.drain(place..end);
            (bytes, ANY)
        }
    }
}

/// Number of kinds.
const KINDS: usize = 30;

#[test]
fn malformed_heads_get_their_status_and_leave_nothing_behind() {
    // As the init scripts ask for: each heap keeps what it once grew to, and glibc the stacks of as
    // many threads as there ever were at a time, which on a slow machine are many.
    let mut command = daemon();
    command.env("MALLOC_ARENA_MAX", "1");
    let tunables = "glibc.pthread.stack_cache_size=0:glibc.malloc.tcache_count=0";
    command.env("GLIBC_TUNABLES", tunables);
    let gateway = Gateway::run(&mut command, free_address(), "", "protocols = \"chat\";");
    gateway.backend("echo").echo();
    let (threads, descriptors) = (gateway.process.threads(), gateway.process.descriptors());
    let is_emulated = is_emulated("its memory is the emulator's, and is not looked at");
    let count = if is_emulated { EMULATED } else { COUNT };
    let mut random = Random::new(11);
    let mut memory = 0;
    let mut statuses = BTreeMap::new();
    let start = Instant::now();
    for number in 0..count {
        if number == WARM_UP && !is_emulated {
            wait_until("the threads to end", || {
                gateway.process.threads() == threads
            });
            memory = gateway.process.anonymous();
        }
        let kind = number % KINDS;
        let (request, right) = head(&gateway, kind, &mut random);
        let mut stream = gateway.connect();
        // A gateway that refuses a long head early may reset what it did not read.
        let _ = stream.write_all(&request);
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
        let status = text
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest[..3].parse().ok());
        *statuses.entry(status.unwrap_or(0)).or_insert(0) += 1;
        match status {
            Some(status) => assert!(
                right.contains(&status) || right.is_empty() && status == 400,
                "kind {kind}, number {number} {shown:?} got {status}, not {right:?}"
            ),
            None => assert!(
                answer.is_empty() && (right.is_empty() || right == ANY),
                "kind {kind}, number {number} {shown:?} got {text:?}"
            ),
        }
        assert!(
            !text.to_lowercase().contains(MARK),
            "{shown:?} got {text:?}"
        );
    }
    wait_until("descriptors and threads to return", || {
        (gateway.process.descriptors(), gateway.process.threads()) == (descriptors, threads)
    });
    figure(format!(
        "{count} heads of {KINDS} kinds in {:.1?}: {statuses:?} (0 is an end without answer); \
         descriptors and threads back",
        start.elapsed()
    ));
    if !is_emulated {
        // What lies free is given back some 20 s after threads have ended.
        wait_until("memory to be given back", || {
            gateway.process.anonymous() <= memory + FLAT
        });
        let grown = gateway.process.anonymous().saturating_sub(memory);
        figure(format!("{grown} KiB more than {memory} (Pss_Anon)"));
        // Nor does nix panic at an emulator's answer (`system::unread`).
        let log = gateway.process.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}
