//! Scenes of clients that arrive late, or not at all.

use std::time::{Duration, Instant};

use super::{Scene, TEXT};

/// All of them.
pub const ARRIVALS: &[Scene] = &[
    ("silent plain clients hold nobody up", |server| {
        let wait = |word: &[u8]| {
            let started = Instant::now();
            let mut client = server.client();
            client.send(TEXT, word);
            assert_eq!(client.frame(), (TEXT, word.to_vec()));
            started.elapsed()
        };
        let alone = wait(b"alone");
        let silent: Vec<_> = (0..60).map(|_| server.plain()).collect();
        let waited = wait(b"behind sixty");
        // A third of a second each would make twenty.
        let most = Duration::from_secs(15) + 60 * alone;
        assert!(waited < most, "{waited:?}, alone {alone:?}");
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
