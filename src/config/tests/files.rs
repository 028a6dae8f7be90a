//! Files on disk: the examples of etc/, those of the C gateway, `@include` and `config_d`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use super::super::load::load_for;
use super::super::{Config, Framing, Listen, SerialConfig, Target, example, load, manual};
use super::ALL;
use super::short;

/// The project's directory.
pub(super) fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn load_example(name: &str) -> Config {
    match load_for(&project().join("etc").join(name), ALL) {
        Ok((config, warnings)) if warnings.is_empty() => config,
        Ok((_, wrong)) | Err(wrong) => panic!("{name}: {:#?}", short(&wrong)),
    }
}

/// A serial line of which only the speed is set.
pub(super) fn at(baud: u32) -> SerialConfig {
    SerialConfig {
        baud,
        ..SerialConfig::default()
    }
}

/// A directory of its own for one test, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ouistiti-config-{}-{name}", process::id()));
        fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        let directory = path.parent().expect("a parent");
        fs::create_dir_all(directory).expect("a directory");
        fs::write(&path, text).expect("a file");
        // Whatever the umask: what others may write to is not read.
        for own in [self.0.as_path(), directory, &path] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(own, mode).expect("our own");
        }
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_file_of_etc_loads_without_a_warning() {
    let files = fs::read_dir(project().join("etc")).expect("the examples");
    let mut count = 0;
    for file in files {
        let name = file.expect("a file").file_name();
        let name = name.to_str().expect("a UTF-8 name");
        if name.ends_with(".conf") {
            load_example(name);
            count += 1;
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn the_examples_load_and_say_what_they_promise() {
    let lan = load_example("lan-only.conf");
    assert_eq!(
        lan.servers[0].listen,
        [Listen::Tcp(([192, 168, 1, 1], 80).into())]
    );
    let nginx = load_example("behind-nginx.conf");
    assert_eq!(
        nginx.servers[0].listen,
        [Listen::Unix {
            path: "/run/ouistiti.sock".into(),
            mode: 0o660,
            group: None
        }]
    );
    assert_eq!(nginx.servers[0].trusted.len(), 2);
    let serial = load_example("serial-port.conf");
    let websocket = serial.servers[0].websocket.as_ref().expect("a websocket");
    assert_eq!(
        websocket.links[0].target,
        Target::Tty("/dev/ttyUSB0".into(), at(115_200))
    );
    assert_eq!(websocket.links[0].service.framing, Framing::Crlf);
}

#[test]
fn the_tls_example_listens_on_port_443() {
    let tls = load_example("tls.conf");
    assert_eq!(
        tls.servers[0].listen,
        [Listen::Tcp("[::]:443".parse().expect("an address"))]
    );
    let pairs = &tls.servers[0].tls.as_ref().expect("tls").pairs;
    assert_eq!(pairs[0].key, Path::new("/etc/ouistiti/server.key"));
}

#[test]
fn an_error_in_an_included_file_names_that_file_and_its_line() {
    let directory = Directory::new("include");
    let included = directory.file("parts/web.inc", "# one\n  docrot = \"/srv\";\n");
    let main = directory.file(
        "main.conf",
        "servers = ( { port = 0; document = {\n@include \"parts/web.inc\"\n}; oops = 1; } );\n",
    );
    let wrong = load(&main).expect_err("an unknown setting");
    let shown: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    let text = shown.join("\n");
    assert!(
        text.contains(&format!(
            "{}:2:3: error: unknown setting 'docrot' in document (did you mean 'docroot'?)",
            included.display()
        )),
        "{text}"
    );
    assert!(
        text.contains("    docrot = \"/srv\";\n    ^~~~~~"),
        "{text}"
    );
    assert!(
        text.contains(&format!(
            "{}:3:4: error: unknown setting 'oops' in servers",
            main.display()
        )),
        "{text}"
    );
}

#[test]
fn an_include_that_is_missing_or_endless_is_an_error() {
    let directory = Directory::new("loop");
    let missing = directory.file("a.conf", "@include \"nowhere.conf\"\n");
    let wrong = load(&missing).expect_err("no such file");
    assert!(wrong[0].message.contains("cannot read"), "{wrong:?}");
    let endless = directory.file("b.conf", "@include \"b.conf\"\n");
    let wrong = load(&endless).expect_err("a loop");
    assert!(
        wrong
            .iter()
            .any(|d| d.message.contains("more than 10 deep")),
        "{wrong:?}"
    );
    let many = directory.file("c.conf", "@include \"c.conf\"\n@include \"c.conf\"\n");
    let wrong = load(&many).expect_err("too many");
    assert!(
        wrong
            .iter()
            .any(|d| d.message.contains("more than 100 files")),
        "{wrong:?}"
    );
}

#[test]
fn a_missing_file_is_said_in_one_line() {
    let wrong = load(Path::new("/nowhere/ouistiti.conf")).expect_err("no such file");
    let shown = wrong[0].to_string();
    assert!(
        shown.starts_with("/nowhere/ouistiti.conf: error: cannot read the configuration: ")
            && shown.ends_with("; -f names another file, and -l serves without one"),
        "{shown}"
    );
}

#[test]
fn config_d_brings_the_servers_of_its_conf_files_in_their_order() {
    let directory = Directory::new("config-d");
    directory.file(
        "d/20.conf",
        "servers = ( { port = 8020; document = { docroot = \"/\"; }; } );",
    );
    directory.file(
        "d/10.conf",
        "user = \"root\"; servers = ( { port = 8010; document = { docroot = \"/\"; }; } );",
    );
    directory.file("d/notes.txt", "this is no configuration");
    let path = directory.0.join("d");
    let main = directory.file(
        "main.conf",
        &format!("user = \"nobody\"; config_d = \"{}\";", path.display()),
    );
    let (config, warnings) = load(&main).expect("it loads");
    let ports: Vec<_> = config
        .servers
        .iter()
        .map(|server| server.listen[0].to_string())
        .collect();
    assert_eq!(ports, ["[::]:8010", "[::]:8020"]);
    assert_eq!(config.user.as_deref(), Some("nobody"));
    assert_eq!(
        short(&warnings),
        ["1:1 'user' has no effect in a file of config_d"]
    );
}

#[test]
fn a_config_d_that_others_may_write_to_is_an_error() {
    let directory = Directory::new("open-config-d");
    let file = directory.file("d/10.conf", "servers = ( { websocket = { }; } );");
    let path = directory.0.join("d");
    let text = format!("config_d = \"{}\";", path.display());
    let main = directory.file("main.conf", &text);
    for open in [&file, &path] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(open, mode).expect("our own");
        let wrong = load(&main).expect_err("others may write to it");
        let wanted = format!("others may write to {}: chmod go-w", open.display());
        assert!(short(&wrong)[0].contains(&wanted), "{wrong:?}");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(open, mode).expect("our own");
    }
    load(&main).expect("nobody else may");
}

#[test]
fn config_d_may_be_one_file_and_may_be_missing() {
    let directory = Directory::new("config-d-file");
    let server =
        |port| format!("servers = ( {{ port = {port}; document = {{ docroot = \"/\"; }}; }} );");
    let more = directory.file("more", &server(8020));
    let main = |config_d: &Path| {
        let text = format!("{}\nconfig_d = \"{}\";", server(8010), config_d.display());
        load(&directory.file("main.conf", &text)).expect("it loads")
    };
    let (config, warnings) = main(&more);
    assert_eq!((config.servers.len(), warnings.len()), (2, 0));
    let (config, warnings) = main(Path::new("/nowhere/d"));
    assert_eq!(config.servers.len(), 1);
    assert!(
        short(&warnings)[0].starts_with("2:12 no servers are read: /nowhere/d: no such file"),
        "{warnings:?}"
    );
}

#[test]
fn a_docroot_that_cannot_be_served_is_a_warning_with_its_line() {
    let directory = Directory::new("docroot");
    let here = directory.0.display().to_string();
    let warned = |websocket: &str, document: &str| {
        let text = format!(
            "servers = ( {{\nwebsocket = {{ {websocket} }};\ndocument = {{ docroot = \"{document}\"; }}; }} );"
        );
        let (_, warnings) = load(&directory.file("main.conf", &text)).expect("it loads");
        short(&warnings)
    };
    let missing = "docroot = \"/nowhere/x\";";
    assert_eq!(
        warned(missing, "/nowhere/y"),
        [
            "2:25 nothing in 'docroot' can be served: /nowhere/x: no such file or directory",
            "3:24 nothing in 'docroot' can be served: /nowhere/y: no such file or directory",
        ]
    );
    assert!(warned(&format!("docroot = \"{here}\";"), &here).is_empty());
    let link =
        |name: &str| format!("links = ( {{ origin = \"{name}\"; destination = \"/x\"; }} );");
    assert!(
        warned(&link("a"), &here).is_empty(),
        "the links are all there is"
    );
    assert!(
        warned(&(link("*") + missing), &here).is_empty(),
        "links serve all"
    );
    assert_eq!(warned(&(link("a") + missing), &here).len(), 1);
}

/// Compares a file of the project with what the key table makes of it; with BLESS set in the
/// environment, writes it.
fn is_up_to_date(name: &str, made: &str) {
    let path = project().join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, made).expect("the project can be written to");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "{name} differs from the key table: BLESS=1 cargo test --lib config"
    );
}

#[test]
fn the_example_file_and_the_manual_page_are_those_of_the_key_table() {
    is_up_to_date("etc/ouistiti.conf", &example());
    is_up_to_date("man/ouistiti.conf.5", &manual());
}

#[test]
fn the_example_file_means_the_same_as_the_smallest_file() {
    let mut smallest = super::good("servers = ( { websocket = { }; } );");
    let whole = super::good(&example());
    smallest.servers[0].listen_place = whole.servers[0].listen_place.clone();
    assert_eq!(format!("{whole:?}"), format!("{smallest:?}"));
}

#[test]
fn every_setting_of_the_example_file_is_understood_without_its_comment_mark() {
    let line = |line: &str| match line.trim_start().strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => setting.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<_> = example().lines().map(line).collect();
    let text = text.join("\n").replace("config_d = ", "#");
    let wrong: Vec<_> = super::errors(&text)
        .into_iter()
        .map(|e| e.split_once(' ').map(|(_, e)| e.to_owned()))
        .filter(|e| {
            e.as_deref()
                .is_some_and(|e| !e.contains("with this 'type' of auth"))
        })
        .collect();
    let of_other_types = [
        "'user' has no effect beside 'file'",
        "'passwd' has no effect beside 'file'",
        "'group' has no effect beside 'file': 'groups' says who may come in",
        "'source' is for links of type \"fifo\"",
        "'port' is for links of type \"tcp\"",
        "'baud' is for links of type \"tty\"",
        "'databits' is for links of type \"tty\"",
        "'parity' is for links of type \"tty\"",
        "'stopbits' is for links of type \"tty\"",
        "'flow' is for links of type \"tty\"",
        "'exclusive' is for links of type \"tty\"",
        "'hangup' is for links of type \"tty\"",
        "'arguments' is for links of type \"exec\"",
        "'directory' is for links of type \"exec\"",
        "'maxprocesses' is for links of type \"exec\"",
        "'replay' needs a shared backend: set share = \"all\", \"newest\" or \"first\"",
        "'linger' needs a shared backend: set share = \"all\", \"newest\" or \"first\"",
        "'keep' needs a shared backend: set share = \"all\", \"newest\" or \"first\"",
    ];
    assert_eq!(wrong, of_other_types.map(|e| Some(e.to_owned())), "{text}");
}
