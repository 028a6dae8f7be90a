//! Tests of `login`: how long a check takes tells nobody who is a user.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::http::login::credentials::Credentials;
use crate::http::login::users::Users;

/// The least rounds that SHA-crypt has, and a clear password that costs next to nothing.
const USERS: &str =
    "hashed:$5$rounds=1000$saltsalt$xWj7NRmRWGIB0gHHXlbLRiYBNDQRLp1YE33ZV25CLy/\nclear:test\n";
/// Those who try: two users and nobody.
const TRIES: [&str; 3] = ["hashed", "clear", "nobody"];
/// Checks of each.
const CHECKS: usize = 3334;
/// How far the medians may be from each other. A hash that is left out would make it 0.99.
const BOUND: f64 = 0.2;

/// Microseconds of each check with a wrong password, by turns, so that what slows one slows all.
fn times() -> [Vec<f64>; 3] {
    let users = Users::parse(Path::new("users"), USERS).expect("good users");
    let mut times = [const { Vec::new() }; 3];
    for number in 0..CHECKS * TRIES.len() {
        // Each comes after each of the others as often.
        let at = (number + number / TRIES.len()) % TRIES.len();
        let credentials = Credentials {
            user: TRIES[at].to_owned(),
            password: format!("wrong {number:05}"),
        };
        let start = Instant::now();
        assert!(users.check(&credentials).is_none());
        times[at].push(start.elapsed().as_secs_f64() * 1e6);
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    times
}

/// Welch's t of two samples without their slowest tenth, which other work on the machine made: the
/// means differ where it is above 4.5, by the usage of side-channel tests (TVLA).
fn welch(one: &[f64], other: &[f64]) -> f64 {
    let moments = |times: &[f64]| {
        let times = &times[..times.len() * 9 / 10];
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let squares = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>();
        (mean, squares / (count - 1.0) / count)
    };
    let ((mean, error), (other_mean, other_error)) = (moments(one), moments(other));
    (mean - other_mean) / (error + other_error).sqrt()
}

#[test]
fn an_unknown_user_costs_as_much_as_a_wrong_password() {
    let times = times();
    let median = |times: &[f64]| times[times.len() / 2];
    let [hashed, others @ ..] = &times;
    for (user, times) in TRIES[1..].iter().zip(others) {
        let (ratio, t) = (median(times) / median(hashed), welch(times, hashed));
        let _ = writeln!(
            std::io::stderr(),
            "figure: {CHECKS} checks of a wrong password, {:.1} us; of the user '{user}' {ratio:.4} \
             of it, t = {t:.1}",
            median(hashed)
        );
        assert!((ratio - 1.0).abs() < BOUND, "{user}: {ratio}");
    }
}
