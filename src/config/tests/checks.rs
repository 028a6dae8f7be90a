//! What the keys take, and what is said of what they do not.

use super::super::{FrameType, Framing, Listen};
use super::{errors, good, in_websocket, load_text, warnings, websocket};
use std::time::Duration;

fn in_server(body: &str) -> String {
    format!("servers = ({{ document = {{ docroot = \"/\"; }};\n{body}\n}});")
}

#[test]
fn the_smallest_file_gives_every_default_of_the_manual() {
    let config = good("servers = ( { websocket = { }; } );");
    assert_eq!(
        (config.user, config.pid_file, config.log_file, config.init_d),
        (None, None, None, None)
    );
    let server = &config.servers[0];
    assert_eq!(
        server.listen,
        [Listen::Tcp("[::]:80".parse().expect("an address"))]
    );
    assert_eq!((server.max_clients, server.max_per_ip), (200, 0));
    assert_eq!(server.head_timeout, Duration::from_secs(10));
    assert!(
        server.hostname.is_none()
            && server.trusted.is_empty()
            && server.tls.is_none()
            && server.document.is_none()
    );
    let websocket = server.websocket.as_ref().expect("a websocket");
    assert_eq!(websocket.docroot.to_str(), Some("/var/run/ouistiti"));
    assert_eq!(websocket.allow, [glob::Pattern::new("*").expect("a glob")]);
    assert!(websocket.deny.is_empty() && !websocket.deny_last && websocket.origins.is_none());
    assert_eq!(websocket.ping, Duration::from_secs(25));
    let service = &websocket.service;
    assert_eq!(
        (service.frame_type, service.framing),
        (FrameType::Auto, Framing::Stream)
    );
    assert_eq!(
        (service.max_message, service.wait),
        (16 << 20, Duration::ZERO)
    );
    assert!(!service.direct && !service.merge && !service.proxy && service.protocols.is_empty());
}

#[test]
fn a_misspelt_key_is_shown_as_the_manual_promises() {
    let text = "servers = ({\n\twebsocket = {\n\t\talow = \"ws_*\";\n\t};\n});";
    let wrong = load_text(text).expect_err("a misspelt key");
    assert_eq!(
        wrong[0].to_string(),
        "x.conf:3:3: error: unknown setting 'alow' in websocket (did you mean 'allow'?)\n    alow = \"ws_*\";\n    ^~~~"
    );
}

#[test]
fn one_run_finds_every_error() {
    let text = "usr = \"x\";\nservers = ({\n port = 70000; maxclients = 0; colour = \"red\";\n tls = { crtfile = \"a\"; };\n\
                 websocket = {\n  frametype = \"txt\"; ping = \"often\"; denylast = 1; allow = \"[a\";\n  options = \"direct\";\n };\n});";
    assert_eq!(
        errors(text),
        [
            "1:1 unknown setting 'usr' in the file (did you mean 'user'?)",
            "3:9 'port' is 70000, but must be from 0 to 65535",
            "3:29 'maxclients' is 0, but must be from 1 to 10000",
            "3:32 unknown setting 'colour' in servers",
            "4:2 tls needs 'keyfile', such as keyfile = \"/etc/ouistiti/server.key\";",
            "6:15 'frametype' cannot be 'txt': it takes \"auto\", \"text\" or \"binary\" (did you mean 'text'?)",
            "6:29 'ping' takes a whole number, not a string",
            "6:49 'denylast' takes true or false, not a whole number",
            "6:60 '[a' is not a glob: invalid range pattern (character 1)",
            "7:13 'direct' cannot go with tls: the backend would get the bare TCP socket, on which all is encrypted; \
             give direct services a server without tls",
        ]
    );
}

#[test]
fn a_file_without_servers_is_an_error() {
    for text in ["", "user = \"nobody\";", "servers = ( );"] {
        assert_eq!(
            errors(text),
            ["1:1 there is no server: servers = ( { websocket = { }; } );"],
            "{text}"
        );
    }
    assert_eq!(errors("servers = { };").len(), 1);
    assert_eq!(
        errors("servers = ( 5 );"),
        ["1:13 'servers' takes groups { ... }, not a whole number"]
    );
}

#[test]
fn a_server_has_at_most_one_websocket() {
    let twice = "servers = ({ websocket = { };\n websocket = { }; });";
    assert_eq!(
        errors(twice),
        ["2:2 'websocket' is set twice (first in line 1)"]
    );
    let list = "servers = ({ websocket = ( { }, { } ); });";
    assert_eq!(
        errors(list),
        ["1:14 a server has at most one 'websocket': websocket = { ... };"]
    );
}

#[test]
fn a_syntax_error_does_not_bring_errors_about_what_it_swallowed() {
    assert_eq!(
        errors("servers = ({ tls = { crtfile = ; keyfile = \"k\"; }; });"),
        ["1:32 expected a value, found ';'"]
    );
    assert_eq!(errors("servers = ;"), ["1:11 expected a value, found ';'"]);
}

#[test]
fn globs_of_the_c_gateway_are_translated() {
    let parsed = websocket(r#"allow = "ws_\*, ^/chat$,,  jsonrpc "; deny = [ "a", "b,c" ];"#);
    let text = |patterns: &[glob::Pattern]| {
        patterns
            .iter()
            .map(|p| p.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(text(&parsed.allow), ["ws_*", "chat", "jsonrpc"]);
    assert_eq!(text(&parsed.deny), ["a", "b", "c"]);
    assert_eq!(
        warnings(&in_websocket(r#"deny = "^admin";"#)),
        ["2:8 '^admin' means the name 'admin' alone; write 'admin*' for all that begin with it"]
    );
}

#[test]
fn origins_are_hosts() {
    assert_eq!(
        websocket("origins = \"*\";")
            .origins
            .map(|origins| origins.len()),
        Some(1)
    );
    assert_eq!(
        websocket("origins = \"*.Example.org\";")
            .origins
            .expect("origins")[0]
            .as_str(),
        "*.example.org"
    );
    assert!(errors(&in_websocket("origins = \"https://example.org\";"))[0].contains("host alone"));
}

#[test]
fn an_ipv6_origin_is_no_set_of_characters() {
    let origins = websocket("origins = \"[::1],h[ab],[::1]:80*\";")
        .origins
        .expect("origins");
    assert!(origins[0].matches("[::1]") && !origins[0].matches("1"));
    assert!(origins[1].matches("ha"));
    assert!(origins[2].matches("[::1]:8080") && !origins[2].matches("[::1]"));
}

#[test]
fn an_empty_string_unsets_what_may_be_missing_and_nothing_else() {
    let text = in_server("hostname = \"\";") + " log-file = \"\";";
    let warned = warnings(&text);
    assert_eq!(warned.len(), 2, "{warned:#?}");
    assert!(warned[0].contains("as if it were not set"));
    assert_eq!(
        errors(&in_websocket("docroot = \"\";")),
        ["2:11 'docroot' is empty"]
    );
}

#[test]
fn a_hostname_is_the_name_alone_in_lower_case() {
    let host = good(&in_server("hostname = \"Router.LAN\";")).servers[0]
        .hostname
        .clone();
    assert_eq!(host.as_deref(), Some("router.lan"));
    for name in ["http://router", "router:80", "a b"] {
        assert_eq!(
            errors(&in_server(&format!("hostname = \"{name}\";"))).len(),
            1,
            "{name}"
        );
    }
}

#[test]
fn words_have_one_table_each() {
    for (word, framing) in [
        ("stream", Framing::Stream),
        ("line", Framing::Line),
        ("nul", Framing::Nul),
        ("length", Framing::Length),
    ] {
        assert_eq!(
            websocket(&format!("framing = \"{word}\";")).service.framing,
            framing
        );
    }
    assert_eq!(
        websocket("frametype = \"binary\";").service.frame_type,
        FrameType::Binary
    );
    assert!(
        websocket("proxy = \"v2\";").service.proxy
            && websocket("options = \"direct\";").service.direct
    );
    assert!(errors(&in_websocket("options = \"direkt\";"))[0].contains("(did you mean 'direct'?)"));
    assert!(
        errors(&in_websocket("proxy = true;"))[0]
            .contains("'proxy' takes \"none\" or \"v2\", not a boolean")
    );
}

#[test]
fn numbers_keep_their_bounds() {
    for body in [
        "ping = 0;",
        "ping = 3601;",
        "maxmessage = 0;",
        "maxmessage = 1073741825;",
        "wait = -1;",
        "wait = 61;",
        "ping = 1.5;",
    ] {
        assert_eq!(errors(&in_websocket(body)).len(), 1, "{body}");
    }
    for body in [
        "keepalivetimeout = 0;",
        "maxclients = 10001;",
        "maxperip = -1;",
        "port = -1;",
        "port = 65536;",
        "port = 1e3;",
    ] {
        assert_eq!(errors(&in_server(body)).len(), 1, "{body}");
    }
    assert_eq!(
        good(&in_server("maxclients = 10000; port = 0;")).servers[0].max_clients,
        10_000
    );
}

#[test]
fn addresses_and_networks_are_checked() {
    let server = good(&in_server(
        "addr = \"127.0.0.1, [::1]:81, unix:/run/x\"; port = 82; trusted = \"10.0.0.0/8\";",
    ));
    let listen: Vec<_> = server.servers[0]
        .listen
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(listen, ["127.0.0.1:82", "[::1]:81", "unix:/run/x"]);
    for body in [
        "addr = \"\";",
        "addr = \"router\";",
        "addr = \"::1,::1\";",
        "trusted = \"10.0.0.0/40\";",
        "addr = 5;",
    ] {
        assert_eq!(errors(&in_server(body)).len(), 1, "{body}");
    }
}

#[test]
fn two_servers_cannot_listen_on_one_address() {
    let two = |host: &str| {
        format!(
            "servers = ( {{ document = {{ docroot = \"/\"; }}; }}, {{ {host} document = {{ docroot = \"/\"; }}; }} );"
        )
    };
    assert!(errors(&two(""))[0].contains("listens on [::]:80 like server 1"));
    assert_eq!(
        errors(&two("hostname = \"b\";")).len(),
        1,
        "not even by name"
    );
    good(&two("port = 81;"));
}

#[test]
fn settings_that_do_not_go_together_are_told() {
    let found = errors(&in_websocket("options = \"direct\"; proxy = \"v2\";"));
    assert!(
        found.len() == 1 && found[0].contains("'proxy' cannot go with 'direct'"),
        "{found:?}"
    );
    assert!(
        warnings(&in_websocket("framing = \"nul\"; merge = true;"))[0]
            .contains("'merge' has no effect")
    );
}

#[test]
fn the_number_of_servers_has_a_limit() {
    let servers = |count| {
        format!(
            "servers = ( {} );",
            "{ port = 0; document = { docroot = \"/\"; }; },".repeat(count)
        )
    };
    good(&servers(64));
    assert!(errors(&servers(65))[0].contains("more than 64 servers"));
}

#[test]
fn a_server_that_serves_nothing_gets_a_warning() {
    assert_eq!(warnings("servers = ( { cgi = { }; } );").len(), 2);
}

#[test]
fn client_certificates_need_their_authorities() {
    let tls = |body: &str| {
        in_server(&format!(
            "tls = {{ crtfile = \"a\"; keyfile = \"b\"; {body} }};"
        ))
    };
    let config = good(&tls(
        "cachain = \"c\"; clientauth = \"optional\"; certificates = ( { crtfile = \"d\"; keyfile = \"e\"; } );",
    ));
    let parsed = config.servers[0].tls.as_ref().expect("tls");
    assert!(parsed.client_auth_optional && parsed.pairs.len() == 2);
    assert!(errors(&tls("clientauth = \"optional\";"))[0].contains("needs 'cachain'"));
    assert!(
        errors(&tls("pemfile = \"f\";"))[0]
            .contains("'pemfile' is the former name of 'keyfile', which is set as well")
    );
}
