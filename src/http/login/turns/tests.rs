//! Tests of `turns`: whose check begins next.

use super::*;
use std::time::Duration;

fn ip(number: u32) -> Option<IpAddr> {
    Some(IpAddr::V4(number.into()))
}

/// Runs all that wait, one at a time; whose they were, in that order.
fn run(queue: &mut Queue) -> Vec<Option<IpAddr>> {
    let mut order = Vec::new();
    while let Some(number) = queue.next() {
        queue.begin(number);
        order.push(queue.running[0].network);
        queue.leave(number);
    }
    order
}

#[test]
fn an_address_has_its_turns_and_all_have_theirs() {
    let turns = Turns::new(32, 2);
    let now = Instant::now();
    let own: Vec<_> = (0..2).map(|_| turns.take(ip(1), false, now)).collect();
    assert!(own.iter().all(Option::is_some));
    assert!(turns.take(ip(1), false, now).is_none());
    let others: Vec<_> = (2..40)
        .filter_map(|number| turns.take(ip(number), false, now))
        .collect();
    assert_eq!(others.len(), 30);
    drop(others);
    drop(own);
    assert!(turns.take(ip(1), false, now).is_some());
    assert!(turns.queue().running.is_empty() && turns.queue().waiting.is_empty());
}

#[test]
fn those_who_have_failed_leave_half_of_the_turns() {
    let turns = Turns::new(32, 1);
    let now = Instant::now();
    let suspects: Vec<_> = (0..40)
        .filter_map(|number| turns.take(ip(number), true, now))
        .collect();
    assert_eq!(suspects.len(), 16);
    assert!(turns.take(ip(100), false, now).is_some());
    assert!(turns.take(None, false, now).is_some());
}

#[test]
fn whoever_has_not_failed_comes_before_all_that_have() {
    let mut queue = Queue::new(1, 1);
    let running = queue.enter(ip(0), true);
    queue.begin(running);
    for _ in 0..3 {
        for number in 0..20 {
            queue.enter(ip(number), true);
        }
    }
    queue.enter(ip(100), false);
    assert_eq!(queue.next(), None, "one is running");
    queue.leave(running);
    let order = run(&mut queue);
    assert_eq!(order[0], ip(100));
    assert_eq!(order.len(), 61);
}

#[test]
fn turns_go_round_the_addresses() {
    for is_suspect in [false, true] {
        let mut queue = Queue::new(1, 1);
        for number in [1, 1, 1, 1, 2, 2, 3] {
            queue.enter(ip(number), is_suspect);
        }
        let order = [1, 2, 3, 1, 2, 1, 1].map(ip);
        assert_eq!(run(&mut queue), order);
    }
}

#[test]
fn a_failure_puts_those_of_the_same_address_behind_others() {
    let mut queue = Queue::new(1, 1);
    let first = queue.enter(ip(1), false);
    queue.begin(first);
    for number in [1, 1, 2, 2] {
        queue.enter(ip(number), false);
    }
    queue.suspect(first);
    queue.leave(first);
    assert_eq!(run(&mut queue), [2, 2, 1, 1].map(ip));
}

#[test]
fn a_turn_that_ends_wakes_the_next() {
    let turns = Turns::new(1, 1);
    let start = Instant::now();
    let minute = Duration::from_secs(60);
    let first = turns.take(ip(1), false, start + minute);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| turns.take(ip(1), false, start + minute).is_some());
        while turns.waiting() == 0 {
            assert!(start.elapsed() < minute, "nobody waits");
            std::thread::yield_now();
        }
        drop(first);
        assert!(waiting.join().expect("no panic"));
    });
    // At its deadline it would have looked by itself.
    assert!(start.elapsed() < minute);
}
