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
        ("Makefile", "version = "),
        ("package/openwrt/Makefile", "PKG_VERSION:="),
        ("package/buildroot/ouistiti.mk", "OUISTITI_VERSION = "),
    ] {
        let expected = format!("{line}{version}\n");
        assert!(read(path).contains(&expected), "{path}: {expected}");
    }
    for (path, name) in [
        ("package/debian/changelog", format!("ouistiti ({version}) ")),
        (
            "package/buildroot/ouistiti.hash",
            format!("ouistiti-{version}-vendored.tar.gz\n"),
        ),
        (
            "package/buildroot/Config.in",
            format!("ouistiti-{version}-mips-tls.tar.gz"),
        ),
        (
            "package/buildroot/ouistiti.fragment",
            format!("ouistiti-{version}-mipsel-tls"),
        ),
        (
            "README.md",
            format!("./ouistiti-tls-{version}-r1_mipsel_24kc.apk"),
        ),
        (
            "README.md",
            format!("./ouistiti-tls_{version}-1_mipsel_24kc.ipk"),
        ),
        ("README.md", format!("ouistiti-{version}-armv7-tls.tar.gz")),
        ("README.md", format!("./ouistiti_{version}_amd64.deb")),
    ] {
        assert!(read(path).contains(&name), "{path}: {name}");
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
fn the_package_for_openwrt_has_what_packages_of_openwrt_have() {
    let recipe = read("package/openwrt/Makefile");
    // The fields of ttyd, mosquitto and lighttpd in the feed `packages`.
    for field in [
        "PKG_NAME",
        "PKG_VERSION",
        "PKG_RELEASE",
        "PKG_SOURCE",
        "PKG_SOURCE_URL",
        "PKG_HASH",
        "PKG_MAINTAINER",
        "PKG_LICENSE",
        "PKG_LICENSE_FILES",
        "  SECTION",
        "  CATEGORY",
        "  TITLE",
        "  URL",
        "  DEPENDS",
    ] {
        let mut lines = recipe.lines();
        let start = format!("{field}:=");
        let value = lines.find_map(|line| line.strip_prefix(&start));
        assert!(value.is_some_and(|value| !value.is_empty()), "{field}");
    }
    let hash = recipe
        .lines()
        .find_map(|line| line.strip_prefix("PKG_HASH:="))
        .expect("it has one");
    assert!(
        hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{hash}"
    );
    // Both archives are of one commit.
    let commit = |path: &str| {
        let text = read(path);
        let (_, rest) = text.split_once("commit").expect("it names one");
        let words: Vec<_> = rest.split(|byte: char| !byte.is_ascii_hexdigit()).collect();
        words
            .into_iter()
            .find(|word| word.len() == 40)
            .map(str::to_owned)
            .expect("its name is complete")
    };
    assert_eq!(
        commit("package/openwrt/Makefile"),
        commit("package/buildroot/ouistiti.hash")
    );
    for package in [
        "ouistiti",
        "ouistiti-tls",
        "ouistiti-servers",
        "ouistiti-terminal",
        "ouistiti-jsonrpc",
        "ouistiti-pages",
        "libouistiti-websocket",
    ] {
        for line in [
            format!("define Package/{package}\n"),
            format!("$(eval $(call BuildPackage,{package}))"),
        ] {
            assert!(recipe.contains(&line), "{line}");
        }
        assert!(
            recipe.contains(&format!("define Package/{package}/install\n"))
                || recipe.contains(&format!("\nPackage/{package}/install=")),
            "{package} installs nothing"
        );
    }
}

/// An architecture of OpenWrt whose name has neither is built for a processor without floating point.
#[test]
fn packages_with_floating_point_are_for_processors_that_have_it() {
    let script = read("package/dist");
    let rows = script.lines().map(str::split_whitespace);
    let rows: Vec<Vec<&str>> = rows.map(Iterator::collect).collect();
    let hard = |row: &&Vec<&str>| row.len() == 3 && row[1].ends_with("-musleabihf");
    let architectures: Vec<_> = rows.iter().filter(hard).map(|row| row[2]).collect();
    assert_eq!(architectures.len(), 2, "{architectures:?}");
    for name in architectures {
        assert!(name.contains("vfp") || name.contains("neon"), "{name}");
    }
}

#[test]
fn the_recipes_have_the_default_features_without_the_console() {
    let recipe = read("package/openwrt/Makefile");
    let manifest = read("Cargo.toml");
    let default = manifest
        .lines()
        .find_map(|line| line.strip_prefix("default = ["));
    let default = default.expect("it has a list").trim_end_matches(']');
    let mut expected: Vec<_> = default
        .split(", ")
        .map(|word| word.trim_matches('"'))
        .collect();
    // The console is for a start without a file, on the machine of who writes a program.
    expected.retain(|feature| !["tls", "console"].contains(feature));
    let mark = "OUISTITI_FEATURES:=";
    let own = recipe.lines().find_map(|line| line.strip_prefix(mark));
    assert_eq!(own.expect("it has a list"), expected.join(" "));
    assert!(recipe.contains("  OUISTITI_FEATURES+=tls\n"));
    let buildroot = read("package/buildroot/ouistiti.mk");
    // websocket_rt brings it.
    expected.retain(|feature| *feature != "websocket");
    for feature in expected {
        let own = format!("ouistiti/{feature}");
        assert!(
            buildroot.contains(&own),
            "package/buildroot/ouistiti.mk: {own}"
        );
    }
}

/// In each build for routers SHA-256 and SHA-512 are loops.
#[test]
fn the_recipes_have_the_hashes_in_loops_as_the_cross_builds() {
    let flag = "--cfg=sha2_backend_soft=\"compact\"";
    assert!(read("tests/cross").contains(flag));
    // Its rust-values.mk writes RUSTFLAGS="$(CARGO_RUSTFLAGS)".
    let mark = "CARGO_RUSTFLAGS+=";
    let recipe = read("package/openwrt/Makefile");
    let own = recipe.lines().find_map(|line| line.strip_prefix(mark));
    let shell = |words: &str| {
        let script = format!("printf %s {words}");
        let mut command = std::process::Command::new("sh");
        let output = command.args(["-c", &script]).output().expect("a shell");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(shell(&format!("\"{}\"", own.expect("it is set"))), flag);
    let recipe = read("package/buildroot/ouistiti.mk");
    let own = (recipe.lines()).find_map(|line| line.trim_start().strip_prefix("--config "));
    let wanted = format!("target.\"cfg(all())\".rustflags=[{flag:?}]");
    assert_eq!(shell(own.expect("it is set")), wanted);
}

/// uhttpd, the router's own pages, has port 80: pages of it connect to another port.
#[test]
fn the_package_for_openwrt_leaves_port_80_to_uhttpd() {
    let settings = read("package/openwrt/files/ouistiti.config");
    assert!(settings.contains("option port '8080'\n"));
    assert!(settings.contains("list origins 'same-host'\n"));
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
fn every_way_to_start_at_boot_asks_glibc_to_keep_little() {
    for path in [
        "init/S50ouistiti",
        "init/ouistiti.procd",
        "init/ouistiti.service",
    ] {
        let text = read(path);
        for setting in [
            "MALLOC_ARENA_MAX=1",
            "GLIBC_TUNABLES=glibc.pthread.stack_cache_size=0:glibc.malloc.tcache_count=0",
        ] {
            assert!(text.contains(setting), "{path}: {setting}");
        }
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
