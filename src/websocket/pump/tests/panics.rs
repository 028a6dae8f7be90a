//! Tests of `pump`: what a panic ends.

use super::*;

#[test]
fn a_panic_ends_its_own_connection_and_both_threads() {
    let ends = || {
        let pumped = greeted(Framing::Stream, NEVER, || panic!("as the test wants"));
        let mut backend = pumped.backend.try_clone().expect("a descriptor");
        let start = Instant::now();
        let (all, report) = pumped.end();
        assert_eq!((&all[..], report.code), (&b""[..], 1006));
        let waited = start.elapsed();
        assert_eq!(backend.read(&mut [0; 8]).expect("the end"), 0);
        waited
    };
    // A busy machine may need as long as one that waits, but not each time.
    let is_at_once = (0..5).any(|_| ends() < CLOSE_WAIT);
    assert!(is_at_once, "it waits");
}

#[test]
fn a_panic_in_a_direction_is_that_directions_failure() {
    assert_eq!(unless_panic(|| 1, || 2), 1);
    assert_eq!(unless_panic(|| panic!("as the test wants"), || 2), 2);
}
