//! What a running daemon may still do: nothing that it does not need.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::backend::Backend;
use crate::daemon::Home;
use crate::gateway::{NO_DETACHING, is_emulated};
#[cfg(feature = "landlock")]
use crate::process::terminal;
use crate::process::{DEADLINE, figure, is_root, wait_until};

/// The five sets of capabilities, of every thread (proc_pid_status(5)).
fn capabilities(pid: &str) -> Vec<String> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .expect("it runs")
        .flatten()
    {
        let status = fs::read_to_string(task.path().join("status")).expect("a thread of it");
        let mut lines = status.lines().filter(|line| line.starts_with("Cap"));
        let of = |set: &str| {
            let line = lines.next().expect("five sets");
            line.strip_prefix(set)
                .expect(set)
                .trim_start_matches(':')
                .trim()
                .to_owned()
        };
        let sets: Vec<String> = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
            .map(of)
            .into();
        found.push(sets.join(" "));
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    }
    found
}

#[test]
fn no_capability_is_left_to_any_thread_with_and_without_a_user() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    if !is_root() {
        return;
    }
    for user in ["", "user = \"nobody\";"] {
        let home = Home::new(user);
        let _backend = Backend::listen(&home.path("echo"));
        let (code, errors) = home.run(&["-D"]);
        assert_eq!(code, Some(0), "{errors}");
        // A client's threads as well.
        let client = user.is_empty().then(|| home.open("echo"));
        let none = ["0000000000000000"; 5].join(" ");
        let found = capabilities(home.read("pid").trim());
        assert!(found.len() >= 3 + 2 * usize::from(client.is_some()));
        assert!(found.iter().all(|sets| *sets == none), "{found:#?}");
        figure(format!(
            "{user:?}: {} threads, inheritable, permitted, effective, bounding, ambient: {none}",
            found.len()
        ));
    }
}

#[test]
fn root_without_capabilities_reaches_no_socket_that_it_may_not_write_to_and_says_so() {
    if is_emulated(NO_DETACHING) || !is_root() {
        return;
    }
    let home = Home::new("");
    let (code, errors) = home.run(&["-D"]);
    assert_eq!(code, Some(0), "{errors}");
    let backend = Backend::listen(&home.path("private"));
    let nobody = nix::unistd::User::from_name("nobody")
        .unwrap()
        .expect("Debian has it");
    nix::unistd::chown(&home.path("private"), Some(nobody.uid), Some(nobody.gid)).unwrap();
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(home.path("private"), mode(0o755)).unwrap();
    let ask = || {
        let request = format!(
            "GET /private HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            crate::http::KEY
        );
        let mut stream = TcpStream::connect(home.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[9..]).into_owned()
    };
    assert_eq!(ask(), "503");
    let log = home.read("log");
    assert!(
        log.contains("private: ") && log.contains("must be allowed to write"),
        "{log}"
    );
    fs::set_permissions(home.path("private"), mode(0o666)).unwrap();
    assert_eq!(ask(), "101");
    drop(backend);
}

#[test]
fn programs_of_init_d_are_stopped_with_the_rights_they_were_started_with() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    if !is_root() {
        return;
    }
    let home = Home::new("user = \"nobody\"; init_d = \"DIR/init\";");
    home.init_d();
    let ran = home.path("ran");
    let script = format!(
        "{{ id -u; grep -E 'CapEff|NoNewPrivs' /proc/self/status; }} >> {}",
        ran.display()
    );
    home.program("init/10-who", &script);
    assert_eq!(home.run(&["-D"]).0, Some(0));
    let started = home.read("ran");
    assert!(started.starts_with("0\n"), "{started}");
    // A signal for everybody, as ^C and a service manager send it, is not for the keeper.
    let pid = home.read("pid").trim().to_owned();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let keeper = Pid::from_raw(children.trim().parse().expect("one child"));
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        kill(keeper, signal).unwrap();
    }
    assert_eq!(home.run(&["-K"]).0, Some(0));
    assert_eq!(home.read("ran"), started.repeat(2));
    let log = home.read("log");
    assert!(
        log.contains("10-who start") && log.contains("10-who stop"),
        "{log}"
    );
}

#[test]
fn the_keeper_of_a_killed_daemon_stops_nothing_and_ends() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let home = Home::new("init_d = \"DIR/init\";");
    home.init_d();
    home.program(
        "init/10-note",
        &format!("echo $1 >> {}", home.path("ran").display()),
    );
    assert_eq!(home.run(&["-D"]).0, Some(0));
    let pid = home.read("pid").trim().to_owned();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let keeper = format!("/proc/{}", children.trim());
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    wait_until("the keeper to end", || {
        // Whoever adopts it may be slow to collect it.
        fs::read_to_string(format!("{keeper}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
    assert_eq!(home.read("ran"), "start\n");
}

/// Asks for a file: the status line's number.
#[cfg(feature = "landlock")]
fn get(home: &Home, name: &str) -> String {
    let mut stream = TcpStream::connect(home.address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(
            format!("GET /{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer[9..12].to_owned()
}

/// Sends HUP and waits until the log has said this.
#[cfg(feature = "landlock")]
fn reload(home: &Home, log: &str, said: &str) {
    let pid = home.read("pid").trim().parse().unwrap();
    let before = home.read(log).matches(said).count();
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
    wait_until(said, || home.read(log).matches(said).count() > before);
}

/// A home that serves files, and links to a terminal and to a name of a host.
#[cfg(feature = "landlock")]
fn home_with_links(landlock: bool, tty: &str, port: u16) -> Home {
    let home = Home::new(&format!("landlock = {landlock};"));
    let links = format!(
        "links = ( {{ origin = \"tty\"; type = \"tty\"; destination = \"{tty}\"; baud = 9600; }}, \
         {{ origin = \"tcp\"; type = \"tcp\"; destination = \"localhost\"; port = {port}; }} ); }}; \
         document = {{ docroot = \"{}\"; }}; }}",
        home.path("www").display()
    );
    let conf = fs::read_to_string(home.path("conf")).unwrap();
    fs::write(home.path("conf"), conf.replace("}; }", &links)).unwrap();
    fs::create_dir(home.path("www")).unwrap();
    fs::write(home.path("www/page"), "page").unwrap();
    home
}

/// Rewrites the configuration as editors do, by renaming.
#[cfg(feature = "landlock")]
fn rewrite(home: &Home, from: &str, to: &str) {
    let conf = fs::read_to_string(home.path("conf")).unwrap();
    assert!(conf.contains(from), "{conf}");
    fs::write(home.path("new"), conf.replace(from, to)).unwrap();
    fs::rename(home.path("new"), home.path("conf")).unwrap();
}

#[cfg(feature = "landlock")]
#[test]
fn landlock_keeps_the_daemon_to_the_files_of_the_configuration() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let outside = crate::process::TempDir::new();
    fs::write(outside.path().join("page"), "page").unwrap();
    for landlock in [true, false] {
        let (_terminal, tty) = terminal();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let home = home_with_links(landlock, &tty, tcp.local_addr().unwrap().port());
        let _stream = Backend::listen(&home.path("stream"));
        let fifo = home.path("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _reader = fs::File::options()
            .read(true)
            .write(true)
            .open(&fifo)
            .unwrap();
        let (code, errors) = home.run(&["-D"]);
        assert_eq!(code, Some(0), "{errors}");
        if home.read("log").contains("landlock has no effect") {
            figure("NOT RUN: this kernel has no Landlock");
            return;
        }
        assert_eq!(home.read("log").contains("landlock: confined"), landlock);
        // What the configuration names works,
        let clients: Vec<_> = ["stream", "fifo", "tty", "tcp"]
            .map(|name| home.open(name))
            .into();
        assert_eq!(get(&home, "page"), "200");
        fs::rename(home.path("log"), home.path("log.1")).unwrap();
        reload(&home, "log", "configuration read again");
        // a change of it too, as far as it stays in the directories it named at the start,
        rewrite(&home, "/www\"", "/elsewhere\"");
        fs::create_dir(home.path("elsewhere")).unwrap();
        fs::write(home.path("elsewhere/page"), "page").unwrap();
        reload(&home, "log", "configuration read again");
        assert_eq!(get(&home, "page"), "200");
        // and nothing else: this is not for lack of other rights.
        let other = outside.path().display().to_string();
        rewrite(&home, &home.path("elsewhere").display().to_string(), &other);
        reload(&home, "log", "configuration read again");
        assert_eq!(get(&home, "page"), if landlock { "503" } else { "200" });
        drop(clients);
        assert_eq!(home.run(&["-K"]).0, Some(0));
        assert!(!home.path("pid").exists());
    }
    figure("files beyond those of the configuration: 503 with Landlock, 200 without");
}

#[cfg(feature = "tls")]
#[test]
fn a_renewed_key_of_root_is_read_for_a_user_who_may_not() {
    if is_emulated(NO_DETACHING) || !is_root() {
        return;
    }
    let files = crate::certificates::Files::new();
    let home = Home::new("user = \"nobody\";");
    let conf = fs::read_to_string(home.path("conf")).unwrap();
    let section = files.section("crt", "key");
    fs::write(
        home.path("conf"),
        conf.replace("servers = ( {", &format!("servers = ( {{ {section}")),
    )
    .unwrap();
    let private = |path| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(path, mode).unwrap();
    };
    private(files.path("key"));
    let (code, errors) = home.run(&["-D"]);
    assert_eq!(code, Some(0), "{errors}");
    files.renew();
    private(files.path("key"));
    let before = home.read("log").matches("configuration read again").count();
    let pid = home.read("pid").trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
    wait_until("the reload", || {
        home.read("log").matches("configuration read again").count() > before
    });
    // Only the certificate that is there now is trusted.
    let stream = TcpStream::connect(home.address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut client = files.over(stream, None);
    while client.conn.is_handshaking() {
        let done = client.conn.complete_io(&mut client.sock);
        done.unwrap_or_else(|error| panic!("{error}\n{}", home.read("log")));
    }
    figure("a key of mode 0600, root's, renewed and served by nobody");
}

#[cfg(all(feature = "landlock", feature = "tls"))]
#[test]
fn certificates_are_renewed_under_landlock() {
    if is_emulated(NO_DETACHING) {
        return;
    }
    let files = crate::certificates::Files::new();
    let home = Home::new("landlock = true;");
    rewrite(
        &home,
        "servers = ( {",
        &format!("servers = ( {{ {}", files.section("crt", "key")),
    );
    let (code, errors) = home.run(&["-D"]);
    assert_eq!(code, Some(0), "{errors}");
    let suite = || {
        let stream = TcpStream::connect(home.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = files.over(stream, None);
        while client.conn.is_handshaking() {
            client
                .conn
                .complete_io(&mut client.sock)
                .expect("a handshake");
        }
        client.conn.negotiated_cipher_suite().expect("one").suite()
    };
    let before = suite();
    files.renew();
    let said = home.read("log").lines().count();
    reload(&home, "log", "configuration read again");
    let log = home.read("log");
    let new: Vec<_> = log.lines().skip(said).collect();
    assert!(
        !new.iter()
            .any(|line| line.contains("old certificates stay")),
        "{new:?}"
    );
    // What the processor can do is known as before.
    assert_eq!(suite(), before);
}
