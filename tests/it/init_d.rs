//! The programs of `init_d`: which of them run, when, and who stops them.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::Home;
use crate::gateway::{NO_DETACHING, daemon, is_emulated};
use crate::process::{Process, figure, wait_until};

#[test]
fn programs_are_started_before_and_stopped_after_with_no_signal_blocked() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("init_d = \"DIR/init\";");
    home.init_d();
    for name in ["10-first", "20-second"] {
        let ran = home.path("ran");
        let script = format!(
            "{{ echo {name} $1; grep SigBlk /proc/self/status; }} >> {}",
            ran.display()
        );
        home.program(&format!("init/{name}"), &script);
    }
    fs::write(home.path("init/README"), "no program").unwrap();
    fs::set_permissions(home.path("init/README"), Permissions::from_mode(0o644)).unwrap();
    let free = "SigBlk:\t0000000000000000\n";
    let started = format!("10-first start\n{free}20-second start\n{free}");
    assert_eq!(home.run(&["-D"]).0, Some(0));
    assert_eq!(home.read("ran"), started);
    assert_eq!(home.run(&["-K"]).0, Some(0));
    let stopped = format!("20-second stop\n{free}10-first stop\n{free}");
    assert_eq!(home.read("ran"), started + &stopped);
}

#[test]
fn only_programs_that_nobody_else_may_change_are_run() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("init_d = \"DIR/init\";");
    let directory = home.init_d();
    let ran = home.path("ran");
    let names = [
        "10-good",
        "20-writable",
        "30-theirs",
        ".hidden",
        "40-edited~",
        "50-before.bak",
        "60-package.dpkg-old",
    ];
    for name in names {
        let script = format!("[ $1 = stop ] || echo {name} >> {}", ran.display());
        home.program(&format!("init/{name}"), &script);
    }
    let mode = |path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    mode(directory.join("20-writable"), 0o777);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(directory.join("30-theirs"), Some(65534), None).unwrap();
    } else {
        fs::remove_file(directory.join("30-theirs")).unwrap();
    }
    assert_eq!(home.run(&["-D"]).0, Some(0));
    assert_eq!(home.run(&["-K"]).0, Some(0));
    assert_eq!(home.read("ran"), "10-good\n");
    let log = home.read("log");
    assert!(
        log.contains("20-writable is not run: others may write to"),
        "{log}"
    );
    // `-t` also tells of a directory that others may write to, or that is missing.
    mode(directory.clone(), 0o777);
    let (code, errors) = home.run(&["-t"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("no program of init_d is run"), "{errors}");
    assert!(errors.contains("chmod go-w"), "{errors}");
    fs::remove_dir_all(directory).unwrap();
    let (code, errors) = home.run(&["-t"]);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains("no program of init_d is run"), "{errors}");
    assert_eq!(home.run(&["-D"]).0, Some(0));
    assert_eq!(home.read("ran"), "10-good\n");
    figure(format!("{} executables, one of them run", names.len()));
}

/// A program of `init_d` that notes what it does, and with `slow` waits for the file `go`.
fn noting(home: &Home, name: &str, slow: &str) {
    let (ran, go) = (home.path("ran"), home.path("go"));
    let (ran, go) = (ran.display(), go.display());
    let script = format!(
        "echo {name} $1 >> {ran}\n\
         if [ \"$1\" = {slow} ]; then until [ -e {go} ]; do sleep 0.05; done; fi\n\
         echo {name} $1 done >> {ran}"
    );
    home.program(&format!("init/{name}"), &script);
}

#[test]
fn a_second_term_ends_at_once_and_programs_are_stopped_all_the_same() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    // While the programs are stopped, and while a client is waited for.
    for stalled in [false, true] {
        let home = Home::new("init_d = \"DIR/init\";");
        home.init_d();
        noting(&home, "10-slow", "stop");
        assert_eq!(home.run(&["-D"]).0, Some(0));
        let backend = crate::backend::Backend::listen(&home.path("quiet"));
        let client = stalled.then(|| (home.open("quiet"), backend.accept()));
        let pid = Pid::from_raw(home.read("pid").trim().parse().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        match stalled {
            true => wait_until("the stop", || home.read("log").contains("stopping")),
            false => wait_until("the stop", || home.read("ran").contains("10-slow stop\n")),
        }
        let start = Instant::now();
        kill(pid, Signal::SIGTERM).unwrap();
        wait_until("the end", || !home.path("pid").exists());
        // It would give the programs 30 s.
        assert!(start.elapsed() < Duration::from_secs(30));
        wait_until("its stop", || home.read("ran").contains("10-slow stop\n"));
        assert!(!home.read("ran").contains("10-slow stop done\n"));
        fs::write(home.path("go"), "").unwrap();
        wait_until("its end", || {
            home.read("ran").contains("10-slow stop done\n")
        });
        drop(client);
    }
}

#[test]
fn a_start_that_is_told_to_stop_stops_the_programs_it_has_started() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("init_d = \"DIR/init\";");
    home.init_d();
    noting(&home, "10-quick", "never");
    noting(&home, "20-slow", "start");
    noting(&home, "30-next", "never");
    let mut process = Process::start(daemon().arg("-f").arg(home.path("conf")));
    wait_until("the start", || home.read("ran").contains("20-slow start\n"));
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait().code(), Some(0));
    assert!(!home.path("pid").exists());
    let stopped = "20-slow stop\n20-slow stop done\n10-quick stop\n10-quick stop done\n";
    let ran = home.read("ran");
    assert!(ran.ends_with(stopped) && !ran.contains("30-next"), "{ran}");
    fs::write(home.path("go"), "").unwrap();
    let ended = "20-slow start done\n";
    wait_until("the program's end", || home.read("ran").contains(ended));
}

#[test]
fn a_keeper_reads_its_one_word_and_no_more() {
    let mut command = daemon();
    command.env("OUISTITI_STOPS", "1").stdin(Stdio::piped());
    let mut keeper = command.spawn().unwrap();
    let mut pipe = keeper.stdin.take().expect("it is piped");
    let mut written = 0;
    let error = loop {
        match pipe.write(&[b'x'; 65536]) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
        assert!(written < 300 << 20, "it has read {written} bytes");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    assert!(keeper.wait().unwrap().success());
    figure(format!("{written} bytes went into its pipe"));
}
