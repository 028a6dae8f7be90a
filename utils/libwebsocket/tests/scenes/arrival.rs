//! Scenes of clients that arrive late, or not at all.

use std::time::{Duration, Instant};

use super::{Scene, TEXT};

/// All of them.
pub const ARRIVALS: &[Scene] = &[
    ("silent plain clients hold nobody up", |server| {
        let silent: Vec<_> = (0..60).map(|_| server.plain()).collect();
        let started = Instant::now();
        let mut client = server.client();
        client.send(TEXT, b"behind sixty");
        assert_eq!(client.frame(), (TEXT, b"behind sixty".to_vec()));
        // A third of a second each would make twenty.
        let waited = started.elapsed();
        assert!(waited < Duration::from_secs(9), "{waited:?}");
        drop(silent);
    }),
    ("a hand-over may come late", |server| {
        let gateway = server.plain();
        // No wait for anything: longer than the gateway ever takes.
        std::thread::sleep(Duration::from_millis(400));
        let mut other = server.client();
        other.send(TEXT, b"meanwhile");
        assert_eq!(other.frame(), (TEXT, b"meanwhile".to_vec()));
        let mut client = server.client_over(&gateway);
        client.send(TEXT, b"at last");
        assert_eq!(client.frame(), (TEXT, b"at last".to_vec()));
        client.send(0x88, &1001u16.to_be_bytes());
        assert_eq!(client.closed(), Some(1001));
    }),
];
