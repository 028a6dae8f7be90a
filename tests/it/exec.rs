//! `type = "exec"`: a program for each client, from its start to the end of all it has started.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::client::Client;
use crate::frames::{self, BINARY, CLOSE, TEXT};
use crate::gateway::{Gateway, is_emulated};
use crate::http::{ask, upgrade};
use crate::process::wait_until;

mod ends;

/// Why no program is run in an emulator.
const NO_RUNNER: &str =
    "a program begins as the daemon's own file, which this processor cannot run";

/// A gateway whose service `run` is this script of sh, with these settings of its link; `None` in
/// an emulator.
fn running(script: &str, link: &str) -> Option<Gateway> {
    with("", script, link)
}

/// The same, with these settings at the top of the configuration.
fn with(top: &str, script: &str, link: &str) -> Option<Gateway> {
    if is_emulated(NO_RUNNER) {
        return None;
    }
    let gateway = Gateway::of_file(&format!(
        "{top} servers = ({{ addr = \"ADDRESS\"; maxclients = 210; websocket = {{ ping = 3600; \
         docroot = \"DIR/run\"; links = ({{ origin = \"run\"; type = \"exec\"; \
         destination = \"/bin/sh\"; arguments = [\"DIR/script\", \"a, b\", \"$HOME\"]; \
         {link} }}); }}; }});"
    ));
    write(&gateway, script);
    Some(gateway)
}

/// Has the next runs run this script.
fn write(gateway: &Gateway, script: &str) {
    fs::write(gateway.path("new"), script).expect("a script");
    fs::rename(gateway.path("new"), gateway.path("script")).expect("the same directory");
}

/// The texts of the messages up to the Close.
fn all_lines(client: &mut Client) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let frame = client.frame();
        match frame.opcode {
            TEXT => lines.push(String::from_utf8(frame.payload).expect("a text")),
            CLOSE => return lines,
            opcode => panic!("opcode {opcode:#x}"),
        }
    }
}

/// The processes whose parent is the daemon, by their state and name, zombies too.
fn children(gateway: &Gateway) -> Vec<String> {
    let wanted = format!("PPid:\t{}", gateway.process.id());
    let processes = fs::read_dir("/proc").expect("it is mounted").flatten();
    let statuses = processes.filter_map(|p| fs::read_to_string(p.path().join("status")).ok());
    statuses
        .filter(|status| status.lines().any(|line| line == wanted))
        .map(|status| status.lines().take(3).collect::<Vec<_>>().join(" "))
        .collect()
}

fn expect_none_left(gateway: &Gateway) {
    wait_until("the programs to end", || children(gateway).is_empty());
}

/// Whether a process runs: one that has ended and is not waited for yet does not.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
}

/// Whether a process group has a process that runs.
fn is_group_alive(group: &str) -> bool {
    let processes = fs::read_dir("/proc").expect("it is mounted").flatten();
    let stats = processes.filter_map(|p| fs::read_to_string(p.path().join("stat")).ok());
    // Behind the name: state, parent, group.
    let mut groups = stats.filter_map(|stat| {
        let fields = stat.rsplit(") ").next()?.to_owned();
        let mut fields = fields.split(' ').map(str::to_owned);
        (fields.next()? != "Z").then(|| fields.nth(1))?
    });
    groups.any(|other| other == group)
}

fn line(client: &mut Client) -> String {
    let (opcode, payload) = client.message();
    assert_eq!(opcode, TEXT);
    String::from_utf8(payload).expect("a text")
}

/// Ends the connection in order.
fn close(mut client: Client) {
    client.send(&frames::message(CLOSE, &1000_u16.to_be_bytes()));
    while client.message_or_close() {}
    client.expect_end();
}

#[test]
fn a_program_that_ends_closes_with_1000_and_one_that_fails_with_1011() {
    let Some(gateway) = running("echo one; echo two", "framing = \"line\";") else {
        return;
    };
    let mut client = gateway.open("run");
    assert_eq!([line(&mut client), line(&mut client)], ["one", "two"]);
    client.expect_close(1000);
    for (script, how) in [
        ("echo last; exit 3", "exit status 3"),
        ("echo last; kill -SEGV $$", "signal SIGSEGV"),
    ] {
        write(&gateway, script);
        let mut client = gateway.open("run");
        assert_eq!(line(&mut client), "last");
        client.expect_close(1011);
        let wanted = format!("sh failed with {how}");
        let found = |line: &str| line.contains(&wanted) && line.contains(" run: ");
        assert!(gateway.process.find_line(found).is_some());
    }
    write(&gateway, "exit 0");
    gateway.open("run").expect_close(1000);
    // What it has not read makes no failure.
    write(&gateway, "read -r first; echo $first; sleep 0.1; exit 0");
    let mut client = gateway.open("run");
    client.text("first");
    client.text("never read");
    assert_eq!(line(&mut client), "first");
    client.expect_close(1000);
    expect_none_left(&gateway);
}

#[test]
fn the_environment_is_the_list_of_the_manual_and_no_header_adds_to_it() {
    let more = "directory = \"DIR/run\"; framing = \"line\";";
    let script = "echo \"$#|$1|$2\"; pwd; tr '\\0' '\\n' < /proc/$$/environ";
    let Some(gateway) = running(script, more) else {
        return;
    };
    let headers = "Origin: http://ADDRESS\r\nCookie: a=1\r\nCookie: b=2\r\nUser-Agent: it\r\n\
                   Proxy: http://evil/\r\nLd-Preload: /evil.so\r\nPath: /evil\r\n\
                   X-Forwarded-For: 192.0.2.1\r\nSec-WebSocket-Protocol: p, q\r\n";
    let address = gateway.address();
    let headers = headers.replace("ADDRESS", &address.to_string());
    let mut client = Client::open(&gateway, "run?q=%20&r", &headers);
    assert_eq!(line(&mut client), "2|a, b|$HOME", "no shell has read them");
    assert_eq!(line(&mut client), gateway.path("run").display().to_string());
    let mut found = all_lines(&mut client);
    let is_id = |line: &String| line.starts_with("UNIQUE_ID=");
    let id: Vec<_> = found.extract_if(.., |line| is_id(line)).collect();
    assert!(
        id[0]
            .bytes()
            .last()
            .is_some_and(|byte| byte.is_ascii_digit())
    );
    found.sort();
    let own = client.stream.local_addr().expect("connected");
    let path = std::env::var("PATH").expect("a test has one");
    let mut wanted = [
        "GATEWAY_INTERFACE=CGI/1.1".to_owned(),
        "HTTP_COOKIE=a=1; b=2".to_owned(),
        format!("HTTP_HOST={address}"),
        format!("HTTP_ORIGIN=http://{address}"),
        "HTTP_SEC_WEBSOCKET_PROTOCOL=p".to_owned(),
        "HTTP_USER_AGENT=it".to_owned(),
        format!("PATH={path}"),
        "PATH_INFO=/run".to_owned(),
        "QUERY_STRING=q=%20&r".to_owned(),
        format!("REMOTE_ADDR={}", own.ip()),
        format!("REMOTE_PORT={}", own.port()),
        "REQUEST_METHOD=GET".to_owned(),
        "REQUEST_URI=/run?q=%20&r".to_owned(),
        "SCRIPT_NAME=".to_owned(),
        format!("SERVER_NAME={}", address.ip()),
        format!("SERVER_PORT={}", address.port()),
        "SERVER_PROTOCOL=HTTP/1.1".to_owned(),
        format!("SERVER_SOFTWARE=ouistiti/{}", env!("CARGO_PKG_VERSION")),
    ];
    wanted.sort();
    assert_eq!(found, wanted);
}

#[test]
fn a_program_has_three_descriptors_no_blocked_signal_and_a_group_of_its_own() {
    let script = "grep -h -E 'SigBlk' /proc/self/status; exec ls /proc/self/fd";
    let Some(gateway) = running(script, "framing = \"line\";") else {
        return;
    };
    let mut client = gateway.open("run");
    assert_eq!(line(&mut client), "SigBlk:\t0000000000000000");
    // The last one is the directory that ls reads.
    for number in ["0", "1", "2", "3"] {
        assert_eq!(line(&mut client), number);
    }
    client.expect_close(1000);
}

#[test]
fn bytes_come_through_a_program_as_they_were() {
    let Some(gateway) = running("exec cat", "") else {
        return;
    };
    const TOTAL: usize = 64 << 20;
    const CHUNK: usize = 64 << 10;
    let chunk: Vec<u8> = (0..CHUNK).map(|at| (at * 7 % 251) as u8).collect();
    let mut client = gateway.open("run");
    let mut writer = client.stream.try_clone().expect("a descriptor");
    let message = frames::message(BINARY, &chunk);
    let sender = std::thread::spawn(move || {
        for _ in 0..TOTAL / CHUNK {
            std::io::Write::write_all(&mut writer, &message).expect("the gateway reads");
        }
    });
    let mut seen = 0;
    while seen < TOTAL {
        let payload = client.message().1;
        let same = (payload.iter().zip(seen..)).all(|(byte, at)| *byte == chunk[at % CHUNK]);
        assert!(same, "a byte of {seen} and more");
        seen += payload.len();
    }
    assert_eq!(seen, TOTAL);
    sender.join().expect("it sent all");
    close(client);
}

#[test]
fn two_hundred_run_at_a_time_and_one_more_is_refused() {
    let Some(gateway) = running("exec cat", "framing = \"line\"; maxprocesses = 200;") else {
        return;
    };
    let mut clients: Vec<_> = (0..200).map(|_| gateway.open("run")).collect();
    let refused = ask(&gateway, &upgrade(&gateway, "/run", ""));
    assert_eq!(
        (refused.status, refused.header("Retry-After")),
        (503, Some("1"))
    );
    let cause = "it runs 200 times already ('maxprocesses')";
    assert!(
        gateway
            .process
            .find_line(|line| line.contains(cause))
            .is_some()
    );
    for (number, client) in clients.iter_mut().enumerate() {
        client.text(&number.to_string());
        assert_eq!(line(client), number.to_string());
    }
    close(clients.pop().expect("there are some"));
    wait_until("a place", || children(&gateway).len() < 200);
    let mut next = gateway.open("run");
    next.text("x");
    assert_eq!(line(&mut next), "x");
    drop(clients);
    drop(next);
    expect_none_left(&gateway);
}

#[test]
fn a_program_that_closes_only_its_input_or_only_its_output_goes_on() {
    let script = "exec 0<&-; echo deaf; sleep 0.1; echo still here; exec sleep 1000";
    let Some(gateway) = running(script, "framing = \"line\";") else {
        return;
    };
    let mut client = gateway.open("run");
    assert_eq!(line(&mut client), "deaf");
    client.text("not read by anybody");
    assert_eq!(line(&mut client), "still here");
    close(client);
    expect_none_left(&gateway);
    // Its input is the other side of its output: the client cannot tell, and is still heard.
    write(
        &gateway,
        "echo begun; exec 1>&-; read -r last; echo $last >&2; exec sleep 1000",
    );
    let mut client = gateway.open("run");
    assert_eq!(line(&mut client), "begun");
    client.text("the last word");
    let heard = |line: &str| line.contains("sh: the last word");
    assert!(gateway.process.find_line(heard).is_some());
    close(client);
    expect_none_left(&gateway);
}

#[test]
fn ten_lines_a_second_of_standard_error_are_logged_with_the_client() {
    let script = "i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo \"line $i\"; done >&2; \
                  printf 'no end\\033' >&2; echo done";
    let Some(gateway) = running(script, "framing = \"line\";") else {
        return;
    };
    let mut client = gateway.open("run");
    let from = client.stream.local_addr().expect("connected").to_string();
    assert_eq!(line(&mut client), "done");
    client.expect_close(1000);
    let counted = |line: &str| line.contains("more lines within a second, left out");
    let last = gateway.process.find_line(counted).expect("a count");
    assert!(last.contains(&format!("{from} run: sh: ")), "{last}");
    let log = gateway.process.log();
    assert!(log.contains(&format!("{from} run: sh: line 10")), "{log}");
    assert!(log.matches("sh: line ").count() < 100, "{log}");
}

#[test]
fn a_program_that_cannot_be_run_is_a_503_with_its_cause_and_a_warning_at_the_start() {
    let gateway = Gateway::start(
        "links = ({ origin = \"run\"; type = \"exec\"; destination = \"DIR/program\"; });",
    );
    let logs = |text: &str| {
        gateway
            .process
            .find_line(|line| line.contains(text))
            .is_some()
    };
    let status = || ask(&gateway, &upgrade(&gateway, "/run", "")).status;
    assert!(logs("warning: no client can be served: "));
    assert_eq!(status(), 503);
    let missing = format!("run: {}: no such file", gateway.path("program").display());
    assert!(logs(&missing));
    let program = gateway.path("program");
    fs::write(&program, "#!/no/such/interpreter\n").expect("a free name");
    assert_eq!(status(), 503);
    assert!(logs(
        "the gateway's user may not execute it (chmod a+x lets it)"
    ));
    if is_emulated(NO_RUNNER) {
        return;
    }
    // What can be executed and is no program is found out later.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("our own file");
    gateway.open("run").expect_close(1011);
    assert!(logs("program: cannot run "));
}

#[cfg(feature = "landlock")]
#[test]
fn with_landlock_a_program_is_executed_and_nothing_else() {
    for landlock in [true, false] {
        let top = format!("landlock = {landlock};");
        let Some(gateway) = with(&top, "/bin/ls / >&2; echo $?", "framing = \"line\";") else {
            return;
        };
        if gateway.process.log().contains("landlock has no effect") {
            return crate::process::figure("NOT RUN: this kernel has no Landlock");
        }
        let status = line(&mut gateway.open("run"));
        assert_eq!(status, if landlock { "126" } else { "0" });
    }
}

#[test]
fn a_line_without_a_file_runs_a_program_for_every_name_and_none() {
    if is_emulated(NO_RUNNER) {
        return;
    }
    let script = "while read -r text; do echo \"$1: $text\"; done";
    let gateway = Gateway::one_line(&["--", "/bin/sh", "-c", script, "sh", "arg ument"]);
    for name in ["", "any", "any/other"] {
        let mut client = gateway.open(name);
        client.text("Hello");
        assert_eq!(line(&mut client), "arg ument: Hello");
    }
}
