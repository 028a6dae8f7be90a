//! The turns and waits, without waiting for them.

use super::*;

/// A connection from an address, or from nowhere.
fn from(address: &str, delay: u64) -> Throttle {
    let address = (!address.is_empty()).then(|| address.parse().expect("an address"));
    Throttle::new(Duration::from_millis(delay), address)
}

/// What has happened so far, at one moment.
struct World(Tables, Instant);

impl World {
    fn new() -> World {
        World(Tables::default(), Instant::now())
    }

    fn turn(&mut self, throttle: &Throttle, user: &str) -> (u128, Standing) {
        let turn = throttle.turn(&mut self.0, user, self.1);
        let (pause, standing) = turn.expect("a turn");
        (pause.as_millis(), standing)
    }

    fn pause(&mut self, throttle: &Throttle, user: &str) -> u128 {
        self.turn(throttle, user).0
    }
}

#[test]
fn each_failure_doubles_the_wait_up_to_a_limit() {
    let throttle = from("", 250);
    let waits: Vec<u128> = (0..8)
        .map(|failures| throttle.length(failures).as_millis())
        .collect();
    assert_eq!(waits, [0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
}

#[test]
fn an_address_that_has_not_failed_checks_several_at_once() {
    let mut world = World::new();
    let turns = [(); 3].map(|()| world.turn(&from("192.0.2.1", 100), "a"));
    assert_eq!(turns.map(|turn| turn.0), [0; 3]);
    // But only the first of them goes before others.
    let standings = turns.map(|turn| turn.1);
    assert_eq!(
        standings,
        [Standing::Clean, Standing::Suspect, Standing::Suspect]
    );
}

#[test]
fn checks_of_an_address_that_has_failed_take_turns_on_whichever_connection() {
    let mut world = World::new();
    let mut first = from("192.0.2.1", 100);
    world.turn(&first, "a");
    first.note_failure(&mut world.0, "a", world.1);
    let pauses = ["a", "b", "c", "d", "e"].map(|user| world.pause(&from("192.0.2.1", 100), user));
    assert_eq!(pauses, [100, 200, 300, 400, 500]);
    first.note_failure(&mut world.0, "a", world.1);
    assert_eq!(world.pause(&from("192.0.2.1", 100), "f"), 500 + 200);
}

#[test]
fn an_address_that_has_not_failed_does_not_wait() {
    let mut world = World::new();
    for host in 1..=20 {
        for _ in 0..5 {
            let mut guesser = from(&format!("198.51.100.{host}"), 250);
            world.turn(&guesser, "owner");
            guesser.note_failure(&mut world.0, "owner", world.1);
        }
    }
    let owner = from("192.0.2.1", 250);
    assert_eq!(world.turn(&owner, "owner"), (0, Standing::Clean));
    let guesser = from("198.51.100.1", 250);
    assert_eq!(world.turn(&guesser, "other").1, Standing::Suspect);
}

#[test]
fn right_passwords_do_not_slow_down_their_address_nor_clear_it() {
    let mut world = World::new();
    let mut client = from("192.0.2.1", 100);
    for user in ["a", "b", "c"] {
        assert_eq!(world.pause(&client, user), 0);
        client.note_success(&mut world.0, user, world.1);
    }
    assert_eq!(world.pause(&client, "guessed"), 0);
    client.note_failure(&mut world.0, "guessed", world.1);
    assert_eq!(world.pause(&client, "a"), 100);
    client.note_success(&mut world.0, "a", world.1);
    world.1 += Duration::from_millis(100);
    assert_eq!(world.pause(&client, "guessed"), 100);
}

#[test]
fn addresses_of_one_network_of_ipv6_are_one_source() {
    let mut world = World::new();
    let mut guesser = from("2001:db8:0:1::1", 100);
    assert_eq!(world.pause(&guesser, "b"), 0);
    guesser.note_failure(&mut world.0, "b", world.1);
    assert_eq!(world.pause(&from("2001:db8:0:1:f::2", 100), "a"), 100);
    assert_eq!(world.pause(&from("2001:db8:0:2::1", 100), "a"), 0);
    let mapped = "::ffff:192.0.2.9".parse().expect("an address");
    assert_eq!(network(mapped).to_string(), "192.0.2.9");
}

#[test]
fn without_an_address_those_who_try_one_user_take_turns() {
    let mut world = World::new();
    let mut guesser = from("", 100);
    assert_eq!(world.pause(&guesser, "a"), 0);
    guesser.note_failure(&mut world.0, "a", world.1);
    let pauses = [(); 3].map(|()| world.pause(&from("", 100), "a"));
    assert_eq!(pauses, [100, 200, 300]);
    assert_eq!(world.pause(&from("", 100), "b"), 0);
}

#[test]
fn a_check_behind_too_many_others_is_refused_at_once() {
    let throttle = from("", 3000);
    let mut turns = Turns::NONE;
    let start = Instant::now();
    turns.fail(start);
    let seconds = Duration::from_secs;
    let mut take = |at| {
        let turn = turns.take(&throttle, start + seconds(at));
        turn.map(|turn| turn.0)
    };
    assert_eq!(take(0), Ok(seconds(3)));
    assert_eq!(take(0), Ok(seconds(6)));
    assert_eq!(take(0), Ok(seconds(9)));
    assert_eq!(take(0), Err(Error::failure("try again later")));
    assert_eq!(take(1), Ok(seconds(8 + 3)));
    assert_eq!(take(20), Ok(seconds(3)), "the owner's turn");
    assert_eq!(take(500), Ok(seconds(0)), "all is forgotten");
}

#[test]
fn the_addresses_that_failed_last_are_remembered() {
    let mut world = World::new();
    let delay = Duration::from_millis(100);
    let client =
        |number: u32| Throttle::new(delay, Some(IpAddr::V4((0x0a00_0000 + number).into())));
    for number in 0..3000 {
        world.1 += Duration::from_millis(1);
        let user = number.to_string();
        client(number).note_failure(&mut world.0, &user, world.1);
    }
    assert_eq!(world.0.by_address.0.len(), REMEMBERED);
    assert_eq!(world.pause(&client(2999), "other"), 100);
    assert_eq!(world.pause(&client(0), "other"), 0);
}

#[test]
fn a_connection_that_only_guesses_is_not_listened_to_any_more() {
    let mut throttle = from("", 0);
    for _ in 0..MAX_FAILURES {
        throttle.wait("guessed").expect("a turn");
        throttle.failed("guessed");
        throttle.passed("own");
    }
    assert!(throttle.wait("guessed").is_err());
    assert!(throttle.wait("own").is_err());
    from("", 0).wait("guessed").expect("another connection");
}
