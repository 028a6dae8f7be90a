//! How the built websocket_jsonrpc starts, and when it does not.

mod plugins;
#[path = "../../unixserver/tests/support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::signal::Signal;
use plugins::{Client, PROGRAM, allow, compile, start};
use support::{Directory, is_ended, run};

/// The example plugin.
const COUNTER: &str = "../rpcplugin/examples/counter.c";

#[test]
fn a_command_line_without_a_plugin_is_a_usage_error() {
    let output = run(PROGRAM, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("-L ./authrpc.so"), "{said}");
    for option in ["-h", "-V"] {
        assert_eq!(run(PROGRAM, &[option]).status.code(), Some(0));
    }
    let help = String::from_utf8(run(PROGRAM, &["-h"]).stdout).expect("UTF-8");
    for option in ["-R", "-n", "-u", "-m", "-D", "-L", "-C"] {
        assert!(help.contains(option), "{option} is not in {help}");
    }
}

#[test]
fn what_is_no_plugin_does_not_start_the_server() {
    let directory = Directory::new();
    let refusal = |plugin: &Path| {
        let plugin = plugin.to_str().expect("a UTF-8 path");
        let root = directory.path().join("run").display().to_string();
        let output = run(PROGRAM, &["-R", &root, "-L", plugin]);
        assert_eq!(output.status.code(), Some(1));
        assert!(!Path::new(&root).exists(), "the socket was bound first");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refusal(Path::new("/nowhere/plugin.so")).contains("/nowhere/plugin.so"));
    assert!(refusal(directory.path()).contains("not a regular file"));
    let plugin = compile(&directory, COUNTER, &[]);
    allow(&plugin, 0o757);
    assert!(refusal(&plugin).contains("0757"));
    let plugin = compile(&directory, "tests/plugins/faulty.c", &["-DVERSION=2"]);
    assert!(refusal(&plugin).contains("version 2"));
    let none = directory.path().join("none.c");
    fs::write(&none, "int none(void) { return 0; }\n").expect("written");
    let plugin = compile(&directory, none.to_str().expect("a UTF-8 path"), &[]);
    assert!(refusal(&plugin).contains("neither rpcplugin_entry nor jsonrpc_init"));
    fs::write(
        &none,
        "void *jsonrpc_init(void **t, char *c) { (void)t; return c; }\n",
    )
    .expect("written");
    let plugin = compile(&directory, none.to_str().expect("a UTF-8 path"), &[]);
    assert!(refusal(&plugin).contains("jsonrpc_release"));
}

#[test]
fn the_plugin_is_loaded_before_the_user_changes() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can change its user; the order cannot show otherwise.
        return;
    }
    let directory = Directory::new();
    let locked = Directory::new();
    let plugin = compile(&locked, COUNTER, &[]);
    allow(locked.path(), 0o700);
    let server = start(directory, &plugin, &["-u", "nobody"]);
    assert_eq!(Client::of(&server).call("next", ""), r#""result":1"#);
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for options in [
        ["-L"].as_slice(),
        &["-x"],
        &["-L", "x", "argument"],
        &["-L", "x", "-m", "0"],
        &["-L", "x", "-n", "../name"],
        &["-L", "x", "-L", "y"],
    ] {
        let output = run(PROGRAM, options);
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(
            output.stderr.starts_with(b"websocket_jsonrpc: "),
            "{options:?}"
        );
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let directory = Directory::new();
    drop(UnixListener::bind(directory.path().join("name")).expect("bound"));
    let plugin = compile(&directory, COUNTER, &[]);
    let mut server = start(directory, &plugin, &[]);
    let root = server.directory.path().display().to_string();
    let plugin = plugin.display().to_string();
    let output = run(PROGRAM, &["-R", &root, "-n", "name", "-L", &plugin]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("in use by a running server"), "{said}");
    assert_eq!(Client::of(&server).call("next", ""), r#""result":1"#);

    let mode = fs::metadata(server.socket())
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o666);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    assert!(!server.socket().exists());
}

#[test]
fn a_file_in_the_place_of_the_socket_stays_as_it_is() {
    let directory = Directory::new();
    let plugin = compile(&directory, COUNTER, &[]);
    let root = directory.path().display().to_string();
    let options = [
        "-R",
        &root,
        "-n",
        "plugin.so",
        "-L",
        plugin.to_str().expect("a UTF-8 path"),
    ];
    let before = fs::read(&plugin).expect("the plugin");
    assert_eq!(run(PROGRAM, &options).status.code(), Some(1));
    assert!(fs::read(&plugin).expect("the plugin") == before);
}

#[test]
fn a_client_too_many_is_closed() {
    let directory = Directory::new();
    let plugin = compile(&directory, COUNTER, &[]);
    let server = start(directory, &plugin, &["-m", "1"]);
    let mut client = Client::of(&server);
    assert_eq!(client.call("next", ""), r#""result":1"#);
    assert!(is_ended(&server.connect()));
    assert_eq!(client.call("next", ""), r#""result":2"#);
}
