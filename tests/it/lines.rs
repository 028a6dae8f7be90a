//! Serial lines and fifos: what comes and goes on them, and whose they are.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::pty::PtyMaster;
use nix::sys::stat::Mode;
use nix::sys::termios::{self, ControlFlags};
use nix::unistd::mkfifo;

use crate::client::Client;
use crate::frames::{self, BINARY, TEXT};
use crate::gateway::Gateway;
use crate::http::{Response, ask, upgrade};
use crate::process::{Process, terminal, wait_until};

/// A gateway with one link, `line`, of a type and with these settings.
fn with_link(kind: &str, settings: &str) -> Gateway {
    Gateway::start(&format!(
        "links = ( {{ origin = \"line\"; type = \"{kind}\"; {settings} }} );"
    ))
}

/// A terminal whose line each client has for itself, with one client; and one whose line is shared,
/// with three.
fn alone_and_shared(settings: &str) -> Vec<(PtyMaster, Gateway, Vec<Client>)> {
    let ways = [("none", 1), ("all", 3)].into_iter();
    let ways = ways.filter(|(share, _)| cfg!(feature = "share") || *share == "none");
    let lines = ways.map(|(share, count)| {
        let (master, path) = terminal();
        let settings = format!("destination = \"{path}\"; share = \"{share}\"; {settings}");
        let gateway = with_link("tty", &settings);
        let clients = (0..count).map(|_| gateway.open("line")).collect();
        (master, gateway, clients)
    });
    lines.collect()
}

/// What the other end of a serial line gets.
fn take(master: &mut impl Read, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    master.read_exact(&mut bytes).unwrap();
    bytes
}

/// Ends a client, and waits until the gateway has closed the line.
fn leave(mut client: Client) {
    client.send(&frames::close(1000));
    client.expect_close(1000);
    client.expect_end();
}

#[test]
fn a_fifo_that_its_program_holds_open_is_read_as_source_and_written_as_destination() {
    let gateway = Gateway::start(
        "links = ( { origin = \"heard\"; type = \"fifo\"; source = \"DIR/held\"; share = \"none\"; },
                   { origin = \"told\"; type = \"fifo\"; destination = \"DIR/held\"; share = \"none\"; } );",
    );
    let path = gateway.path("held");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let both = OpenOptions::new().read(true).write(true).open(&path);
    let mut held = both.unwrap();
    let mut told = gateway.open("told");
    told.text("to the program");
    assert_eq!(take(&mut held, 14), b"to the program");
    held.write_all(b"to the clients").unwrap();
    let mut heard = gateway.open("heard");
    assert_eq!(heard.message(), (TEXT, b"to the clients".to_vec()));
    leave(told);
    leave(heard);
    // Whoever has named it the wrong way round is told.
    held.write_all(b"unread").unwrap();
    gateway.open("told");
    let line = |line: &str| line.contains("nobody has read yet") && line.contains("'source'");
    gateway.process.find_line(line).expect("a line");
}

#[test]
fn a_client_that_leaves_a_fifo_which_nobody_reads_is_over() {
    // A silent thread would be called out of its read long before the write gives up.
    let gateway = Gateway::start(
        "park = 1; ping = 4;
         links = ( { origin = \"line\"; type = \"fifo\"; destination = \"DIR/full\"; share = \"none\"; } );",
    );
    let path = gateway.path("full");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let both = OpenOptions::new().read(true).write(true).open(&path);
    let _held = both.unwrap();
    let mut client = gateway.open("line");
    let address = client.stream.local_addr().unwrap().to_string();
    // More than a pipe holds (pipe(7)).
    client.binary(&[b'x'; 100_000]);
    drop(client);
    let is_end = |line: &str| line.contains(&address) && line.contains(" line: 1006, ");
    assert!(gateway.process.find_line(is_end).is_some());
}

#[test]
fn writers_of_a_log_fifo_come_and_go_while_a_page_is_open() {
    let gateway = with_link("fifo", "source = \"DIR/log\"; framing = \"line\";");
    let path = gateway.path("log");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut client = gateway.open("line");
    client.text("what a page sends goes nowhere");
    for number in 0..3 {
        fs::write(&path, format!("line {number}\n")).unwrap();
        assert_eq!(client.message().1, format!("line {number}").into_bytes());
    }
    leave(client);
    // What is written before the gateway has closed the fifo is lost with it.
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK;
    let is_closed = || nix::fcntl::open(&path, flags, Mode::empty()).is_err();
    wait_until("the gateway to close the fifo", is_closed);
    // A writer that waits in its open(2) for the next page.
    let writer = std::thread::spawn(move || fs::write(path, "waited\n"));
    let mut next = gateway.open("line");
    assert_eq!(next.message().1, b"waited");
    writer.join().unwrap().unwrap();
}

#[test]
fn a_program_between_two_fifos_is_asked_and_answers() {
    let gateway = with_link(
        "fifo",
        "source = \"DIR/out\"; destination = \"DIR/in\"; framing = \"line\"; wait = 60; share = \"none\";",
    );
    for name in ["in", "out"] {
        mkfifo(&gateway.path(name), Mode::S_IRWXU).unwrap();
    }
    // It opens its output first, and waits there until the gateway reads.
    let script = "exec >out <in; while read -r line; do echo \"heard $line\"; done; echo over";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).current_dir(gateway.path(""));
    let mut program = Process::start(shell.stdin(Stdio::null()));
    let mut client = gateway.open("line");
    for word in ["one", "two"] {
        client.text(word);
        assert_eq!(client.message().1, format!("heard {word}").into_bytes());
    }
    program.signal(nix::sys::signal::Signal::SIGKILL);
    program.wait();
    client.expect_close(1000);
}

#[test]
fn a_line_that_vanishes_closes_with_1001_and_wait_brings_it_back() {
    // As udev(7) does it, in /dev/serial/by-id: a name of the adapter that leads to its device.
    let settings = "destination = \"DIR/by-id\"; framing = \"crlf\"; wait = 60;";
    let gateway = with_link("tty", settings);
    let name = gateway.path("by-id");
    for round in 0..3 {
        let mut stream = gateway.connect();
        stream
            .write_all(upgrade(&gateway, "/line", "").as_bytes())
            .unwrap();
        let (mut master, path) = terminal();
        symlink(&path, &name).unwrap();
        assert_eq!(Response::read_head(&mut stream).unwrap().status, 101);
        let mut client = gateway.open("line");
        drop(stream);
        client.text("AT");
        assert_eq!(take(&mut master, 4), b"AT\r\n");
        master
            .write_all(format!("round {round}\r\n").as_bytes())
            .unwrap();
        assert_eq!(client.message().1, format!("round {round}").into_bytes());
        fs::remove_file(&name).unwrap();
        drop(master);
        client.expect_close(1001);
        client.send(&frames::close(1001));
        client.expect_end();
    }
}

#[test]
fn an_exclusive_line_is_kept_from_other_programs_for_as_long_as_a_client_has_it() {
    let (_master, path) = terminal();
    let settings = format!("destination = \"{path}\"; exclusive = true; share = \"none\";");
    let gateway = with_link("tty", &settings);
    // Root may open such a line.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let is_open_to_others = || {
        let mut other = Command::new("sh");
        other
            .args(["-c", &format!(": <{path}")])
            .stderr(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            other.uid(65534).gid(65534);
        }
        other.status().unwrap().success()
    };
    // It stays open elsewhere, as another program may have it since before.
    let mine = File::open(&path).unwrap();
    assert!(is_open_to_others());
    let client = gateway.open("line");
    assert!(!is_open_to_others());
    let lock = mine.try_lock();
    assert!(lock.is_err(), "the lock is the gateway's");
    assert_eq!(ask(&gateway, &upgrade(&gateway, "/line", "")).status, 503);
    leave(client);
    wait_until("the line to be free", is_open_to_others);
    mine.lock().unwrap();
    assert_eq!(ask(&gateway, &upgrade(&gateway, "/line", "")).status, 503);
}

#[test]
fn hangup_sets_whether_the_line_hangs_up() {
    for (word, wanted) in [("yes", true), ("no", false)] {
        let (master, path) = terminal();
        let mut before = termios::tcgetattr(&master).unwrap();
        before.control_flags.set(ControlFlags::HUPCL, !wanted);
        termios::tcsetattr(&master, termios::SetArg::TCSANOW, &before).unwrap();
        let settings = format!("destination = \"{path}\"; hangup = \"{word}\";");
        let gateway = with_link("tty", &settings);
        let _client = gateway.open("line");
        let line = termios::tcgetattr(&master).unwrap();
        assert_eq!(line.control_flags.contains(ControlFlags::HUPCL), wanted);
    }
}

#[test]
fn the_sentences_of_a_receiver_are_a_message_each() {
    // NMEA 0183 of a GNSS receiver, and the JSON of gpsd(8), which ends its lines with LF alone.
    let sentences = [
        "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n",
        "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n",
        "{\"class\":\"TPV\",\"device\":\"/dev/ttyUSB0\",\"mode\":3,\"lat\":48.1173}\n",
    ];
    for (mut master, _gateway, mut clients) in alone_and_shared("baud = 9600; framing = \"crlf\";")
    {
        // A line comes in pieces, as its speed lets it.
        let stream = sentences.concat().repeat(20).into_bytes();
        let writer = std::thread::spawn(move || {
            for piece in stream.chunks(7) {
                master.write_all(piece).unwrap();
            }
            master
        });
        for round in 0..20 {
            for client in &mut clients {
                for sentence in sentences {
                    let (opcode, message) = client.message();
                    assert_eq!(opcode, TEXT);
                    let wanted = sentence.trim_end_matches(['\r', '\n']).as_bytes();
                    assert_eq!(message, wanted, "round {round}");
                }
            }
        }
        writer.join().unwrap();
    }
}

#[test]
fn a_modem_is_asked_in_at_commands() {
    for (mut master, _gateway, mut clients) in alone_and_shared("framing = \"crlf\";") {
        for (number, (command, answers)) in [
            ("ATZ", "\r\nOK\r\n"),
            ("AT+CSQ", "\r\n+CSQ: 21,99\r\n\r\nOK\r\n"),
            ("AT+CMGS=\"+49\"", "\r\nERROR\r\n"),
        ]
        .into_iter()
        .enumerate()
        {
            let asks = number % clients.len();
            clients[asks].text(command);
            let sent = format!("{command}\r\n");
            assert_eq!(take(&mut master, sent.len()), sent.as_bytes());
            master.write_all(answers.as_bytes()).unwrap();
            for client in &mut clients {
                // Modems begin an answer with an empty line, which is a message too.
                let lines = answers.matches("\r\n").count();
                let heard: Vec<_> = (0..lines).map(|_| client.message().1).collect();
                let wanted: Vec<_> = answers.split("\r\n").take(lines).map(Vec::from).collect();
                assert_eq!(heard, wanted);
            }
        }
    }
}

#[test]
fn binary_requests_and_answers_pass_a_line_unchanged() {
    for (mut master, _gateway, mut clients) in
        alone_and_shared("baud = 19200; frametype = \"binary\";")
    {
        // Modbus RTU: unit, function, address, count, CRC; every byte may stand in it, those that
        // end a line, stop the flow or make a signal of a terminal too.
        for unit in 0..=255_u8 {
            let request = [unit, 0x03, 0x0d, 0x0a, 0x00, 0x03, 0x11, 0x13];
            let asks = usize::from(unit) % clients.len();
            clients[asks].binary(&request);
            assert_eq!(take(&mut master, request.len()), request);
            let answer = [unit, 0x03, 0x02, 0x04, 0x1a, 0x00, 0x0d, 0x0a, unit];
            master.write_all(&answer).unwrap();
            for client in &mut clients {
                let mut heard = Vec::new();
                while heard.len() < answer.len() {
                    let (opcode, message) = client.message();
                    assert_eq!(opcode, BINARY);
                    heard.extend(message);
                }
                assert_eq!(heard, answer);
            }
        }
    }
}
