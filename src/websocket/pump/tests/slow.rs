//! Tests of `pump`: a slow backend gets all, although the client has closed.

use std::net::TcpListener;

use super::super::ending::LOOK;
use super::*;
use crate::backend::tests::connect;
use crate::config::Target;

/// A TCP backend with a small receive buffer, and its own end.
fn tcp_pair() -> (Backend, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    setsockopt(&listener, sockopt::RcvBuf, &4096).expect("a socket");
    let port = listener.local_addr().expect("bound").port();
    let target = Target::Tcp("127.0.0.1".into(), port);
    let connected = connect(&target, PATIENCE).expect("it listens");
    (connected, listener.accept().expect("it came").0)
}

/// A backend that is silent for longer than the Close waits for it, and then reads everything and
/// reports its progress.
fn a_slow_backend_gets_all<B: Read + Write>(ends: (Backend, B)) {
    let mut pumped = between(ends, service(Framing::Stream), NEVER, || Ok(()));
    let message = vec![b'x'; 120];
    let mut sent = frame(0x82, &message).repeat(200);
    sent.extend(close(1000));
    pumped.client.write_all(&sent).expect("buffer space");
    let mut echo = [0; 4];
    pumped.client.read_exact(&mut echo).expect("a Close");
    assert_eq!(&echo, b"\x88\x02\x03\xe8");
    let mut client = pumped.client.try_clone().expect("a descriptor");
    client.shutdown(Shutdown::Both).expect("a socket");
    assert_eq!(client.read(&mut echo).expect("the end"), 0);
    let (mut read, all) = (0, 200 * message.len());
    let mut buffer = [0; 6000];
    loop {
        let told = pumped.backend.write_all(b"progress\n");
        assert!(told.is_ok() || read == all, "{told:?} after {read} bytes");
        match pumped.backend.read(&mut buffer).expect("no reset") {
            0 => break,
            count => read += count,
        }
        thread::sleep(LOOK / 2);
    }
    assert_eq!(read, all);
    pumped.end();
}

#[test]
fn a_slow_tcp_backend_that_writes_after_the_close_gets_all() {
    a_slow_backend_gets_all(tcp_pair());
}

#[test]
fn a_slow_unix_backend_that_writes_after_the_close_gets_all() {
    a_slow_backend_gets_all(stream_pair());
}
