//! Tests of `passwords`: in which order they are checked.

use std::sync::{Mutex, mpsc};

use super::*;
use crate::http::login::tests::{client, request};

/// Addresses that guess.
const GUESSING: u32 = 20;

#[test]
fn the_right_user_is_checked_before_all_guesses_that_wait() {
    let passwords = Passwords::checked_here("router");
    let order = Mutex::new(Vec::new());
    let try_from = |host: u32, password: &str, hold: &dyn Fn()| {
        let request = request("/", &format!("admin:{password}"), "");
        let checked = passwords.check(&request, &client(&format!("192.0.2.{host}")), |check| {
            hold();
            order.lock().expect("no panic").push(host);
            Ok((check.credentials.password == "right").then(Vec::new))
        });
        checked.is_ok()
    };
    // All of them have failed once.
    for host in 0..GUESSING {
        assert!(!try_from(host, "first", &|| ()));
    }
    order.lock().expect("no panic").clear();
    let deadline = Instant::now() + Duration::from_secs(60);
    let wait_for = |count| {
        while passwords.turns.waiting() < count {
            assert!(Instant::now() < deadline, "fewer than {count} wait");
            std::thread::yield_now();
        }
    };
    let (begin, begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let try_from = &try_from;
        // A guess is being checked until all others wait.
        scope.spawn(move || {
            try_from(0, "second", &|| {
                begin.send(()).expect("it listens");
                let _ = released.recv();
            })
        });
        begun.recv().expect("it begins");
        for host in 1..GUESSING {
            scope.spawn(move || try_from(host, "second", &|| ()));
        }
        wait_for(GUESSING as usize - 1);
        let right = scope.spawn(|| try_from(100, "right", &|| ()));
        wait_for(GUESSING as usize);
        drop(release);
        assert!(right.join().expect("no panic"));
    });
    let order = order.into_inner().expect("no panic");
    assert_eq!(order[..2], [0, 100]);
    assert_eq!(order.len(), 1 + GUESSING as usize);
}

/// A check that goes on until it is let go, of which its host is told when it begins.
struct Held {
    begin: mpsc::Sender<u32>,
    release: Mutex<mpsc::Receiver<()>>,
}

impl Held {
    fn hold(&self, host: u32) {
        self.begin.send(host).expect("it listens");
        let release = self.release.lock().expect("no panic");
        let _ = release.recv_timeout(Duration::from_secs(60));
    }
}

#[test]
fn those_who_wait_where_a_guess_has_failed_come_behind_whoever_comes_later() {
    let passwords = Passwords::checked_here("router");
    let (begin, begun) = mpsc::channel();
    let (let_go, released) = mpsc::channel();
    let release = Mutex::new(released);
    let held = Held { begin, release };
    let guess_from = |host: u32, password: &str| {
        let request = request("/", &format!("admin:{password}"), "");
        let from = client(&format!("192.0.2.{host}"));
        let checked = passwords.check(&request, &from, |_| {
            held.hold(host);
            Ok(None)
        });
        assert!(checked.is_err());
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let wait_for = |count| {
        while passwords.turns.waiting() < count {
            assert!(Instant::now() < deadline, "fewer than {count} wait");
            std::thread::yield_now();
        }
    };
    let next = || begun.recv_timeout(Duration::from_secs(60));
    std::thread::scope(|scope| {
        let guess_from = &guess_from;
        let guess = |host, password| scope.spawn(move || guess_from(host, password));
        guess(1, "first");
        assert_eq!(next(), Ok(1));
        guess(1, "second");
        wait_for(1);
        guess(2, "first");
        wait_for(2);
        let_go.send(()).expect("it listens");
        assert_eq!(next(), Ok(2));
        guess(3, "first");
        wait_for(2);
        let_go.send(()).expect("it listens");
        assert_eq!(next(), Ok(3));
        let_go.send(()).expect("it listens");
        assert_eq!(next(), Ok(1));
        let_go.send(()).expect("it listens");
    });
}
