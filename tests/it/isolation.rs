//! What one connection, one child or one line can do to the others: nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::client::Client;
use crate::daemon::Home;
use crate::faults::{NO_FAULTS, daemon_with};
use crate::frames::{self, TEXT};
use crate::gateway::{Gateway, NO_DETACHING, daemon, free_address, is_emulated};
use crate::process::{DEADLINE, figure, terminal};

/// Bytes at which faults.c makes the daemon panic when it receives them.
const POISON: &str = "as the test wants";

#[test]
fn a_panic_in_one_connection_closes_it_with_1011_and_99_others_go_on() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    let mut command = daemon_with("FAULT_HEAR", POISON);
    let gateway = Gateway::run(&mut command, free_address(), "", "");
    gateway.backend("echo").echo();
    let source = gateway.backend("source");
    // Once a client is served, the accept loop has everything open that it keeps.
    let mut served = gateway.open("echo");
    served.text("a");
    served.message();
    let base = (gateway.process.descriptors(), gateway.process.threads());
    let mut others: Vec<_> = (0..99).map(|_| gateway.open("echo")).collect();
    // A panic in the thread that reads the client, whose masking key leaves the bytes as they are,
    let mut first = gateway.open("echo");
    let head = [frames::FIN | TEXT, 0x80 | POISON.len() as u8, 0, 0, 0, 0];
    first.send(&[&head, POISON.as_bytes()].concat());
    let last = first.frame();
    assert_eq!(last.opcode, frames::CLOSE);
    assert_eq!(last.payload[..2], 1011_u16.to_be_bytes());
    // and in the one that reads the backend.
    let mut second = gateway.open("source");
    source.accept().give(POISON.as_bytes());
    while second.message_or_close() {}
    for (number, client) in others.iter_mut().enumerate() {
        client.text(&format!("number {number}"));
        assert_eq!(client.message().1, format!("number {number}").as_bytes());
    }
    let told = |client: &Client| client.stream.local_addr().unwrap().to_string();
    for client in [&first, &second] {
        let address = told(client);
        let is_end = |line: &str| line.contains(&address) && line.contains(": 1011, ");
        assert!(gateway.process.find_line(is_end).is_some(), "{address}");
    }
    let log = gateway.process.log();
    let panics = log.matches("panicked at").count();
    assert!(panics >= 2, "{log}");
    drop((others, first, second));
    crate::process::wait_until("descriptors and threads to return", || {
        gateway.process.descriptors() == base.0 && gateway.process.threads() <= base.1
    });
    figure(format!(
        "{panics} panics, 2 connections closed with 1011, 99 others went on"
    ));
}

#[test]
fn the_end_of_a_thread_that_serves_everybody_is_the_end_of_the_daemon() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    let mut command = daemon_with("FAULT_HEAR", POISON);
    let gateway = Gateway::run(&mut command, free_address(), "maxclients = 1;", "");
    gateway.backend("echo").echo();
    let _served = gateway.open("echo");
    // The farewell thread reads a client for whom there is no slot.
    let mut refused = gateway.connect();
    refused.write_all(POISON.as_bytes()).unwrap();
    let (code, log) = gateway.process.finish();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("thread 'farewell' has failed"), "{log}");
    figure("exit code 1, and a line that says which thread");
}

#[test]
fn a_kernel_without_nanosleep_is_served() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    let mut command = daemon_with("FAULT_SLEEP", "1");
    let gateway = Gateway::run(&mut command, free_address(), "", "ping = 1;");
    gateway.backend("echo").echo();
    let mut client = gateway.open("echo");
    // The watch thread pauses four times before this comes.
    assert_eq!(client.frame().opcode, frames::PING);
    let address = client.stream.local_addr().unwrap().to_string();
    drop(client);
    let log = gateway.process.log_until(&format!("{address} echo: "));
    assert!(!log.contains("panicked"), "{log}");
}

/// Descriptors of a process that a program it runs would inherit (fdinfo of proc(5)).
fn inheritable(pid: &str) -> (usize, Vec<String>) {
    const O_CLOEXEC: u32 = nix::libc::O_CLOEXEC as u32;
    let (mut count, mut left) = (0, Vec::new());
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))
        .expect("it runs")
        .flatten()
    {
        let number = entry.file_name().into_string().expect("a number");
        // The descriptor may be closed again.
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = u32::from_str_radix(flags.expect("flags").trim(), 8).expect("octal");
        count += 1;
        if flags & O_CLOEXEC == 0 {
            let target = fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap_or_default();
            left.push(format!("{number} {}", target.display()));
        }
    }
    (count, left)
}

#[test]
fn every_descriptor_is_closed_on_exec() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("");
    let (_terminal, tty) = terminal();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let conf = fs::read_to_string(home.path("conf")).unwrap();
    let links = format!(
        "links = ( {{ origin = \"tty\"; type = \"tty\"; destination = \"{}\"; }}, \
         {{ origin = \"tcp\"; type = \"tcp\"; destination = \"localhost\"; port = {}; }} ); }};",
        tty,
        tcp.local_addr().unwrap().port()
    );
    let unix = format!("unix:{}", home.path("listening").display());
    let conf = conf.replace("}; }", &format!("{links} }}"));
    let conf = conf.replace("addr = \"", &format!("addr = \"{unix}, "));
    fs::write(home.path("conf"), conf).unwrap();
    let stream = Backend::listen(&home.path("stream"));
    let packets = Backend::listen_packets(&home.path("packets"));
    let fifo = home.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _reader = fs::File::options()
        .read(true)
        .write(true)
        .open(&fifo)
        .unwrap();
    let passed = inheritable("self").1;
    let (code, errors) = home.run(&["-D"]);
    assert_eq!(code, Some(0), "{errors}");
    let pid = home.read("pid").trim().to_owned();
    let idle = inheritable(&pid).0;
    let names = ["stream", "packets", "fifo", "tty", "tcp"];
    let clients: Vec<_> = names.iter().map(|name| home.open(name)).collect();
    let half = TcpStream::connect(home.address).unwrap();
    (&half).write_all(b"GET /stream HTTP/1.1\r\n").unwrap();
    let backends = (stream.accept(), packets.accept());
    let (count, left) = inheritable(&pid);
    assert!(
        count > idle + 2 * names.len(),
        "{count} descriptors, {idle} while idle"
    );
    let own = |fd: &&String| !fd.ends_with(" /dev/null") && !passed.contains(fd);
    let left: Vec<_> = left.iter().filter(own).collect();
    assert!(left.is_empty(), "{left:?}");
    figure(format!(
        "{count} descriptors, all of them but 0 to 2 closed on exec"
    ));
    drop((clients, backends));
}

#[test]
fn a_program_of_init_d_inherits_no_descriptor_but_0_to_2() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("init_d = \"DIR/init\";");
    home.init_d();
    let list = home.path("list");
    // One more descriptor of ls is the directory that it reads.
    let script = format!(
        "exec ls -l /proc/self/fd | grep -v /proc/ >> {}",
        list.display()
    );
    home.program("init/10-list", &script);
    // The starting process has left a descriptor open, and passes a listening socket.
    let listener = TcpListener::bind(home.address).unwrap();
    let own = daemon();
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "exec 3<&0 </dev/null 9</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"",
    ]);
    command.arg(own.get_program()).args(own.get_args());
    command.args(["-D", "-f"]).arg(home.path("conf"));
    let status = command.stdin(OwnedFd::from(listener)).status().unwrap();
    assert!(status.success());
    TcpStream::connect(home.address).expect("the passed socket is served");
    let pid = home.read("pid").trim().to_owned();
    // The daemon may have used the number again for a descriptor of its own.
    let there = fs::read_link(format!("/proc/{pid}/fd/9")).unwrap_or_default();
    assert_ne!(there.to_str(), Some("/dev/null"));
    assert_eq!(home.run(&["-K"]).0, Some(0));
    let (mut found, mut times) = (Vec::new(), 0);
    for line in home.read("list").lines() {
        let Some((before, target)) = line.split_once(" -> ") else {
            times += 1;
            continue;
        };
        let number = before.rsplit(' ').next().expect("a number");
        let fd = format!("{number} {target}");
        if !["0", "1", "2"].contains(&number) {
            found.push(fd);
        }
    }
    assert_eq!(times, 2, "one list at the start, one at the end");
    assert!(found.is_empty(), "{found:?}");
    figure("9 and a listening socket passed; at start and stop: none but 0 to 2");
}

/// Texts that could end a line, move a cursor or turn the reading direction.
const NASTY: [&[u8]; 8] = [
    b"a%0d%0aforged",
    b"a%0aforged",
    b"a%1b%5b2J",
    b"a%7f",
    b"a%e2%80%ae",
    b"a%c2%9b",
    b"a%ff%fe",
    b"a%00",
];

/// Sends text that could break a log. Returns the number of requests.
fn write_nasty(connect: impl Fn() -> TcpStream) -> usize {
    let request = |target: &[u8], more: &[u8]| {
        let head = b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
        [b"GET /", target, head, more, b"\r\n\r\n"].concat()
    };
    let mut requests: Vec<_> = NASTY.iter().map(|target| request(target, b"")).collect();
    for raw in [
        &b"a\x1b[2J"[..],
        b"a\x7f",
        b"a\xe2\x80\xae",
        b"a\xff\xfe",
        b"a\rforged",
        b"a\xc2\x9b",
    ] {
        requests.push(request(b"stream", &[b"Origin: http://", raw].concat()));
        requests.push(request(raw, b""));
    }
    for request in &requests {
        let mut stream = connect();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request).unwrap();
        let _ = stream.read(&mut [0; 1024]);
        // The log takes ten lines of a kind in a second, and a line may come later than the answer.
        std::thread::sleep(Duration::from_millis(200));
    }
    requests.len()
}

/// Whether a text is fit for one line of a log.
fn is_printable(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() || ('\u{200b}'..='\u{206f}').contains(&c))
}

#[test]
fn what_clients_send_stays_one_escaped_line_in_a_file() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("");
    let (code, errors) = home.run(&["-D", "-v"]);
    assert_eq!(code, Some(0), "{errors}");
    let count = write_nasty(|| TcpStream::connect(home.address).unwrap());
    assert_eq!(home.run(&["-K"]).0, Some(0));
    let log = fs::read(home.path("log")).unwrap();
    let log = String::from_utf8(log).expect("broken bytes were replaced");
    let refused: Vec<_> = log
        .lines()
        .filter(|line| line.contains(" refused: "))
        .collect();
    assert_eq!(refused.len(), count, "{log}");
    for line in log.lines() {
        // Each line begins with its time.
        assert!(line.starts_with("20") && is_printable(line), "{line:?}");
    }
    figure(format!(
        "{count} requests, {count} lines, each begins with its time"
    ));
}

#[test]
fn what_clients_send_stays_one_escaped_line_in_syslog() {
    if is_emulated(NO_FAULTS) {
        return;
    }
    let home = Home::new("");
    let conf = fs::read_to_string(home.path("conf")).unwrap();
    let setting = format!("log-file = \"{}\";", home.path("log").display());
    fs::write(home.path("conf"), conf.replace(&setting, "")).unwrap();
    let syslog = UnixDatagram::bind(home.path("syslog")).unwrap();
    syslog.set_read_timeout(Some(DEADLINE)).unwrap();
    let lines = std::thread::spawn(move || {
        let (mut lines, mut line) = (Vec::new(), [0; 8192]);
        loop {
            let length = syslog.recv(&mut line).expect("the line of the stop comes");
            lines.push(line[..length].to_vec());
            if line[..length].ends_with(b": stopping") {
                return lines;
            }
        }
    });
    let mut command = daemon_with("FAULT_SYSLOG", home.path("syslog"));
    let status = command
        .args(["-D", "-v", "-f"])
        .arg(home.path("conf"))
        .status();
    assert!(status.unwrap().success());
    let count = write_nasty(|| TcpStream::connect(home.address).unwrap());
    assert_eq!(home.run(&["-K"]).0, Some(0));
    let lines = lines.join().unwrap();
    let lines = lines
        .into_iter()
        .map(|line| String::from_utf8(line).expect("UTF-8"));
    let lines: Vec<_> = lines.collect();
    for line in &lines {
        assert!(
            line.starts_with('<') && is_printable(line) && line.len() <= 1024,
            "{line:?}"
        );
    }
    let refused = lines
        .iter()
        .filter(|line| line.contains(" refused: "))
        .count();
    assert_eq!(refused, count, "{lines:#?}");
    figure(format!("{count} requests, {count} datagrams"));
}

#[test]
fn ten_lines_of_a_cause_in_a_second_and_then_a_count() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("");
    assert_eq!(home.run(&["-D"]).0, Some(0));
    let ask = |request: &[u8]| {
        let mut stream = TcpStream::connect(home.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request).unwrap();
        stream
    };
    let start = Instant::now();
    for _ in 0..6 {
        // Fifty at a time: one after another may be fewer than ten a second on a busy machine.
        let asking = [(); 50].map(|()| ask(b"BREW /x HTTP/1.1\r\nHost: x\r\n\r\n"));
        for mut stream in asking {
            let _ = stream.read(&mut [0; 1024]);
        }
    }
    // Another cause has lines of its own.
    let _ = ask(b"no request\r\n\r\n").read(&mut [0; 1024]);
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(home.run(&["-K"]).0, Some(0));
    let log = home.read("log");
    assert!(log.contains("refused: 400, "), "{log}");
    let (mut written, mut counted) = (0, 0);
    let counts = |line: &&str| line.contains(" refused: ") && !line.contains(" refused: 400, ");
    for line in log.lines().filter(counts) {
        match line.split_once(" more like this: ") {
            Some((before, _)) => {
                let number = before.rsplit(' ').next().expect("a number");
                counted += number.parse::<usize>().expect("a number");
            }
            None => written += 1,
        }
    }
    assert_eq!(written + counted, 300, "{log}");
    // The first second and the last may be counted in part.
    assert!(
        written as f64 <= 10.0 * (seconds + 2.0),
        "{written} in {seconds} s"
    );
    assert!(counted > 0, "{log}");
    figure(format!(
        "300 refusals in {seconds:.2} s: {written} lines, {counted} counted"
    ));
}
