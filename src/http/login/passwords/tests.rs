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
