//! Tests of `backend`: terminals and pipes.

use super::*;
use std::fs;
use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::Instant;

use nix::fcntl::OFlag;
use nix::pty::openpty;
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, pipe2};

use crate::config::Target;
use crate::system::beneath::tests::Scratch;

/// A pseudo-terminal's user end as a target, and its master.
fn terminal() -> (Backend, fs::File) {
    let pty = openpty(None, None).expect("a terminal");
    let path = nix::unistd::ttyname(&pty.slave).expect("a name");
    let line = SerialConfig {
        baud: 115_200,
        ..SerialConfig::default()
    };
    let backend = connect(&Target::Tty(path, line), LONG).expect("a device");
    (backend, fs::File::from(pty.master))
}

#[test]
fn a_terminal_carries_raw_bytes_both_ways() {
    let (backend, mut master) = terminal();
    let raw: Vec<u8> = (0..=255).collect();
    backend.write_all_of(&[&raw, b"\n"], wait_on).expect("down");
    let mut read = [0; 257];
    master.read_exact(&mut read).expect("the bytes");
    assert_eq!((&read[..256], read[256]), (&raw[..], b'\n'));
    master.write_all(b"\x03\x04\r\n").expect("up");
    let mut buffer = [0; 16];
    let mut all = Vec::new();
    while all.len() < 4 {
        match backend.read(&mut buffer).expect("bytes") {
            Input::Bytes(count) => all.extend_from_slice(&buffer[..count]),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(all, b"\x03\x04\r\n");
}

#[test]
fn the_end_of_the_client_wakes_the_reader_of_a_terminal() {
    let (backend, _master) = terminal();
    thread::scope(|scope| {
        let reader = scope.spawn(|| backend.read(&mut [0; 8]));
        backend.end();
        let input = reader.join().expect("no panic").expect("no error");
        assert_eq!(input, Input::End);
    });
}

#[test]
fn several_readers_of_one_terminal_share_its_bytes_and_none_fails() {
    let pty = openpty(None, None).expect("a terminal");
    let path = nix::unistd::ttyname(&pty.slave).expect("a name");
    let backends: Vec<_> = (0..8)
        .map(|_| {
            connect(&Target::Tty(path.clone(), SerialConfig::default()), LONG).expect("a device")
        })
        .collect();
    let mut master = fs::File::from(pty.master);
    let rounds = 2000;
    thread::scope(|scope| {
        let (read, reads) = mpsc::channel();
        let readers: Vec<_> = backends
            .iter()
            .map(|backend| {
                let read = read.clone();
                scope.spawn(move || {
                    let mut buffer = [0; 8];
                    while let Input::Bytes(count) = backend.read(&mut buffer)? {
                        let _ = read.send(count);
                    }
                    io::Result::Ok(())
                })
            })
            .collect();
        for _ in 0..rounds {
            master.write_all(b"x").expect("buffer space");
            let count = reads.recv_timeout(LONG).expect("somebody reads it");
            assert_eq!(count, 1);
        }
        for backend in &backends {
            backend.cut();
        }
        for reader in readers {
            reader.join().expect("no panic").expect("no error");
        }
    });
}

#[test]
fn both_pieces_reach_a_pipe_in_one_write() {
    // With O_DIRECT a read gives one write (pipe(2)).
    let (far, near) = pipe2(OFlag::O_DIRECT | OFlag::O_CLOEXEC).expect("a pipe");
    let waiting = Waiting::new(LONG).expect("a pipe");
    let backend = Backend::new(near, Kind::Pipe(waiting));
    backend
        .write_all_of(&[b"Hello", b"\n"], wait_on)
        .expect("buffer space");
    let mut read = [0; 16];
    let count = fs::File::from(far).read(&mut read).expect("bytes");
    assert_eq!(&read[..count], b"Hello\n");
}

#[test]
fn a_fifo_is_written_and_ends_with_its_reader() {
    let scratch = Scratch::new();
    let path = scratch.0.join("fifo");
    mkfifo(&path, Mode::S_IRWXU).expect("a fifo");
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    let reader = nix::fcntl::open(&path, flags, Mode::empty()).expect("a reader");
    let backend = connect(&Target::Fifo(path), LONG).expect("it is read");
    backend
        .write_all_of(&[b"Hello", b"\n"], wait_on)
        .expect("written");
    let mut read = [0; 16];
    let mut file = fs::File::from(reader);
    assert_eq!(file.read(&mut read).expect("bytes"), 5 + 1);
    drop(file);
    assert_eq!(backend.read(&mut read).expect("the end"), Input::End);
}

#[test]
fn a_fifo_with_a_waiting_writer_is_read_to_its_end() {
    let scratch = Scratch::new();
    let path = scratch.0.join("fifo");
    mkfifo(&path, Mode::S_IRWXU).expect("a fifo");
    let target = Target::Fifo(path.clone());
    let error = connect(&target, LONG)
        .map(drop)
        .expect_err("nobody is there");
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENXIO));
    // It waits in its open(2) for a reader.
    let writer = thread::spawn(move || fs::write(path, "Hello"));
    let start = Instant::now();
    let backend = loop {
        match connect(&target, LONG) {
            Ok(backend) => break backend,
            Err(error) => assert!(start.elapsed() < LONG, "{error}"),
        }
    };
    let mut all = Vec::new();
    let mut buffer = [0; 16];
    while let Input::Bytes(count) = backend.read(&mut buffer).expect("readable") {
        all.extend_from_slice(&buffer[..count]);
    }
    assert_eq!(all, b"Hello");
    writer.join().expect("no panic").expect("it is read");
    let error = backend
        .write_all_of(&[b"x", b""], wait_on)
        .expect_err("no reader");
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_fifo_that_nobody_reads_is_waited_for_only_while_asked() {
    let scratch = Scratch::new();
    let path = scratch.0.join("fifo");
    mkfifo(&path, Mode::S_IRWXU).expect("a fifo");
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    let _reader = nix::fcntl::open(&path, flags, Mode::empty()).expect("a reader");
    let backend = connect(&Target::Fifo(path), SHORT).expect("it is open");
    let flood = vec![0; 1 << 20];
    let error = backend.write_all_of(&[&flood, b""], || false);
    let error = error.expect_err("nobody reads");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn cut_wakes_a_writer_to_a_terminal() {
    let (backend, _master) = terminal();
    thread::scope(|scope| {
        let flood = vec![b'x'; 1 << 20];
        let backend = &backend;
        let writer = scope.spawn(move || backend.write_all_of(&[&flood, b""], wait_on));
        backend.cut();
        writer.join().expect("no panic").expect_err("cut");
    });
}
