//! Tests of `access`: whose pages may connect.

use super::*;

fn is_allowed(config: &WebsocketConfig, host: &str, origin: &str, tls: bool) -> bool {
    check_origin(config, &upgrade(host, Some(origin), &[]), "/echo", tls).is_ok()
}

#[test]
fn a_page_may_reach_the_host_it_came_from_and_no_other() {
    let config = section("");
    for (host, origin, wanted) in [
        ("host.lan", "http://host.lan", true),
        ("host.lan:80", "http://host.lan", true),
        ("host.lan", "http://host.lan:80", true),
        ("host.lan:8080", "http://host.lan:8080", true),
        ("HOST.lan", "http://host.lan", true),
        ("host.lan", "HTTP://HOST.LAN", true),
        ("host.lan.", "http://host.lan", true),
        ("host.lan", "http://host.lan.", true),
        ("192.168.1.1", "http://192.168.1.1", true),
        ("[fe80::1]", "http://[fe80::1]", true),
        ("[FE80::1]:8080", "http://[fe80::1]:8080", true),
        ("xn--bcher-kva.lan", "http://xn--bcher-kva.lan", true),
        // A proxy in front speaks TLS for us.
        ("host.lan", "https://host.lan", true),
        ("host.lan:8443", "https://host.lan:8443", true),
        ("host.lan", "http://host.lan:8080", false),
        ("host.lan:8080", "http://host.lan", false),
        ("host.lan:80", "https://host.lan", false),
        ("host.lan", "https://host.lan:8443", false),
        ("host.lan", "http://evil-host.lan", false),
        ("host.lan", "http://evilhost.lan", false),
        ("host.lan", "http://host.lan.evil", false),
        ("host.lan", "http://www.host.lan", false),
        ("host.lan", "http://host.la", false),
        ("host.lan", "http://lan", false),
        ("host.lan", "http://host.lan..", false),
        ("host.lan", "null", false),
        ("host.lan", "", false),
        ("host.lan", "host.lan", false),
        ("host.lan", "://host.lan", false),
        ("host.lan", "//host.lan", false),
        ("host.lan", "file://", false),
        ("host.lan", "file://host.lan", false),
        ("host.lan", "ftp://host.lan", false),
        ("host.lan", "chrome-extension://host.lan", false),
        ("host.lan", "http://user@host.lan", false),
        ("host.lan", "http://host.lan@evil.lan", false),
        ("host.lan", "http://evil.lan@host.lan", false),
        ("host.lan", "http://host.lan:80@evil.lan", false),
        ("host.lan", "http://host.lan/", true),
        ("host.lan", "ws://host.lan/", true),
        ("host.lan", "wss://host.lan", true),
        ("host.lan", "http://host.lan//", false),
        ("host.lan", "http://host.lan/evil", false),
        ("host.lan", "http://evil.lan/host.lan", false),
        ("host.lan", "http://evil.lan#host.lan", false),
        ("host.lan", "http://host.lan evil.lan", false),
        ("host.lan", "http://host.lan,http://evil.lan", false),
        ("host.lan", "http://host.lan:0x50", false),
        ("host.lan", "http://host.lan:+80", false),
        ("host.lan", "http://host.lan:65616", false),
        ("host.lan", "http://host.lan:80:80", false),
        ("host.lan", "http://*", false),
        ("bücher.lan", "http://bücher.lan", false),
        ("[fe80::1]", "http://[fe80::2]", false),
        ("[fe80::1]", "http://fe80::1", false),
        ("[fe80::1]", "http://[fe80::1", false),
        ("[evil]", "http://[evil]", false),
        ("", "http://", false),
        (".", "http://.", false),
    ] {
        let got = is_allowed(&config, host, origin, false);
        assert_eq!(got, wanted, "{origin:?} to {host:?}");
    }
}

#[test]
fn a_page_without_tls_does_not_reach_a_server_with_tls() {
    let config = section("");
    for (host, origin, wanted) in [
        ("host.lan", "https://host.lan", true),
        ("host.lan", "https://host.lan:443", true),
        ("host.lan:8443", "https://host.lan:8443", true),
        ("host.lan", "http://host.lan", false),
        ("host.lan", "http://host.lan:443", false),
        ("host.lan:443", "http://host.lan:443", false),
        ("host.lan:8443", "http://host.lan:8443", false),
        ("host.lan", "https://host.lan:8443", false),
    ] {
        let got = is_allowed(&config, host, origin, true);
        assert_eq!(got, wanted, "{origin:?} to {host:?}");
    }
}

#[test]
fn origins_that_are_listed_may_connect_whatever_the_host() {
    let config = section("origins = \"*.lan, www.example.org:8080, [fe80::1]\"");
    for (origin, wanted) in [
        ("http://host.lan", true),
        ("https://HOST.LAN:8443", true),
        ("http://a.b.lan", true),
        ("http://host.lan.", true),
        ("http://www.example.org:8080", true),
        ("http://[fe80::1]", true),
        ("https://[fe80::1]:8443", true),
        ("http://www.example.org", false),
        ("http://lan", false),
        ("http://host.lan.evil", false),
        ("http://evil/.lan", false),
        ("http://evil#.lan", false),
        ("http://evil@host.lan", false),
        ("http://[x.lan]", false),
        ("http://f", false),
        ("null", false),
    ] {
        let got = is_allowed(&config, "gateway.lan", origin, false);
        assert_eq!(got, wanted, "{origin:?}");
    }
    // A list adds to the same origin.
    assert!(is_allowed(&config, "gateway", "http://gateway", false));
}

#[test]
fn a_star_allows_every_origin() {
    let config = section("origins = \"*\"");
    for origin in ["null", "file://", "http://evil.lan", "app://x", "nonsense"] {
        assert!(is_allowed(&config, "host.lan", origin, true), "{origin}");
    }
}

#[test]
fn the_words_of_origins_add_to_its_globs() {
    let config = section("origins = \"same-host, null, file, 10.0.*\"");
    for (host, origin, wanted) in [
        ("192.168.1.1:8080", "http://192.168.1.1", true),
        ("192.168.1.1:8080", "http://192.168.1.1/", true),
        ("192.168.1.1:8080", "ws://192.168.1.1:8080", true),
        ("192.168.1.1", "https://192.168.1.1:8443", true),
        ("host.lan:8080", "null", true),
        ("host.lan:8080", "file://", true),
        ("host.lan:8080", "FILE:///srv/page.html", true),
        ("host.lan:8080", "http://10.0.0.1", true),
        ("host.lan:8080", "http://10.0.0.evil.example", false),
        ("host.lan:8080", "http://evil.lan", false),
        ("host.lan:8080", "ftp://host.lan", false),
        ("host.lan:8080", "chrome-extension://host.lan", false),
        ("host.lan:8080", "http://host.lan:8080@evil.lan", false),
        ("", "http://", false),
    ] {
        let got = is_allowed(&config, host, origin, false);
        assert_eq!(got, wanted, "{origin:?} to {host:?}");
    }
    let own = section("");
    assert!(!is_allowed(
        &own,
        "192.168.1.1:8080",
        "http://192.168.1.1",
        false
    ));
}

#[test]
fn a_refused_origin_names_the_setting_that_lets_it_in() {
    let config = section("");
    for (origin, cure) in [
        ("http://192.168.1.1", "\"same-host\""),
        ("http://other.lan:8080", "\"other.lan\""),
        ("null", "\"null\""),
        ("file://", "\"file\""),
        ("nonsense", "\"*\""),
    ] {
        let upgrade = upgrade("192.168.1.1:8080", Some(origin), &[]);
        let refusal = check_origin(&config, &upgrade, "/echo", false).expect_err("a foreign page");
        assert!(refusal.to_string().contains(cure), "{refusal}");
    }
}

#[test]
fn a_client_without_origin_is_no_browser() {
    for body in ["", "origins = \"host.lan\""] {
        let upgrade = upgrade("host.lan", None, &[]);
        assert!(check_origin(&section(body), &upgrade, "/echo", false).is_ok());
    }
}
