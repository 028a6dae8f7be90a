//! Files of the C gateway load, with one warning for each setting that has no effect here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::load::load_for;
use super::super::service::Protocols;
use super::super::{AuthConfig, Config, FrameType, Listen, Severity, Target, WebsocketConfig};
use super::files::{at, project};
use super::{ALL, errors, in_websocket, load_text, short, warnings};

fn path(name: &str) -> PathBuf {
    project().join("tests/data").join(name)
}

/// Loads a file of tests/data: its configuration, and the warnings without their places.
fn file(name: &str) -> (Config, Vec<String>) {
    let (config, warnings) = load_for(&path(name), ALL).expect("it loads");
    (
        config,
        warnings.into_iter().map(|line| line.message).collect(),
    )
}

fn websocket(config: &Config, server: usize) -> &WebsocketConfig {
    config.servers[server]
        .websocket
        .as_ref()
        .expect("a gateway")
}

/// Asserts that each of these names, and nothing else, has a warning that it has no effect.
fn have_no_effect(warnings: &[String], names: &[&str]) {
    let found: Vec<_> = warnings
        .iter()
        .filter(|line| line.contains("of the C gateway has no effect here"))
        .map(|line| line.split('\'').nth(1).expect("a name in quotes"))
        .collect();
    assert_eq!(found, names);
}

#[test]
fn a_file_of_the_c_gateway_loads_with_a_warning_for_each_foreign_setting() {
    let (config, warnings) =
        load_for(&project().join("tests/data/c-gateway.conf"), ALL).expect("it loads");
    let short = short(&warnings);
    let expected = [
        "mimetypes",
        "version",
        "chunksize",
        "redirect",
        "allow",
        "deny",
        "options",
        "cgi",
        "webstream",
        "unlock_groups",
        "filestorage",
    ];
    for name in expected {
        let of = short
            .iter()
            .filter(|message| message.contains(&format!("'{name}' of the C gateway")))
            .count();
        assert_eq!(of, 1, "{name} in {short:#?}");
    }
    let waived = |line: &&String| line.contains("'auth' of the C gateway has no effect here");
    assert_eq!(short.iter().filter(waived).count(), 1);
    let asks = |line: &&String| line.contains("nobody is asked for a certificate");
    assert_eq!(short.iter().filter(asks).count(), 1);
    // The names of its links are not among those allowed.
    for name in ["gps", "mpd"] {
        let warning = format!("the name '{name}' is not allowed");
        assert!(short.iter().any(|line| line.contains(&warning)));
    }
    assert_eq!(short.len(), expected.len() + 4, "{short:#?}");
    let first = config.servers[0].websocket.as_ref().expect("a websocket");
    let allow: Vec<_> = first.allow.iter().map(glob::Pattern::as_str).collect();
    assert_eq!(allow, ["ws_*", "chat"]);
    assert_eq!(first.deny[0].as_str(), "internal/*");
    assert!(first.deny_last && first.service.direct);
    assert_eq!(
        first.links[0].target,
        Target::Tty("/dev/ttyUSB0".into(), at(9600))
    );
    assert_eq!(first.links[1].target, Target::Tcp("127.0.0.1".into(), 6600));
    assert!(
        !first.links[0].service.direct,
        "a serial line cannot take a descriptor"
    );
    assert_eq!(
        config.servers[1].listen,
        [Listen::Tcp("[::]:443".parse().expect("an address"))]
    );
    assert_eq!(
        config.servers[1]
            .websocket
            .as_ref()
            .map(|ws| ws.service.frame_type),
        Some(FrameType::Auto)
    );
}

#[test]
fn a_file_with_the_first_names_loads() {
    let (config, warnings) = file("c-gateway-first.conf");
    have_no_effect(
        &warnings,
        &[
            "maxservers",
            "static_file",
            "keepalive",
            "chunksize",
            "version",
            "static_file",
            "accepted_ext",
            "mbedtls",
            "accepted_ext",
            "transfer_type",
        ],
    );
    assert_eq!(warnings.len(), 10, "{warnings:#?}");
    let first = websocket(&config, 0);
    assert_eq!(first.docroot, Path::new("/var/run/ouistiti"));
    let listed = vec!["echo".to_owned(), "chat".to_owned()];
    assert_eq!(first.service.protocols, Protocols::Listed(listed));
}

#[test]
fn a_file_with_services_and_a_directory_for_each_server_loads() {
    let (config, warnings) = file("c-gateway-services.conf");
    have_no_effect(
        &warnings,
        &[
            "services",
            "service",
            "services",
            "forward",
            "signature",
            "cors",
            "dochome",
            "options",
            "redirect",
            "forward",
            "pers",
        ],
    );
    let more: Vec<_> = warnings
        .iter()
        .filter(|line| !line.contains("of the C gateway"))
        .collect();
    assert_eq!(
        more,
        [
            "'other' is no option of ours and has no effect",
            "'cachain' has no effect: nobody is asked for a certificate unless clientauth is \
             \"required\" or \"optional\"",
        ]
    );
    assert!(websocket(&config, 0).service.direct);
    let [first, second] = &config.servers[..] else {
        panic!("two servers: {config:?}");
    };
    assert_eq!(first.head_timeout, Duration::from_secs(10));
    assert_eq!(
        websocket(&config, 0).docroot,
        Path::new("/srv/radio/websocket")
    );
    let document = first.document.as_ref().expect("files");
    assert_eq!(document.docroot, Path::new("/srv/radio/htdocs"));
    let document = second.document.as_ref().expect("files");
    assert_eq!(document.docroot, Path::new("/srv/other"));
    let tls = second.tls.as_ref().expect("tls");
    let certificate = Path::new("/srv/radio/tls/server.crt");
    assert_eq!(tls.pairs[0].certificate, certificate);
    assert!(tls.client_ca.is_none(), "no browser has a certificate");
}

#[test]
fn a_file_that_asked_for_a_login_does_not_start_open() {
    let wrong = load_for(&path("c-gateway-login.conf"), ALL).expect_err("it asked for a login");
    let wrong = short(&wrong);
    let names = ["auth", "authz", "clientfilter", "userfilter"];
    assert_eq!(wrong.len(), names.len(), "{wrong:#?}");
    for (line, name) in wrong.iter().zip(names) {
        assert!(
            line.contains(&format!("'{name}'")) && line.contains(" is not understood here"),
            "{line}"
        );
        assert!(line.contains(&format!("ignore = \"{name}\";")), "{line}");
    }
    let text = std::fs::read_to_string(path("c-gateway-login.conf")).expect("a file");
    let waived = format!("ignore = \"{}\"; auth =", names.join(","));
    assert_eq!(
        warnings(&text.replacen("auth =", &waived, 1)).len(),
        names.len()
    );
    let some = text.replacen("auth =", "ignore = \"auth\"; auth =", 1);
    assert_eq!(
        errors(&some).len(),
        names.len(),
        "three errors and a warning"
    );
}

#[test]
fn a_deny_of_every_name_is_a_warning_that_says_what_it_means() {
    let (config, warnings) = file("c-gateway-deny.conf");
    assert_eq!(
        warnings,
        ["this refuses every name; denylast = true; lets in those that 'allow' matches"]
    );
    assert!(!websocket(&config, 0).allows("echo"));
    let deny = |more: &str| in_websocket(&format!("deny = \"x,*\"; {more}"));
    assert_eq!(super::warnings(&deny("")).len(), 1);
    assert!(super::warnings(&deny("denylast = true;")).is_empty());
}

#[test]
fn an_option_of_the_c_gateway_that_is_not_ours_is_a_warning() {
    let warned = warnings(&in_websocket("options = \"direkt\";"));
    assert!(
        warned[0].contains("'direkt' is no option of ours"),
        "{warned:?}"
    );
    assert!(warned[0].contains("(did you mean 'direct'?)"), "{warned:?}");
}

/// A server with this login: its settings, or what is wrong with it; and its warnings.
fn with_login(auth: &str) -> (Result<AuthConfig, Vec<String>>, Vec<String>) {
    let text = format!("servers = ( {{ auth = {auth}; }} );");
    match load_text(&text) {
        Ok((mut config, warnings)) => {
            let auth = config.servers.remove(0).auth.expect("a login");
            (Ok(auth), short(&warnings))
        }
        Err(all) => {
            let (errors, warnings): (Vec<_>, Vec<_>) = all
                .into_iter()
                .partition(|line| line.severity == Severity::Error);
            (Err(short(&errors)), short(&warnings))
        }
    }
}

#[test]
fn logins_that_we_have_mean_what_they_meant() {
    let globs = |globs: &[glob::Pattern]| -> Vec<String> {
        globs.iter().map(|glob| glob.as_str().to_owned()).collect()
    };
    let (login, warnings) = with_login(
        r#"{ type = "basic"; file = "/etc/users"; unprotect = "^lib/\\*;login.html;^css/*$"; mode = "cookie,header"; }"#,
    );
    let login = login.expect("it loads");
    assert_eq!(globs(&login.unprotect), ["/lib/*", "/login.html", "/css/*"]);
    have_no_effect(&warnings, &["mode"]);
    let (login, _) = with_login(
        r#"{ type = "Basic"; user = "x"; passwd = "y"; group = "g"; home = "h"; protect = "^private/*,tools/*"; algorithm = "MD5"; }"#,
    );
    assert_eq!(
        globs(&login.expect("it loads").protect),
        ["/private/*", "/tools/*"]
    );
    let (login, warnings) = with_login(r#"{ type = "None"; user = "nobody"; }"#);
    assert!(login.is_ok());
    have_no_effect(&warnings, &[]);
}

#[test]
fn logins_that_we_lack_are_errors_that_say_what_to_do() {
    for (auth, error, warning) in [
        (
            r#"{ type = "Digest"; algorithm = "SHA-256"; }"#,
            "'auth' of type \"Digest\" (there are None, Basic, ",
            "",
        ),
        (r#"{ type = "oAuth2"; }"#, "ignore = \"auth\"", ""),
        (
            r#"{ type = "Basic"; dbname = "/etc/users.db"; }"#,
            "auth needs 'file'",
            "type = \"rpc\"",
        ),
        (
            r#"{ type = "Bearer"; secret = "x"; }"#,
            "auth needs 'tokens'",
            "'keyfile'",
        ),
        (
            r#"{ type = "Bearer"; token_ep = "x"; expire = 9; options = "cookie"; }"#,
            "auth needs",
            "\"forward\"",
        ),
        (
            r#"( { type = "Basic"; file = "a"; }, { type = "None"; } )"#,
            "at most one 'auth'",
            "",
        ),
    ] {
        let (login, warnings) = with_login(auth);
        let errors = login.expect_err(auth);
        assert!(errors.iter().any(|line| line.contains(error)), "{errors:?}");
        let has = |line: &String| line.contains(warning);
        assert!(
            warning.is_empty() || warnings.iter().any(has),
            "{warnings:?}"
        );
    }
}
