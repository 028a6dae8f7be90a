//! The mistakes that people make, each made as a user would: the log names cause and cure at its
//! default level, the answer is a sentence, and `-S explain` names the setting.
//!
//! docs/mistakes.md is the table of them.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;

use crate::gateway::{Gateway, daemon, free_address, is_emulated};
use crate::http::KEY;
use crate::process::{DEADLINE, Process, TempDir};
use crate::state::{show, watched};

mod table;

use table::{AT_START, AtStart, MET, Met, SETTINGS};

#[test]
fn each_mistake_is_told_with_its_cause_its_cure_and_its_setting() {
    if is_emulated("a start for each mistake takes too long") {
        return;
    }
    let mut wrong = String::new();
    for mistake in &AT_START {
        if let Err(text) = start_with(mistake) {
            let _ = writeln!(
                wrong,
                "== {}: no {:?} in\n{text}",
                mistake.what, mistake.told
            );
        }
    }
    let gateway = watched("", SETTINGS);
    gateway.backend("echo").echo();
    // A socket that nobody listens on any more.
    drop(UnixListener::bind(gateway.path("run/dead")).expect("a socket"));
    for mistake in &MET {
        let answer = meet(gateway.address(), mistake);
        if !answer.contains(mistake.answer) {
            let _ = writeln!(
                wrong,
                "== {}: no {:?} in\n{answer}",
                mistake.what, mistake.answer
            );
        }
        let explained = explain(&gateway, mistake);
        let setting = explained
            .lines()
            .find_map(|line| line.strip_prefix("setting   "));
        if !setting.is_some_and(|setting| {
            setting.starts_with(mistake.setting)
                || setting.contains(mistake.setting) && mistake.setting.starts_with("the proxy")
        }) {
            let _ = writeln!(
                wrong,
                "== {}: no {:?} in\n{explained}",
                mistake.what, mistake.setting
            );
        }
        // Each is told: of those with one cause there are less than ten a second. The answer may come
        // before the line.
        (gateway.process).find_line(|line| line.contains(mistake.told));
        let log = gateway.process.log();
        if !log.contains(mistake.told) {
            let _ = writeln!(
                wrong,
                "== {}: no {:?} in\n{log}",
                mistake.what, mistake.told
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Starts a daemon with a mistake. Returns what it logs if that does not tell of it.
fn start_with(mistake: &AtStart) -> Result<(), String> {
    let directory = TempDir::new();
    let (address, path) = (free_address(), directory.path().display().to_string());
    let text = mistake.file.replace("DIR", &path);
    let text = text.replace("ADDR", &address.ip().to_string());
    let text = text.replace("PORT", &address.port().to_string());
    let file = directory.path().join("conf");
    std::fs::write(&file, text).expect("a file");
    let process = Process::start(daemon().arg("-f").arg(&file));
    // It serves in spite of a warning.
    let is_up = |line: &str| line.contains("listening on");
    process.find_line(|line| line.contains(mistake.told) || is_up(line));
    let log = process.log();
    match log.contains(mistake.told) {
        true => Ok(()),
        false => Err(log),
    }
}

/// The header lines of a mistake's request.
fn headers(mistake: &Met, host: &str) -> Vec<String> {
    let usual = [
        ("Host", host),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ];
    let name_of = |header: &str| header.split(':').next().unwrap_or_default().to_owned();
    let is_own = |name: &str| mistake.headers.iter().any(|header| name_of(header) == name);
    let usual = usual.iter().filter(|(name, _)| !is_own(name));
    let usual = usual.map(|(name, value)| format!("{name}: {value}"));
    let own = mistake
        .headers
        .iter()
        .filter(|header| !header.ends_with(':'));
    usual.chain(own.map(|header| long(header))).collect()
}

fn long(text: &str) -> String {
    text.replace("LONG", &"x".repeat(20 << 10))
}

/// Makes a mistake as a client. Returns the answer.
fn meet(address: SocketAddr, mistake: &Met) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let lines = headers(mistake, &address.to_string()).join("\r\n");
    let request = format!("{} HTTP/1.1\r\n{lines}\r\n\r\n", long(mistake.line));
    match mistake.line {
        // The beginning of a TLS handshake (RFC 8446, section 5.1).
        "" => stream.write_all(&[22, 3, 1, 0, 4, 1, 0, 0, 0]),
        _ => stream.write_all(request.as_bytes()),
    }
    .expect("a request");
    let mut answer = vec![0; 2048];
    let mut count = 0;
    while !answer[..count].ends_with(b"\n") {
        match stream.read(&mut answer[count..]) {
            Ok(0) | Err(_) => break,
            Ok(more) => count += more,
        }
    }
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

/// What `-S explain` says of a mistake.
fn explain(gateway: &Gateway, mistake: &Met) -> String {
    let address = gateway.address();
    if mistake.line.is_empty() {
        return show(gateway, &["explain", &format!("wss://{address}/echo")]).1;
    }
    let target = long(mistake.line.split(' ').nth(1).expect("a target"));
    let url = format!("ws://{address}{target}");
    let own: Vec<String> = mistake.headers.iter().map(|header| long(header)).collect();
    let own = own.iter().map(String::as_str);
    let words: Vec<_> = ["explain", &url].into_iter().chain(own).collect();
    show(gateway, &words).1
}

#[test]
fn the_document_lists_these_mistakes() {
    let mut table =
        String::from("| # | mistake | what the log says | setting |\n|---|---|---|---|\n");
    let start = AT_START
        .iter()
        .map(|row| (row.what, row.told, "the line of the file"));
    let met = MET.iter().map(|row| (row.what, row.told, row.setting));
    for (number, (what, told, setting)) in start.chain(met).enumerate() {
        let told = told.trim().replace('|', "\\|");
        let _ = writeln!(table, "| {} | {what} | `{told}` | {setting} |", number + 1);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/mistakes.md");
    let document = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        document.contains(&table),
        "docs/mistakes.md lacks:\n{table}"
    );
}
