//! Tests of `backend`: terminals and pipes.

use super::*;
use std::fs;
use std::io::{Read, Write};
use std::sync::mpsc;

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
    backend
        .write_all(&[&raw[..], b"\n"].concat(), wait_on)
        .expect("down");
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
    // proc(5): this path opens the pipe itself.
    let path = format!("/proc/self/fd/{}", near.as_raw_fd());
    let backend = connect(&Target::Fifo(path.into()), LONG).expect("it is read");
    backend
        .write_all(b"Hello\n", wait_on)
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
    backend.write_all(b"Hello\n", wait_on).expect("written");
    let mut read = [0; 16];
    let mut file = fs::File::from(reader);
    assert_eq!(file.read(&mut read).expect("bytes"), 5 + 1);
    drop(file);
    assert_eq!(backend.read(&mut read).expect("the end"), Input::End);
}

/// A fifo that a program writes and nobody reads, as it stands when that waits in its open(2).
fn written_fifo(path: &Path) -> fs::File {
    mkfifo(path, Mode::S_IRWXU).expect("a fifo");
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    let reader = nix::fcntl::open(path, flags, Mode::empty()).expect("a reader");
    let writer = fs::OpenOptions::new().write(true).open(path);
    drop(reader);
    writer.expect("it has a reader")
}

#[test]
fn a_fifo_with_a_waiting_writer_is_read_to_its_end() {
    for has_written in [false, true] {
        let scratch = Scratch::new();
        let path = scratch.0.join("fifo");
        let mut writer = written_fifo(&path);
        if has_written {
            let reader = fs::OpenOptions::new().read(true).open(&path);
            writer.write_all(b"Hello").expect("buffer space");
            drop(reader);
        }
        let backend = connect(&Target::Fifo(path), LONG).expect("it has a writer");
        if !has_written {
            writer.write_all(b"Hello").expect("buffer space");
        }
        drop(writer);
        assert_eq!(read_all(&backend), b"Hello");
        let error = backend.write_all(b"x", wait_on).expect_err("no reader");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_fifo_that_nobody_has_open_is_refused() {
    let scratch = Scratch::new();
    let path = scratch.0.join("fifo");
    mkfifo(&path, Mode::S_IRWXU).expect("a fifo");
    let error = connect(&Target::Fifo(path), LONG).map(drop);
    let error = error.expect_err("nobody is there");
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENXIO));
}

/// What the next read gives.
fn next(backend: &Backend) -> Vec<u8> {
    let mut buffer = [0; 64];
    match backend.read(&mut buffer).expect("readable") {
        Input::Bytes(count) => buffer[..count].to_vec(),
        Input::End => Vec::new(),
    }
}

#[test]
fn writers_of_a_source_come_and_go() {
    let scratch = Scratch::new();
    let source = scratch.0.join("source");
    mkfifo(&source, Mode::S_IRWXU).expect("a fifo");
    let target = Target::Fifos {
        source: source.clone(),
        destination: None,
    };
    let backend = connect(&target, LONG).expect("nobody needs to be there");
    // What a client sends goes nowhere, least of all back to it.
    backend.write_all(b"lost\n", wait_on).expect("taken");
    for line in [b"one", b"two"] {
        fs::write(&source, line).expect("it has a reader");
        assert_eq!(next(&backend), line);
    }
    let held = fs::OpenOptions::new().read(true).write(true).open(&source);
    held.expect("a fifo").write_all(b"three").expect("space");
    assert_eq!(next(&backend), b"three");
    backend.cut();
    assert_eq!(next(&backend), b"");
}

#[test]
fn a_pair_of_fifos_is_read_and_written_until_its_reader_is_gone() {
    let scratch = Scratch::new();
    let paths = ["out", "in"].map(|name| scratch.0.join(name));
    for path in &paths {
        mkfifo(path, Mode::S_IRWXU).expect("a fifo");
    }
    let [source, destination] = paths;
    let target = Target::Fifos {
        source: source.clone(),
        destination: Some(destination.clone()),
    };
    let error = connect(&target, LONG).map(drop).expect_err("no program");
    assert_eq!(error.raw_os_error(), Some(nix::libc::ENXIO));
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
    let reader = nix::fcntl::open(&destination, flags, Mode::empty()).expect("a reader");
    let mut reader = fs::File::from(reader);
    let backend = connect(&target, LONG).expect("it is read");
    backend.write_all(b"ask\n", wait_on).expect("written");
    let mut read = [0; 16];
    assert_eq!(reader.read(&mut read).expect("bytes"), 4);
    fs::write(&source, "answer").expect("it has a reader");
    assert_eq!(next(&backend), b"answer");
    fs::write(&source, "last words").expect("it has a reader");
    drop(reader);
    assert_eq!(next(&backend), b"last words");
    assert_eq!(next(&backend), b"");
}

#[test]
fn a_source_that_is_no_fifo_is_refused() {
    let scratch = Scratch::new();
    let source = scratch.0.join("file");
    fs::write(&source, "text").expect("a file");
    let target = Target::Fifos {
        source,
        destination: None,
    };
    let error = connect(&target, LONG).map(drop).expect_err("no fifo");
    assert!(error.to_string().ends_with("file is not a fifo"), "{error}");
}

#[test]
fn a_line_that_is_gone_is_told_from_one_that_has_ended() {
    let (backend, master) = terminal();
    drop(master);
    let error = backend.read(&mut [0; 8]).expect_err("it is gone");
    assert!(Backend::is_gone(&error), "{error}");
    let null = Target::Tty("/dev/null".into(), SerialConfig::default());
    let null = connect(&null, LONG).expect("every machine has it");
    assert_eq!(null.read(&mut [0; 8]).expect("the end"), Input::End);
}

#[test]
fn an_exclusive_line_is_one_clients_and_free_after_it() {
    let pty = openpty(None, None).expect("a terminal");
    let path = nix::unistd::ttyname(&pty.slave).expect("a name");
    let line = SerialConfig {
        exclusive: true,
        ..SerialConfig::default()
    };
    let target = Target::Tty(path, line);
    let first = connect(&target, LONG).expect("a device");
    let error = connect(&target, LONG).map(drop).expect_err("it is taken");
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    drop(first);
    connect(&target, LONG).expect("it is free");
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
    let error = backend.write_all(&flood, || false);
    let error = error.expect_err("nobody reads");
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn cut_wakes_a_writer_to_a_terminal() {
    let (backend, _master) = terminal();
    thread::scope(|scope| {
        let flood = vec![b'x'; 1 << 20];
        let backend = &backend;
        let writer = scope.spawn(move || backend.write_all(&flood, wait_on));
        backend.cut();
        writer.join().expect("no panic").expect_err("cut");
    });
}
