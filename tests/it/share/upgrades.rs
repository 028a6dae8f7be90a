//! An upgrade (USR2) of a shared line: it goes over to the new process, and nobody is cut off.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::pty::PtyMaster;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::lines;
use crate::client::Client;
use crate::frames;
use crate::gateway::is_emulated;
use crate::http::upgrade;
use crate::process::{DEADLINE, figure, terminal, wait_until};
use crate::upgrades::{Installed, NO_PROGRAM};

/// A gateway with one link, `line`, that is upgraded.
fn installed(link: &str) -> Installed {
    let links = format!("links = ( {{ origin = \"line\"; framing = \"line\"; {link} }} );");
    Installed::start_for("", &links, None)
}

/// The next line that the device is sent.
fn told(device: &mut PtyMaster) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte[0] != b'\n' {
        device.read_exact(&mut byte).expect("a line");
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("text")
}

#[test]
fn a_shared_line_goes_over_and_its_clients_stay_with_the_process_before() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let (mut device, path) = terminal();
    let installed = installed(&format!(
        "type = \"tty\"; destination = \"{path}\"; exclusive = true; replay = 1000;"
    ));
    let gateway = &installed.gateway;
    let mut clients = vec![gateway.open("line")];
    device.write_all(b"line 0\n").expect("a reader");
    assert_eq!(lines(&mut clients[0], "line 0"), ["line 0"]);
    let (is_over, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let (address, request) = (gateway.address(), upgrade(gateway, "/line", ""));
        let (is_over, count) = (&is_over, &count);
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let stream = TcpStream::connect(address).expect("it listens");
                stream.set_read_timeout(Some(DEADLINE)).expect("above zero");
                // Whoever is refused gets no 101.
                drop(Client::over(stream, &request));
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        for number in 1..=2 {
            // A line that has begun goes over too.
            device.write_all(b"li").expect("a reader");
            installed.upgrade();
            let mut newcomer = gateway.open("line");
            let before: Vec<_> = (0..number).map(|number| format!("line {number}")).collect();
            assert_eq!(lines(&mut newcomer, before.last().expect("one")), before);
            device
                .write_all(format!("ne {number}\n").as_bytes())
                .expect("a reader");
            clients.push(newcomer);
            for client in &mut clients {
                let line = format!("line {number}");
                assert_eq!(lines(client, &line), [line]);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let locked = File::open(&path).expect("a device").try_lock();
    assert!(locked.is_err(), "the new process has the lock");
    // Clients of three processes speak at once: nothing is torn.
    thread::scope(|scope| {
        for (number, client) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                for line in 0..100 {
                    client.text(&format!("{number} {line} {}", "x".repeat(line)));
                }
            });
        }
        let mut next = [0; 3];
        while next != [100; 3] {
            let text = told(&mut device);
            let number: usize = text[..1].parse().expect("whose it is");
            let line = next[number];
            assert_eq!(text, format!("{number} {line} {}\n", "x".repeat(line)));
            next[number] += 1;
        }
    });
    // Whoever is left has the line to itself.
    let mut last = clients.pop().expect("three");
    for mut client in clients {
        client.send(&frames::close(1000));
        client.expect_close(1000);
    }
    device.write_all(b"still here\n").expect("a reader");
    assert_eq!(lines(&mut last, "still here"), ["still here"]);
    figure(format!(
        "{} clients came and went during two upgrades",
        count.load(Ordering::Relaxed)
    ));
}

#[test]
fn a_fifo_that_is_kept_goes_over_with_what_was_said() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let directory = crate::process::TempDir::new();
    let [source, destination] = ["source", "destination"].map(|name| directory.path().join(name));
    for path in [&source, &destination] {
        mkfifo(path, Mode::from_bits_truncate(0o666)).expect("a free name");
    }
    // Held open for both, so that the gateway finds a reader at once.
    let held = File::options().read(true).write(true).open(&destination);
    let mut reader = BufReader::new(held.expect("a fifo"));
    let installed = installed(&format!(
        "type = \"fifo\"; source = \"{}\"; destination = \"{}\"; keep = true; replay = 100;",
        source.display(),
        destination.display()
    ));
    let gateway = &installed.gateway;
    let mut log = File::options().write(true).open(&source).expect("a reader");
    log.write_all(b"before\n").expect("a reader");
    wait_until("it to be read", || {
        lines(&mut gateway.open("line"), "before") == ["before"]
    });
    installed.upgrade();
    log.write_all(b"after\n").expect("a reader");
    let mut client = gateway.open("line");
    assert_eq!(lines(&mut client, "after"), ["before", "after"]);
    client.text("hello");
    let mut line = String::new();
    reader.read_line(&mut line).expect("a line");
    assert_eq!(line, "hello\n");
}

#[test]
fn clients_of_a_line_that_the_new_process_has_no_link_for_are_closed() {
    if is_emulated(NO_PROGRAM) {
        return;
    }
    let (_device, path) = terminal();
    let installed = installed(&format!("type = \"tty\"; destination = \"{path}\";"));
    let gateway = &installed.gateway;
    let mut client = gateway.open("line");
    let file = gateway.path("ouistiti.conf");
    let text = fs::read_to_string(&file).expect("a file");
    fs::write(&file, text.replace(&path, "/dev/null")).expect("our own file");
    installed.upgrade();
    assert_eq!(
        client.expect_close(1001),
        "the new process does not take the line"
    );
    let lock = File::open(&path).expect("a device");
    wait_until("the line to be free", || lock.try_lock().is_ok());
}
