//! An echo server on Rust's std, which insists on UNIX addresses; argv is the socket.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

fn main() {
    let path = std::env::args_os().nth(1).expect("a socket's path");
    let listener = UnixListener::bind(path).expect("a free path");
    loop {
        let (client, _) = listener.accept().expect("an address of the kind std knows");
        thread::spawn(move || echo(client));
    }
}

fn echo(mut client: UnixStream) {
    let mut buffer = [0; 16384];
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        let data = &buffer[..n];
        if client.write_all(data).is_err() || data == b"quit" {
            return;
        }
    }
}
