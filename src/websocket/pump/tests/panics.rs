//! Tests of `pump`: what a panic ends.

use super::*;

#[test]
fn a_panic_ends_its_own_connection_and_both_threads() {
    let pumped = greeted(Framing::Stream, NEVER, || panic!("as the test wants"));
    let mut backend = pumped.backend.try_clone().expect("a descriptor");
    let start = Instant::now();
    let (all, report) = pumped.end();
    assert_eq!((&all[..], report.code), (&b""[..], 1006));
    assert!(start.elapsed() < CLOSE_WAIT, "at once");
    assert_eq!(backend.read(&mut [0; 8]).expect("the end"), 0);
}

#[test]
fn a_panic_in_a_direction_is_that_directions_failure() {
    assert_eq!(unless_panic(|| 1, || 2), 1);
    assert_eq!(unless_panic(|| panic!("as the test wants"), || 2), 2);
}
