//! The files for other build systems agree with the sources that they are made from.

use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn both_ways_to_cross_compile_know_the_same_targets() {
    let cross = read("cross.toml");
    let of_cross: Vec<_> = cross
        .lines()
        .filter_map(|line| line.strip_prefix("[target.")?.strip_suffix(']'))
        .collect();
    let script = read("tests/cross");
    let mut of_script: Vec<_> = script
        .lines()
        .filter_map(|line| line.split_once(") qemu=").map(|(target, _)| target.trim()))
        .collect();
    let mut sorted = of_cross.clone();
    sorted.sort_unstable();
    of_script.sort_unstable();
    assert!(sorted.len() >= 5, "{sorted:?}");
    assert_eq!(sorted, of_script);
    for target in of_cross {
        let image = format!("image = \"ghcr.io/cross-rs/{target}:main\"");
        assert!(cross.contains(&image), "{image}");
    }
}

#[test]
fn packages_have_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    for (path, line) in [
        ("package/openwrt/Makefile", "PKG_VERSION:="),
        ("package/buildroot/ouistiti.mk", "OUISTITI_VERSION = "),
    ] {
        let expected = format!("{line}{version}\n");
        assert!(read(path).contains(&expected), "{path}: {expected}");
    }
    let archive = format!("ouistiti-{version}.tar.gz");
    assert!(
        read("package/buildroot/Config.in").contains(&archive),
        "{archive}"
    );
}

#[test]
fn the_busybox_script_is_as_buildroot_wants_it() {
    let script = read("init/S50ouistiti");
    assert!(script.starts_with("#!/bin/sh\n"));
    for (number, line) in script.lines().enumerate() {
        assert!(!line.starts_with(' '), "line {}: no tab", number + 1);
        assert!(line.len() <= 80, "line {}: too long", number + 1);
    }
    for action in ["start()", "stop()", "restart()", "reload()", "status()"] {
        assert!(script.contains(&format!("\n{action} {{\n")), "{action}");
    }
}

#[test]
fn the_socket_unit_has_the_port_of_a_server_without_one() {
    let unit = read("init/ouistiti.socket");
    let mut ports = unit
        .lines()
        .filter_map(|line| line.strip_prefix("ListenStream="));
    let port = ports.next().expect("it listens");
    let default = format!("Without it: {port}, or 443 with tls.");
    assert!(read("etc/ouistiti.conf").contains(&default), "{default}");
}

#[test]
fn the_package_for_openwrt_leaves_port_80_to_uhttpd() {
    let recipe = read("package/openwrt/Makefile");
    let mark = r"s/.\(port = 8080;\)/\1/";
    assert!(recipe.contains(mark), "{mark}");
    let example = read("etc/ouistiti.conf");
    assert_eq!(example.matches("#port = 8080;").count(), 1);
}

#[cfg(feature = "websocket")]
#[test]
fn the_example_of_the_readme_has_a_pid_file_to_stop_by() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("in the format of libconfig:\n").unwrap();
    let lines = rest.lines().skip(1);
    let block: Vec<_> = lines.take_while(|line| line.starts_with("    ")).collect();
    let loaded = ouistiti::parts::config::from_text(Path::new("README.md"), &block.join("\n"));
    assert!(loaded.expect("it loads").0.pid_file.is_some());
}

#[test]
fn every_way_to_start_at_boot_asks_glibc_for_one_heap() {
    for path in [
        "init/S50ouistiti",
        "init/ouistiti.procd",
        "init/ouistiti.service",
    ] {
        assert!(read(path).contains("MALLOC_ARENA_MAX=1\n"), "{path}");
    }
}

#[test]
fn nginx_passes_the_host_with_its_port() {
    assert!(read("etc/behind-nginx.conf").contains("Host $http_host;"));
}
#[test]
fn the_service_unit_says_what_the_daemon_needs() {
    let unit = read("init/ouistiti.service");
    for line in [
        // It runs in the foreground and tells when it serves: its exit codes are seen.
        "Type=notify",
        "ExecStart=/usr/sbin/ouistiti -p /run/ouistiti.pid",
        "RestartPreventExitStatus=2 78",
    ] {
        assert!(unit.lines().any(|own| own == line), "{line}");
    }
    // `landlock = true`, and a log file that becomes the user's.
    for call in ["create_ruleset", "add_rule", "restrict_self"] {
        assert!(unit.contains(&format!("landlock_{call}")), "{call}");
    }
    assert!(unit.contains("CAP_CHOWN"));
}
