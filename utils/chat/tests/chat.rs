//! The built websocket_chat over UNIX sockets: who hears what, and who is dropped.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use servertest::{Server, is_ended, read_text};

const CHAT: &str = env!("CARGO_BIN_EXE_websocket_chat");

/// A packet shorter than this ends its message (SEQPACKET).
const PACKET: usize = 32 * 1024;

/// A client of a `-w` server that has been welcomed, and so hears what is said from now on.
fn named(server: &Server, name: &str) -> UnixStream {
    let client = server.connect_packets();
    say(&client, &format!("WSHello {name}"));
    let welcome = hear(&client);
    assert!(welcome.starts_with("WSWelcome "), "{welcome}");
    client
}

fn say(mut client: &UnixStream, text: &str) {
    assert_eq!(client.write(text.as_bytes()).unwrap(), text.len());
}

/// The next packet, as text.
fn hear(mut client: &UnixStream) -> String {
    let mut packet = vec![0; PACKET];
    let length = client.read(&mut packet).unwrap();
    packet.truncate(length);
    String::from_utf8(packet).unwrap()
}

#[test]
fn all_others_hear_a_message_and_its_speaker_does_not() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| named(&server, name));
    say(&ann, "hello all");
    assert_eq!(hear(&bob), "hello all");
    assert_eq!(hear(&cid), "hello all");
    say(&bob, "from bob");
    assert_eq!(hear(&ann), "from bob");
    assert_eq!(hear(&cid), "from bob");
}

#[test]
fn without_w_commands_are_messages() {
    let server = Server::start(CHAT, &["-q"]);
    let [ann, bob] = [server.connect_packets(), server.connect_packets()];
    // Nothing tells when a client has joined, so both speak until both have heard.
    let heard_by = |hearer: &UnixStream, speaker: &UnixStream| {
        hearer
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let end = Instant::now() + servertest::DEADLINE;
        while Instant::now() < end {
            say(speaker, "WSHello name");
            let mut packet = [0; 32];
            if let Ok(length) = { hearer }.read(&mut packet) {
                return packet[..length] == *b"WSHello name";
            }
        }
        false
    };
    assert!(heard_by(&ann, &bob));
    assert!(heard_by(&bob, &ann));
}

#[test]
fn a_taken_name_gets_three_digits_and_an_own_one_does_not() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let ann = named(&server, "ann");
    let other = server.connect_packets();
    say(&other, "WSHello ann");
    let given = hear(&other);
    assert_eq!(given, "WSWelcome ann001");
    say(&ann, "WSHello ann");
    assert_eq!(hear(&ann), "WSWelcome ann");
    drop(ann);
    say(&other, "WSWhois x");
    assert_eq!(hear(&other), "WSIs x undefined");
}

#[test]
fn long_names_are_cut_to_29_bytes_with_their_digits() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let long = "n".repeat(40);
    let clients = [server.connect_packets(), server.connect_packets()];
    let names = clients.each_ref().map(|client| {
        say(client, &format!("WSHello {long}"));
        hear(client)["WSWelcome ".len()..].to_owned()
    });
    assert_eq!(names[0], "n".repeat(29));
    assert_eq!(names[1].len(), 29);
    assert_ne!(names[0], names[1]);
}

#[test]
fn a_private_message_reaches_its_name_alone() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| named(&server, name));
    say(&ann, "WSPrivate bob a secret, as it is");
    say(&ann, "WSPrivate nobody lost");
    say(&ann, "to all");
    assert_eq!(hear(&bob), "a secret, as it is");
    assert_eq!(hear(&bob), "to all");
    assert_eq!(hear(&cid), "to all");
}

#[test]
fn a_private_message_written_a_little_wrong_is_not_for_all() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let [ann, bob, cid] = ["ann", "bob", "cid"].map(|name| named(&server, name));
    for said in ["WSPrivate  bob one", "WSPrivate\tbob two"] {
        say(&ann, said);
    }
    for said in ["WSPrivate ", "WSPrivate bob\x07 three", "WSPrivate\n"] {
        say(&ann, said);
    }
    say(&ann, "to all");
    assert_eq!([(); 3].map(|()| hear(&bob)), ["one", "two", "to all"]);
    assert_eq!(hear(&cid), "to all");
}

#[test]
fn whois_tells_undefined_for_a_plain_unix_client() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let ann = named(&server, "ann");
    say(&ann, "WSWhois ann");
    assert_eq!(hear(&ann), "WSIs ann undefined");
}

/// A PROXY v2 header without an address that tells this user.
fn header_of_user(user: &str) -> Vec<u8> {
    let length = u8::try_from(user.len()).unwrap();
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0".to_vec();
    header.extend([length + 3, 0xe3, 0, length]);
    header.extend(user.bytes());
    header
}

#[test]
fn the_user_of_the_gateway_is_the_name_of_a_client_that_asks_for_none() {
    let server = Server::start(CHAT, &["-w", "-q", "-P"]);
    let [ann, other, guest] = ["ann", "ann", ""].map(|user| {
        let client = server.connect_packets();
        let header = match user {
            "" => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(),
            user => header_of_user(user),
        };
        assert_eq!((&client).write(&header).unwrap(), header.len());
        say(
            &client,
            if user.is_empty() {
                "WSHello guest"
            } else {
                "WSHello"
            },
        );
        assert!(hear(&client).starts_with("WSWelcome "));
        client
    });
    say(&guest, "WSPrivate ann for ann");
    say(&guest, "WSPrivate ann001 for the other");
    assert_eq!(hear(&ann), "for ann");
    assert_eq!(hear(&other), "for the other");
    say(&ann, "WSHello bob");
    assert_eq!(hear(&ann), "WSWelcome bob");
    // Without a user it is a message like any other.
    say(&guest, "WSHello");
    assert_eq!(hear(&ann), "WSHello");
}

#[test]
fn whois_tells_the_address_in_the_proxy_header() {
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\xc0\0\0\x50";
    let server = Server::start(CHAT, &["-w", "-q", "-P"]);
    let ann = server.connect_packets();
    assert_eq!((&ann).write(header).unwrap(), header.len());
    say(&ann, "WSHello ann");
    assert_eq!(hear(&ann), "WSWelcome ann");
    say(&ann, "WSWhois ann");
    assert_eq!(hear(&ann), "WSIs ann 192.0.2.7");
}

#[test]
fn answers_end_like_their_question() {
    let server = Server::start(CHAT, &["-w"]);
    let client = server.connect();
    for end in ["\n", "\0", ""] {
        (&client)
            .write_all(format!("WSHello ann{end}").as_bytes())
            .unwrap();
        let answer = format!("WSWelcome ann{end}");
        assert_eq!(read_text(&client, answer.len()), answer);
    }
}

#[test]
fn messages_of_many_packets_stay_whole_and_unmixed() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let hearer = named(&server, "hearer");
    let lengths = [PACKET, PACKET - 1, 2 * PACKET + 5, 0];
    // Both before either speaks: a client hears others before it has a name, too.
    let speakers = ["ann", "bob"].map(|name| (named(&server, name), name.as_bytes()[0]));
    thread::scope(|scope| {
        for (client, letter) in speakers {
            scope.spawn(move || {
                for length in lengths {
                    send_message(&client, &vec![letter; length]);
                }
                client.shutdown(Shutdown::Write).unwrap();
                while (&client).read(&mut [0; PACKET]).unwrap_or(0) > 0 {}
            });
        }
    });
    let mut heard: Vec<(u8, usize)> = Vec::new();
    for _ in 0..2 * lengths.len() {
        let message = receive_message(&hearer);
        let letter = message.first().copied().unwrap_or(0);
        assert!(message.iter().all(|&byte| byte == letter));
        heard.push((letter, message.len()));
    }
    for letter in *b"ab" {
        let own = heard
            .iter()
            .filter(|(l, _)| *l == letter)
            .map(|(_, length)| *length);
        assert_eq!(own.collect::<Vec<_>>(), lengths[..3]);
    }
}

fn send_message(client: &UnixStream, message: &[u8]) {
    use nix::sys::socket::{MsgFlags, send};
    use std::os::fd::AsRawFd;
    let mut packets = message.chunks_exact(PACKET);
    let all = packets.by_ref().map(<[u8]>::to_vec).collect::<Vec<_>>();
    for packet in all.iter().map(Vec::as_slice).chain([packets.remainder()]) {
        send(client.as_raw_fd(), packet, MsgFlags::empty()).unwrap();
    }
}

fn receive_message(mut client: &UnixStream) -> Vec<u8> {
    let mut message = Vec::new();
    loop {
        let mut packet = vec![0; PACKET];
        let length = client.read(&mut packet).unwrap();
        message.extend_from_slice(&packet[..length]);
        if length < PACKET {
            return message;
        }
    }
}

#[test]
fn a_message_too_long_ends_its_speaker_only() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let [ann, bob] = ["ann", "bob"].map(|name| named(&server, name));
    thread::scope(|scope| {
        scope.spawn(|| while (&ann).write(&[b'x'; PACKET]).is_ok() {});
        assert!(is_ended(&ann));
    });
    say(&bob, "WSHello bob");
    assert_eq!(hear(&bob), "WSWelcome bob");
}

#[test]
fn of_200_clients_one_that_never_reads_disturbs_nobody() {
    /// Messages, and the length of each: more than the queue and the kernel hold.
    const MESSAGES: usize = 60;
    const LENGTH: usize = 30 * 1024;

    let server = Server::start(CHAT, &["-w", "-q", "-m", "200"]);
    let deaf = named(&server, "deaf");
    let speaker = named(&server, "speaker");
    let hearers: Vec<_> = (0..198)
        .map(|n| named(&server, &format!("hearer{n}")))
        .collect();
    thread::scope(|scope| {
        let handles: Vec<_> = hearers
            .iter()
            .map(|hearer| {
                let hear_all = || {
                    for number in 0..MESSAGES {
                        let message = hear(hearer);
                        assert!(message.starts_with(&format!("{number:04} ")));
                        assert_eq!(message.len(), LENGTH);
                        if number % 10 == 9 {
                            say(hearer, "WSPrivate speaker next");
                        }
                    }
                };
                let builder = thread::Builder::new().stack_size(256 * 1024);
                builder.spawn_scoped(scope, hear_all).unwrap()
            })
            .collect();
        for number in 0..MESSAGES {
            say(&speaker, &format!("{number:04} {}", "x".repeat(LENGTH - 5)));
            // Nobody here is left behind by more than a queue holds but the deaf one.
            if number % 10 == 9 {
                assert!(hearers.iter().all(|_| hear(&speaker) == "next"));
            }
        }
        for handle in handles {
            handle.join().unwrap();
        }
    });
    let line = server.wait_for_line("was dropped");
    assert!(line.contains("(deaf)"), "{line}");
    drop(deaf);
}

#[test]
fn a_slow_reader_stops_nobody_and_misses_nothing_that_fits_its_queue() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let [ann, slow, quick] = ["ann", "slow", "quick"].map(|name| named(&server, name));
    // Less than a mebibyte in all, and more than the kernel holds.
    let messages: Vec<_> = (0..30)
        .map(|number| format!("{number:04} {}", "x".repeat(30_000)))
        .collect();
    for message in &messages {
        say(&ann, message);
        assert!(hear(&quick) == *message);
    }
    for message in &messages {
        assert!(hear(&slow) == *message);
    }
    say(&slow, "still here");
    assert_eq!(hear(&ann), "still here");
}

#[test]
fn a_reader_of_ordinary_speed_is_not_dropped_for_a_fast_speaker() {
    /// Bytes of the speaker, several times as much as waits for a reader.
    const SAID: usize = 3 * 1024 * 1024;

    let server = Server::start(CHAT, &["-w", "-q"]);
    let [ann, bob] = ["ann", "bob"].map(|name| named(&server, name));
    let message = "x".repeat(PACKET - 1);
    let messages = SAID / message.len();
    thread::scope(|scope| {
        scope.spawn(|| (0..messages).for_each(|_| say(&ann, &message)));
        let start = Instant::now();
        for number in 1..=messages {
            assert_eq!(hear(&bob).len(), message.len());
            // A mebibyte a second, or a little more; what a busy machine delays is made up for.
            let due = start + Duration::from_millis(25) * number as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    });
}

#[test]
fn who_leaves_gets_what_was_said_before() {
    let server = Server::start(CHAT, &["-w", "-q"]);
    let [ann, bob] = ["ann", "bob"].map(|name| named(&server, name));
    for number in 0..100 {
        say(&ann, &format!("{number}"));
    }
    say(&ann, "WSWhois ann");
    assert_eq!(hear(&ann), "WSIs ann undefined");
    bob.shutdown(Shutdown::Write).unwrap();
    for number in 0..100 {
        assert_eq!(hear(&bob), format!("{number}"));
    }
    assert!(is_ended(&bob));
}
