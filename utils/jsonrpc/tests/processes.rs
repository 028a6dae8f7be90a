//! The built websocket_jsonrpc with a process for each client (`-F`): a plugin that crashes or
//! blocks harms one client alone.

mod plugins;

use std::path::PathBuf;
use std::time::Instant;

use nix::sys::signal::Signal;
use plugins::{COUNTER, Client, compile, start};
use servertest::{DEADLINE, Directory, Server, is_ended};

const FAULTY: &str = "tests/plugins/faulty.c";

/// A server with a process for each client, and its plugin.
fn server(source: &str, options: &[&str], libraries: &[&str]) -> (Server, PathBuf) {
    let directory = Directory::new();
    let plugin = compile(&directory, source, libraries);
    let options = [&["-F"], options].concat();
    (start(directory, &plugin, &options), plugin)
}

#[test]
fn clients_are_served_and_counted_one_by_one() {
    let (server, _) = server(COUNTER, &["-m", "2", "-C", "40"], &[]);
    let mut one = Client::of(&server);
    let mut other = Client::of(&server);
    assert_eq!(one.call("next", ""), r#""result":41"#);
    assert_eq!(other.call("next", ""), r#""result":41"#);
    assert_eq!(one.call("next", ""), r#""result":42"#);
    assert!(is_ended(&server.connect()));
    drop(one);
    // Its place is free again once its process has ended; until then there is no answer.
    let end = Instant::now() + DEADLINE;
    let further = std::iter::repeat_with(|| Client::of(&server).try_call("next"));
    let further = further.take_while(|_| Instant::now() < end);
    let answer = further.flatten().next();
    assert_eq!(answer.as_deref(), Some(r#""result":41"#));
    assert_eq!(other.call("next", ""), r#""result":42"#);
}

#[test]
fn a_crash_ends_its_own_client_alone() {
    let (server, _) = server(FAULTY, &[], &[]);
    let mut other = Client::of(&server);
    assert_eq!(other.call("twice", ""), r#""result":2"#);
    let crashing = Client::of(&server);
    crashing.ask("crashes");
    assert!(is_ended(crashing.0.get_ref()));
    server.wait_for_line("the process of a client was ended by SIGABRT");
    assert_eq!(other.call("twice", ""), r#""result":2"#);
    assert_eq!(Client::of(&server).call("twice", ""), r#""result":2"#);
}

#[test]
#[ignore = "needs libjansson-dev: make check"]
fn a_plugin_of_the_c_gateway_that_blocks_holds_up_its_own_client_alone() {
    let (mut server, _) = server("tests/plugins/gateway.c", &[], &["-ljansson"]);
    let mut blocked = Client::of(&server);
    assert_eq!(blocked.call("add", "[1,2]"), r#""result":3"#);
    blocked.ask("block");
    for _ in 0..3 {
        assert_eq!(Client::of(&server).call("add", "[1,2]"), r#""result":3"#);
    }
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    assert!(is_ended(blocked.0.get_ref()), "its process is still there");
}

#[test]
fn no_process_outlives_a_server_that_is_killed() {
    let (mut server, plugin) = server(FAULTY, &[], &[]);
    let client = Client::of(&server);
    client.ask("blocks");
    let mut other = Client::of(&server);
    assert_eq!(other.call("twice", ""), r#""result":2"#);
    server.stop(Signal::SIGKILL);
    assert!(is_ended(client.0.get_ref()));
    assert!(is_ended(other.0.get_ref()));
    let directory = std::mem::replace(&mut server.directory, Directory::new());
    let server = start(directory, &plugin, &["-F"]);
    assert_eq!(Client::of(&server).call("twice", ""), r#""result":2"#);
}
