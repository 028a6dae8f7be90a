//! Tests of `pump`: a silent direction leaves its read, and one that talks needs no timer for that.

use std::os::fd::AsFd;

use super::*;

#[test]
fn no_read_has_a_limit_of_the_kernel_and_a_silent_client_leaves_its_thread_all_the_same() {
    let clients = Arc::<Clients>::default();
    clients.watch(NEVER).expect("a thread");
    clients.workers().set_limit(8);
    let (near, mut client) = pair();
    near.set_read_timeout(Some(PATIENCE)).expect("a socket");
    client.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let (connected, mut backend) = stream_pair();
    backend.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let writer = Arc::new(FrameWriter::new(near));
    let terms = Terms {
        park: Some(Duration::from_secs(1)),
        ..terms(service(Framing::Stream), NEVER, &clients)
    };
    let (own, last): (_, Last) = (Arc::clone(&writer), Box::new(|_, _, _| ()));
    let work: Work =
        Box::new(move |place| run(own, connected, (terms, None), place, || Ok(()), last));
    let started = (clients.workers()).start(work, Place::new(clients.workers()));
    assert!(started.is_ok(), "a thread");
    for _ in 0..2 {
        client.write_all(&frame(0x81, b"Hello")).expect("space");
        let mut read = [0; 5];
        backend.read_exact(&mut read).expect("the message");
        assert_eq!(&read, b"Hello");
        let socket = writer.client().as_fd().try_clone_to_owned();
        let socket = TcpStream::from(socket.expect("a descriptor"));
        assert_eq!(socket.read_timeout().expect("a socket"), None);
        let deadline = Instant::now() + PATIENCE;
        while writer.client().traffic().threads() > 0 {
            assert!(
                Instant::now() < deadline,
                "a thread waits for who is silent"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}
