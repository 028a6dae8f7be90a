//! Which plugins the built websocket_jsonrpc loads, and with which it does not start.

mod plugins;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use plugins::{COUNTER, Client, PROGRAM, allow, built, compile, start};
use servertest::{Directory, run};

#[test]
fn a_command_line_without_a_plugin_is_a_usage_error() {
    let output = run(PROGRAM, &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("-L ./authrpc.so"), "{said}");
    for options in [
        ["-L"].as_slice(),
        &["-L", "x", "-L", "y"],
        &["-L", "x", "-C"],
    ] {
        assert_eq!(run(PROGRAM, options).status.code(), Some(2), "{options:?}");
    }
}

#[test]
fn a_file_that_is_not_a_plugin_does_not_start_the_server() {
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
    let plugin = compile(&directory, "tests/plugins/faulty.c", &["-DVERSION=1"]);
    assert!(refusal(&plugin).contains("version 1"));
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
fn a_plugin_of_another_user_is_not_loaded() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can give a file away.
        return;
    }
    let directory = Directory::new();
    let plugin = compile(&directory, COUNTER, &[]);
    std::os::unix::fs::chown(&plugin, Some(65534), None).expect("given away");
    let plugin = plugin.to_str().expect("a UTF-8 path");
    let root = directory.path().join("run").display().to_string();
    let output = run(PROGRAM, &["-R", &root, "-L", plugin]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("belongs to user 65534"), "{said}");
}

#[test]
fn a_config_that_the_plugin_cannot_use_ends_the_start() {
    let directory = Directory::new();
    let root = directory.path().display().to_string();
    for (plugin, config, words) in [
        (
            compile(&directory, "tests/plugins/faulty.c", &[]),
            "cannot find /secret",
            "cannot find /secret",
        ),
        (
            built(&directory, "authrpc"),
            "/nowhere/at/all.db",
            "cannot open /nowhere/at/all.db",
        ),
        (built(&directory, "jsonsql"), "x.db;rw", "'rw'"),
    ] {
        let name = plugin.to_str().expect("a UTF-8 path");
        let options = ["-R", &root, "-n", "name", "-L", name, "-C", config];
        let output = run(PROGRAM, &options);
        assert_eq!(output.status.code(), Some(1), "{config}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains(&format!("cannot use its -C: {words}")),
            "{said}"
        );
        assert!(!directory.path().join("name").exists(), "the socket stays");
    }
}

#[test]
#[ignore = "needs libjansson-dev: make check"]
fn a_gateway_plugin_that_does_not_open_is_not_released() {
    let directory = Directory::new();
    let plugin = compile(&directory, "tests/plugins/gateway.c", &["-ljansson"]);
    let name = plugin.to_str().expect("a UTF-8 path");
    let root = directory.path().display().to_string();
    let output = run(PROGRAM, &["-R", &root, "-L", name, "-C", "unusable"]);
    // Released without a context, this plugin aborts.
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("jsonrpc_init of the plugin returned NULL"),
        "{said}"
    );
}

#[test]
#[ignore = "needs libjansson-dev: make check"]
fn a_gateway_plugin_that_is_not_linked_with_libjansson_is_loaded() {
    let directory = Directory::new();
    let plugin = compile(&directory, "tests/plugins/gateway.c", &[]);
    let server = start(directory, &plugin, &["-C", "the string"]);
    let mut client = Client::of(&server);
    assert_eq!(client.call("add", "[19,23]"), r#""result":42"#);
    assert_eq!(client.call("config", ""), r#""result":"the string""#);
}

#[test]
fn the_start_opens_the_plugin_as_the_user_who_will() {
    if !nix::unistd::geteuid().is_root() {
        // Only root can change its user.
        return;
    }
    let directory = Directory::new();
    let plugin = built(&directory, "authrpc");
    let data = Directory::new();
    let file = data.path().join("users.db").display().to_string();
    let root = directory.path().display().to_string();
    let name = plugin.to_str().expect("a UTF-8 path");
    let options = ["-R", &root, "-L", name, "-C", &file, "-u", "nobody"];
    let output = run(PROGRAM, &options);
    assert_eq!(output.status.code(), Some(1), "nobody may not write there");
    std::os::unix::fs::chown(data.path(), Some(65534), None).expect("given away");
    let server = start(directory, &plugin, &["-C", &file, "-u", "nobody", "-P"]);
    let user = r#"{"user":"root","passwd":"secret"}"#;
    let added = r#""result":{"message":"user added"}"#;
    let mut client = Client::from_address(&server, [127, 0, 0, 1]);
    assert_eq!(client.call("adduser", user), added);
    let owner = fs::metadata(&file).expect("the file").uid();
    assert_eq!(owner, 65534);
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
