//! What the keys take, and what is said of what they do not.

use std::time::Duration;

use super::super::model::MaxPerIp;
use super::super::patterns::Origins;
use super::super::service::Protocols;
use super::super::{FrameType, Framing, Listen};
use super::{errors, good, in_server, in_websocket, load_text, warnings, websocket};

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
    assert_eq!(
        (server.max_clients, server.max_per_ip, server.max_memory),
        (200, MaxPerIp::Default, 32 << 20)
    );
    assert_eq!(server.head_size, 16 << 10);
    assert_eq!(server.head_timeout, Duration::from_secs(10));
    assert!(
        server.hostnames.is_empty()
            && server.redirect.is_none()
            && server.trusted.is_empty()
            && server.tls.is_none()
            && server.document.is_none()
    );
    let websocket = server.websocket.as_ref().expect("a websocket");
    assert_eq!(websocket.docroot.to_str(), Some("/var/run/ouistiti"));
    assert_eq!(websocket.allow, [glob::Pattern::new("*").expect("a glob")]);
    assert!(websocket.deny.is_empty() && !websocket.deny_last);
    assert_eq!(websocket.origins, Origins::default());
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
    assert!(!service.direct && !service.merge && !service.proxy);
    assert_eq!(service.protocols, Protocols::FirstOffered);
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
fn a_setting_in_the_wrong_section_is_told_where_it_belongs() {
    for (text, message) in [
        (
            "websocket = { };",
            "1:1 unknown setting 'websocket' in the file (it belongs in servers)",
        ),
        (
            "docroot = \"/x\";",
            "1:1 unknown setting 'docroot' in the file (it belongs in websocket or document)",
        ),
        (
            "servers = ({ origins = \"*\"; });",
            "1:14 unknown setting 'origins' in servers (it belongs in websocket)",
        ),
        (
            "servers = ({ user = \"x\"; });",
            "1:14 unknown setting 'user' in servers (it belongs in the file or auth)",
        ),
    ] {
        assert_eq!(errors(text)[0], message, "{text}");
    }
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
fn an_allow_that_lets_nothing_in_is_a_warning() {
    for (body, is_warned) in [("", true), (",", true), ("*", false), ("a", false)] {
        let found = warnings(&in_websocket(&format!("allow = \"{body}\";")));
        let wanted = "2:9 this lets no name in; allow = \"*\"; lets in every name";
        assert_eq!(
            found.contains(&wanted.to_owned()),
            is_warned,
            "{body}: {found:?}"
        );
    }
}

#[test]
fn words_and_globs_of_origins_add_up() {
    let origins = |list: &str| websocket(&format!("origins = \"{list}\";")).origins;
    assert_eq!(origins("same-origin"), Origins::default());
    assert_eq!(origins(""), Origins::default());
    assert!(origins("*").any && origins("\\\\*").any);
    let found = origins("same-host, null,file ,*.Example.org,[::1]:80*");
    assert!(found.same_host && found.null && found.file && !found.any);
    let hosts: Vec<_> = found.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["*.example.org", "[[]::1[]]:80*"]);
    assert!(errors(&in_websocket("origins = \"https://example.org\";"))[0].contains("host alone"));
}

#[test]
fn subprotocols_are_the_first_offered_or_those_listed() {
    let protocols = |body: &str| websocket(body).service.protocols.clone();
    let offered = ["b".to_owned(), "a".to_owned()];
    for (body, chosen) in [
        ("", Some("b")),
        ("protocols = \"*\";", Some("b")),
        ("protocols = \"a, *\";", Some("b")),
        ("protocols = \"a,c\";", Some("a")),
        ("protocols = \"c\";", None),
        ("protocols = \"\";", None),
    ] {
        let got = protocols(body).choose(&offered).cloned();
        assert_eq!(got.as_deref(), chosen, "{body}");
    }
}

#[test]
fn an_empty_string_unsets_what_may_be_missing_and_nothing_else() {
    let text = in_server("addrgroup = \"\";") + " log-file = \"\";";
    let warned = warnings(&text);
    assert_eq!(warned.len(), 2, "{warned:#?}");
    assert!(warned[0].contains("as if it were not set"));
    assert_eq!(
        errors(&in_websocket("docroot = \"\";")),
        ["2:11 'docroot' is empty"]
    );
}

#[test]
fn sizes_take_bytes_or_a_number_with_k_or_m() {
    let memory =
        |value: &str| good(&in_server(&format!("maxmemory = {value};"))).servers[0].max_memory;
    assert_eq!(memory("1000000"), 1_000_000);
    assert_eq!(memory("\"100000\""), 100_000);
    assert_eq!(memory("\"512K\""), 512 << 10);
    assert_eq!(memory("\" 2048m\""), 1 << 31);
    for (body, message) in [
        (
            "maxmemory = \"1K\";",
            "'maxmemory' is 1K, but must be from 64K to 2048M",
        ),
        (
            "maxmemory = \"1G\";",
            "'maxmemory' takes a number of bytes, such as \"512K\" or \"16M\", not a string",
        ),
        ("maxmemory = \"9999999999999M\";", "not a string"),
        (
            "headsize = 65537;",
            "'headsize' is 65537, but must be from 1K to 64K",
        ),
        ("headsize = true;", "not a boolean"),
    ] {
        let found = errors(&in_server(body));
        assert!(
            found.len() == 1 && found[0].contains(message),
            "{body}: {found:?}"
        );
    }
}

#[test]
fn words_have_one_table_each() {
    for (word, framing) in [
        ("stream", Framing::Stream),
        ("line", Framing::Line),
        ("crlf", Framing::Crlf),
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
        "maxmessage = \"1025M\";",
        "wait = -1;",
        "wait = 61;",
        "ping = 1.5;",
    ] {
        assert_eq!(errors(&in_websocket(body)).len(), 1, "{body}");
    }
    for body in [
        "keepalivetimeout = -1;",
        "keepalivetimeout = 3601;",
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
    let direct = |frametype| format!("options = \"direct\"; frametype = \"{frametype}\";");
    assert!(warnings(&in_websocket(&direct("auto"))).is_empty());
    let found = warnings(&in_websocket(&direct("binary")));
    assert!(
        found.len() == 1 && found[0].contains("needs libwebsocket.so"),
        "{found:?}"
    );
}
