//! Plugins to load: compiled from C beside this file, or built in this workspace; and a client that
//! calls them.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use servertest::{Directory, Server};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_websocket_jsonrpc");
pub const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

/// The example plugin in C.
pub const COUNTER: &str = "../rpcplugin/examples/counter.c";

/// Compiles a plugin into `directory`.
pub fn compile(directory: &Directory, source: &str, options: &[&str]) -> PathBuf {
    let plugin = directory.path().join("plugin.so");
    let compiler = std::env::var("OUISTITI_CC").unwrap_or("cc".to_string());
    let mut words = compiler.split_whitespace();
    let output = Command::new(words.next().expect("a C compiler"))
        .args(words)
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(Path::new(MANIFEST).join("../rpcplugin/include"))
        .arg("-o")
        .arg(&plugin)
        .arg(Path::new(MANIFEST).join(source))
        .args(options)
        .output()
        .expect("a C compiler (apt-get install gcc)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{source} (needs libjansson-dev): {errors}"
    );
    allow(&plugin, 0o755);
    plugin
}

/// A program for another processor, that runs here in an emulator, with its plugins beside it
/// (`tests/cross TARGET jsonrpc`); `OUISTITI_CC` is then the compiler for it.
fn emulated() -> Option<PathBuf> {
    std::env::var_os("OUISTITI_JSONRPC").map(PathBuf::from)
}

/// A plugin of this workspace, copied to where nobody else can change it.
pub fn built(directory: &Directory, name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this test's path");
    let library = emulated()
        .unwrap_or(tests)
        .with_file_name(format!("lib{name}.so"));
    let plugin = directory.path().join(format!("{name}.so"));
    fs::copy(&library, &plugin).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
    allow(&plugin, 0o755);
    plugin
}

pub fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
}

/// Starts the server in the directory of its plugin.
pub fn start(directory: Directory, plugin: &Path, options: &[&str]) -> Server {
    let plugin = plugin.to_str().expect("a UTF-8 path");
    let emulated = emulated().map(|path| path.display().to_string());
    let program = emulated.as_deref().unwrap_or(PROGRAM);
    Server::start_in(directory, program, &[&["-L", plugin], options].concat())
}

/// A client that asks and waits for the answer, line by line.
pub struct Client(pub BufReader<UnixStream>);

impl Client {
    pub fn of(server: &Server) -> Client {
        Client(BufReader::new(server.connect()))
    }

    /// A client whom a gateway tells to have this IPv4 address, to a server with `-P`.
    pub fn from_address(server: &Server, address: [u8; 4]) -> Client {
        let client = server.connect();
        // PROXY protocol, section 2.2: version 2, TCP over IPv4, 12 bytes of addresses.
        let header = [
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".as_slice(),
            &address,
            &[127, 0, 0, 1, 0xc0, 0, 0, 80],
        ]
        .concat();
        // A server without a place for it closes at once: the next read says so.
        let _ = (&client).write_all(&header);
        Client(BufReader::new(client))
    }

    pub fn send(&mut self, request: &str) -> String {
        self.0
            .get_ref()
            .write_all(format!("{request}\n").as_bytes())
            .expect("sent");
        self.read()
    }

    /// The next line.
    pub fn read(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        line.trim_end().to_string()
    }

    /// Calls a method that will not answer.
    pub fn ask(&self, method: &str) {
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        self.0
            .get_ref()
            .write_all(request.as_bytes())
            .expect("sent");
    }

    /// Calls a method, and waits for nothing.
    pub fn ask_with(&self, method: &str, params: &str) {
        let request = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{params}}}\n"
        );
        self.0
            .get_ref()
            .write_all(request.as_bytes())
            .expect("sent");
    }

    /// The next line; `None` from a server that turns this client away.
    pub fn try_read(&mut self) -> Option<String> {
        let mut line = String::new();
        let length = self.0.read_line(&mut line).ok()?;
        (length > 0).then_some(line)
    }

    /// The answer to a call; `None` from a server that turns this client away.
    pub fn try_call(&mut self, method: &str) -> Option<String> {
        let request = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\"}}\n");
        self.0.get_ref().write_all(request.as_bytes()).ok()?;
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        let answer = line
            .trim_end()
            .strip_prefix(r#"{"jsonrpc":"2.0","id":1,"#)?;
        answer.strip_suffix('}').map(str::to_string)
    }

    /// The answer to a call, without what is the same in all.
    pub fn call(&mut self, method: &str, params: &str) -> String {
        let params = if params.is_empty() {
            String::new()
        } else {
            format!(",\"params\":{params}")
        };
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#);
        let answer = self.send(&request);
        let answer = answer
            .strip_prefix(r#"{"jsonrpc":"2.0","id":1,"#)
            .map(str::to_string);
        answer
            .and_then(|answer| answer.strip_suffix('}').map(str::to_string))
            .expect("an answer")
    }
}
