//! The settings of a server, and what several servers have to do with each other.

use super::super::Listen;
use super::{errors, good, in_server, warnings};

#[test]
fn a_hostname_is_a_list_of_globs_in_lower_case() {
    let hosts = &good(&in_server("hostname = \"Router.LAN, *.example.org\";")).servers[0].hostnames;
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["router.lan", "*.example.org"]);
    for name in ["http://router", "router:80", "a b", "[a"] {
        assert_eq!(
            errors(&in_server(&format!("hostname = \"{name}\";"))).len(),
            1,
            "{name}"
        );
    }
}

#[test]
fn without_maxperip_an_address_has_a_quarter_and_loopback_no_limit() {
    let limits = |body: &str| {
        let server = good(&in_server(body)).servers[0].clone();
        ["127.0.0.1", "::ffff:127.0.0.2", "::1", "192.168.1.5"]
            .map(|ip| server.max_of(ip.parse().expect("an address")))
    };
    assert_eq!(limits(""), [None, None, None, Some(50)]);
    assert_eq!(limits("maxclients = 3;"), [None, None, None, Some(1)]);
    assert_eq!(limits("maxperip = 7;"), [Some(7); 4]);
    assert_eq!(limits("maxperip = 0;"), [None; 4]);
}

#[test]
fn a_setting_that_keeps_people_out_is_an_error_unless_it_is_waived() {
    let filter = "clientfilter = { allow = \"10.0.0.0/8\"; };";
    let found = errors(&in_server(filter));
    assert!(
        found.len() == 1 && found[0].contains("ignore = \"clientfilter\"; says that"),
        "{found:?}"
    );
    let waived = warnings(&in_server(&format!(
        "ignore = \"auth,clientfilter\"; {filter}"
    )));
    assert!(
        waived.len() == 1 && waived[0].contains("has no effect here: everybody may come in"),
        "{waived:?}"
    );
}

#[test]
fn a_redirect_leads_to_the_port_of_the_server_with_tls() {
    let tls = "tls = { crtfile = \"c\"; keyfile = \"k\"; }; websocket = { };";
    let two =
        |port: &str| format!("servers = ( {{ redirect = \"https\"; }}, {{ {port} {tls} }} );");
    assert_eq!(good(&two("")).servers[0].redirect, Some(443));
    assert_eq!(good(&two("port = 8443;")).servers[0].redirect, Some(8443));
    assert_eq!(good(&two("")).servers[1].redirect, None);
    let alone = errors("servers = ( { redirect = \"https\"; } );");
    assert!(alone[0].contains("needs another server"), "{alone:?}");
    let own = errors(&format!("servers = ( {{ redirect = \"https\"; {tls} }} );"));
    assert!(own[0].contains("is for a server without tls"), "{own:?}");
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
    assert_eq!(server.servers[0].listen_place.to_string(), "x.conf:2");
    for body in [
        "addr = \"\";",
        "addr = \"router.example.org\";",
        "addr = \"unix:/x,unix:/x\";",
        "addr = \"unix:/x\"; addrmode = \"0999\";",
        "addr = \"unix:/x\"; addrmode = \"01777\";",
        "addr = \"unix:/x\"; addrmode = 660;",
        "addr = \"::1,::1\";",
        "trusted = \"10.0.0.0/40\";",
        "addr = 5;",
    ] {
        assert_eq!(errors(&in_server(body)).len(), 1, "{body}");
    }
}

#[test]
fn a_unix_socket_has_a_mode_and_a_group() {
    let unix = |body: &str| {
        let config = good(&in_server(&format!("addr = \"unix:/run/x\"; {body}")));
        config.servers[0].listen[0].clone()
    };
    let made = |mode, group: Option<&str>| Listen::Unix {
        path: "/run/x".into(),
        mode,
        group: group.map(str::to_owned),
    };
    assert_eq!(unix(""), made(0o666, None));
    assert_eq!(
        unix("addrmode = \"0660\"; addrgroup = \"www-data\";"),
        made(0o660, Some("www-data"))
    );
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
