//! How programs end, and that nothing is left of them.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::frames::{self, CLOSE};
use crate::process::{is_root, wait_until};

use super::{all_lines, close, expect_none_left, is_alive, is_group_alive, line, running, with};

#[test]
fn starts_and_ends_leave_no_process_and_no_descriptor() {
    let Some(gateway) = running("read -r text; echo $text", "framing = \"line\";") else {
        return;
    };
    let rounds = std::env::var("OUISTITI_STARTS").ok();
    let rounds: usize = rounds.and_then(|text| text.parse().ok()).unwrap_or(300);
    let round = |number: usize| {
        let mut client = gateway.open("run");
        match number % 3 {
            // It vanishes.
            0 => {}
            1 => close(client),
            _ => {
                client.text("x");
                assert_eq!(line(&mut client), "x");
                client.expect_close(1000);
            }
        }
    };
    (0..10).for_each(round);
    expect_none_left(&gateway);
    // Clients that leave are still being waited for.
    let settled = |most: usize| wait_until("descriptors", || gateway.process.descriptors() <= most);
    wait_until("the first clients to leave", || {
        gateway.process.threads() <= 6
    });
    let before = gateway.process.descriptors();
    (0..rounds).for_each(round);
    expect_none_left(&gateway);
    settled(before);
}

#[test]
fn what_ignores_term_and_the_end_of_its_input_gets_kill() {
    let script = "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $!; wait";
    let Some(gateway) = running(script, "framing = \"line\";") else {
        return;
    };
    let mut client = gateway.open("run");
    let inner = line(&mut client);
    let start = Instant::now();
    drop(client);
    expect_none_left(&gateway);
    assert!(
        start.elapsed() >= Duration::from_secs(5),
        "it was given time"
    );
    wait_until("what it has started to end", || !is_alive(&inner));
    let cause = "sh did not end within 5 s after TERM";
    assert!(
        gateway
            .process
            .find_line(|line| line.contains(cause))
            .is_some()
    );
}

#[test]
fn a_client_that_vanishes_ends_a_program_that_writes_without_end() {
    let Some(gateway) = running("exec yes", "") else {
        return;
    };
    let mut client = gateway.open("run");
    client.message();
    drop(client);
    expect_none_left(&gateway);
}

#[test]
fn no_program_is_left_after_a_stop_nor_after_the_daemon_was_killed() {
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        // The first ends by itself at the end of its input, the second by TERM.
        let script = "read -r how; echo $$; [ $how = cat ] && exec cat; exec sleep 1000";
        let Some(mut gateway) = running(script, "framing = \"line\";") else {
            return;
        };
        let mut clients = [gateway.open("run"), gateway.open("run")];
        let pids: Vec<_> = clients
            .iter_mut()
            .zip(["cat", "sleep"])
            .map(|(client, how)| {
                client.text(how);
                line(client)
            })
            .collect();
        assert!(pids.iter().all(|pid| is_alive(pid)));
        gateway.process.signal(signal);
        if signal == Signal::SIGINT {
            for client in &mut clients {
                client.expect_close(1001);
                client.send(&frames::message(CLOSE, &1001_u16.to_be_bytes()));
            }
        }
        gateway.process.wait();
        match signal {
            Signal::SIGINT => assert!(!pids.iter().any(|pid| is_alive(pid)), "it waited for them"),
            _ => wait_until("the programs", || !pids.iter().any(|pid| is_alive(pid))),
        }
    }
}

#[test]
fn a_second_signal_to_stop_leaves_a_program_no_time() {
    let script = "trap '' TERM; echo $$; while :; do sleep 1; done";
    let Some(mut gateway) = running(script, "framing = \"line\";") else {
        return;
    };
    let mut client = gateway.open("run");
    let pid = line(&mut client);
    gateway.process.signal(Signal::SIGTERM);
    let stopping = |line: &str| line.contains("stopping");
    assert!(gateway.process.find_line(stopping).is_some());
    gateway.process.signal(Signal::SIGTERM);
    gateway.process.wait();
    wait_until("the program", || !is_alive(&pid));
}

#[test]
fn a_program_that_starts_others_without_end_comes_to_a_limit() {
    if !is_root() {
        return;
    }
    let script = "echo $$; i=0; while [ $i -lt 5000 ]; do sleep 1000 <&- >&- 2>&- & i=$((i+1)); echo $i; done";
    let bounds = "framing = \"line\"; maxprocesses = 1;";
    let Some(gateway) = with("user = \"nobody\";", script, bounds) else {
        return;
    };
    let mut client = gateway.open("run");
    let group = line(&mut client);
    let most = all_lines(&mut client).len();
    // 2 threads for each of 210 clients, 64 for the daemon, 8 for the program.
    assert!((1..=492).contains(&most), "{most}");
    drop(client);
    expect_none_left(&gateway);
    wait_until("all that it has started to end", || !is_group_alive(&group));
}
