//! What is read at start, and renewed.

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;

use super::*;
use crate::tls::der::{Der, SEQUENCE};
use crate::tls::pair::{date_warning, seconds_now};
use crate::tls::{TlsError, x509};

#[test]
fn rsa_and_ec_keys_are_read_in_all_three_forms() {
    let authority = Authority::new();
    let client = Arc::new(authority.client());
    let always = ["20200101000000Z", "20491231000000Z"];
    let rsa = authority.issue_as("rsa", "gateway.test", RSA, always);
    let ec = authority.issue("ec", "gateway.test");
    authority.openssl(&["rsa", "-traditional", "-in", "rsa.key", "-out", "rsa.pkcs1"]);
    authority.openssl(&["ec", "-in", "ec.key", "-out", "ec.sec1"]);
    let bare = fs::read_to_string(authority.path("ec.sec1")).expect("written");
    authority.openssl(&["ecparam", "-name", "prime256v1", "-out", "ec.parameters"]);
    let parameters = fs::read_to_string(authority.path("ec.parameters")).expect("written");
    fs::write(authority.path("ec.openssl"), parameters + &bare).expect("write");
    let forms = [
        (&rsa, "rsa.key", "BEGIN PRIVATE KEY"),
        (&rsa, "rsa.pkcs1", "BEGIN RSA PRIVATE KEY"),
        (&ec, "ec.key", "BEGIN PRIVATE KEY"),
        (&ec, "ec.sec1", "BEGIN EC PRIVATE KEY"),
        (&ec, "ec.openssl", "BEGIN EC PARAMETERS"),
    ];
    for (pair, key, label) in forms {
        let key = authority.path(key);
        assert!(fs::read_to_string(&key).expect("a key").contains(label));
        let pair = TlsPair {
            key,
            ..pair.clone()
        };
        let certificates = Certificates::load(&serving(vec![pair])).expect(label);
        connected(&certificates, &client);
    }
}

#[test]
fn der_files_are_taken_as_pem_files_are() {
    let authority = Authority::new();
    let client = Arc::new(authority.client());
    let always = ["20200101000000Z", "20491231000000Z"];
    authority.issue_as("rsa", "gateway.test", RSA, always);
    authority.issue_as("p384", "gateway.test", P384, always);
    authority.issue_as("ed", "gateway.test", &["ed25519"], always);
    for (name, form) in [
        ("rsa", &["pkey"][..]),
        ("rsa", &["rsa", "-traditional"]),
        ("p384", &["pkey"]),
        ("p384", &["ec"]),
        ("ed", &["pkey"]),
    ] {
        let (key, crt) = (format!("{name}.key"), format!("{name}.crt"));
        let out = ["-in", &key, "-outform", "der", "-out", "der.key"];
        authority.openssl(&[form, &out].concat());
        authority.openssl(&["x509", "-in", &crt, "-outform", "der", "-out", "der.crt"]);
        let pair = TlsPair {
            certificate: authority.path("der.crt"),
            key: authority.path("der.key"),
        };
        let certificates = Certificates::load(&serving(vec![pair])).expect(name);
        connected(&certificates, &client);
    }
}

#[test]
fn a_key_or_certificate_that_cannot_be_used_says_what_it_is_and_what_to_make() {
    let authority = Authority::new();
    let always = ["20200101000000Z", "20491231000000Z"];
    let curve = |name| ["ec", "-pkeyopt", name];
    for (name, how, kind) in [
        ("small", &["rsa:1024"][..], "an RSA key of 1024 bits"),
        (
            "p521",
            &curve("ec_paramgen_curve:P-521"),
            "an EC key on curve P-521",
        ),
        (
            "koblitz",
            &curve("ec_paramgen_curve:secp256k1"),
            "an EC key on curve secp256k1",
        ),
        ("ed448", &["ed448"], "an Ed448 key"),
    ] {
        let pair = authority.issue_as(name, "gateway.test", how, always);
        let error = Certificates::load(&serving(vec![pair])).expect_err(name);
        let error = error.to_string();
        let file = format!("{name}.key: cannot use {kind}: ");
        assert!(error.contains(&file), "{error}");
        assert!(error.contains("P-256") && error.contains("openssl req"));
    }
    let pair = authority.issue("old", "gateway.test");
    let v3 = chain(&pair.certificate).remove(0);
    fs::write(authority.path("v1.crt"), version_1(&v3)).expect("write");
    let pair = TlsPair {
        certificate: authority.path("v1.crt"),
        ..pair
    };
    let error = Certificates::load(&serving(vec![pair])).expect_err("version 1");
    let error = error.to_string();
    assert!(error.contains("X.509 version 1"), "{error}");
    assert!(!error.contains("Other"), "{error}");
}

/// A certificate without its version and its extensions; its signature is wrong, which the server
/// that shows it does not look at.
fn version_1(certificate: &[u8]) -> Vec<u8> {
    let der = |tag: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).expect("a short certificate");
        [&[tag, 0x82], &length.to_be_bytes()[..], content].concat()
    };
    let mut outer = Der(Der(certificate).expect(SEQUENCE).expect("a certificate"));
    let mut body = Der(outer.expect(SEQUENCE).expect("its body"));
    let mut fields = Vec::new();
    while let Some((tag, content)) = body.next() {
        // [0] is the version, [3] the extensions.
        if tag != 0xa0 && tag != 0xa3 {
            fields.extend(der(tag, content));
        }
    }
    let mut whole = der(SEQUENCE, &fields);
    while let Some((tag, content)) = outer.next() {
        whole.extend(der(tag, content));
    }
    der(SEQUENCE, &whole)
}

#[test]
fn certificate_and_key_may_share_a_file() {
    let authority = Authority::new();
    let pair = authority.issue("gateway", "gateway.test");
    let both = authority.path("both.pem");
    let text = [
        fs::read(&pair.key).expect("key"),
        fs::read(&pair.certificate).expect("crt"),
    ];
    fs::write(&both, text.concat()).expect("write");
    let pair = TlsPair {
        certificate: both.clone(),
        key: both,
    };
    Certificates::load(&serving(vec![pair])).expect("one file for both");
}

#[test]
fn a_bad_pair_names_its_file_and_the_reason() {
    let authority = Authority::new();
    let good = authority.issue("good", "gateway.test");
    let other = authority.issue("other", "gateway.test");
    authority.openssl(&[
        "pkey",
        "-in",
        "good.key",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        "locked.key",
    ]);
    fs::write(authority.path("garbage"), b"\0\xffnot a PEM file\n").expect("write");
    let text = fs::read_to_string(&good.certificate).expect("read");
    fs::write(authority.path("cut"), &text[..text.len() / 2]).expect("write");
    fs::write(authority.path("noise"), text.replacen('A', "*", 1)).expect("write");
    let load = |certificate: &str, key: &str| {
        let pair = TlsPair {
            certificate: authority.path(certificate),
            key: authority.path(key),
        };
        Certificates::load(&serving(vec![good.clone(), pair]))
            .expect_err("a bad pair")
            .to_string()
    };
    let cases = [
        ("missing", "good.key", "missing", "no such file"),
        ("good.crt", "missing", "missing", "no such file"),
        ("garbage", "good.key", "garbage", "no certificate"),
        ("good.crt", "garbage", "garbage", "no private key"),
        ("good.crt", "good.crt", "good.crt", "no private key"),
        ("cut", "good.key", "cut", "bad PEM"),
        ("noise", "good.key", "noise", "bad PEM"),
        ("good.crt", "locked.key", "locked.key", "passphrase"),
        ("good.crt", "other.key", "good.crt", "belongs to another"),
    ];
    for (certificate, key, file, reason) in cases {
        let error = load(certificate, key);
        assert!(
            error.contains(file) && error.contains(reason),
            "{certificate} {key}: {error}"
        );
    }
    drop(other);
}

#[test]
fn a_bad_client_authority_is_an_error() {
    let authority = Authority::new();
    let pair = authority.issue("gateway", "gateway.test");
    let client_ca = Some(pair.key.clone());
    let error = Certificates::load(&TlsConfig {
        client_ca,
        ..serving(vec![pair])
    });
    assert!(
        matches!(error, Err(TlsError::NoCertificate(_))),
        "{error:?}"
    );
}

#[test]
fn a_certificate_out_of_its_dates_is_a_warning_not_an_error() {
    let authority = Authority::new();
    let dates = ["20200101000000Z", "20210203000000Z"];
    let pair = authority.issue_as("old", "gateway.test", EC, dates);
    Certificates::load(&serving(vec![pair.clone()])).expect("only a warning");
    let leaf = chain(&pair.certificate).remove(0);
    let warning = |now| date_warning(&pair.certificate, &leaf, now);
    let expired = warning(seconds_now()).expect("long expired");
    assert!(
        expired.contains("old.crt") && expired.contains("2021-02-03"),
        "{expired}"
    );
    assert_eq!(warning(1_600_000_000), None);
    assert!(warning(0).expect("1970").contains("clock"));
    assert_eq!(x509::subject(&leaf).as_deref(), Some("CN=old,O=Test"));
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let authority = Authority::new();
    let names = [
        ("first", "gateway.test"),
        ("second", "*.home.test"),
        ("third", "other.test"),
    ];
    let pairs = names
        .map(|(file, host)| authority.issue(file, host))
        .to_vec();
    let certificates = Certificates::load(&serving(pairs.clone())).expect("good pairs");
    let client = Arc::new(authority.client());
    for (host, index) in [("gateway.test", 0), ("a.home.test", 1), ("other.test", 2)] {
        let (peer, session) = connect(&certificates, &client, host);
        let (peer, session) = (peer.expect(host), session.expect(host));
        assert_eq!(
            peer.conn.peer_certificates().expect("shown")[0],
            chain(&pairs[index].certificate)[0]
        );
        assert_eq!(session.server_name().as_deref(), Some(host));
    }
    let (peer, _) = connect(&certificates, &client, "unknown.test");
    let refused = peer
        .expect_err("the default is not for this name")
        .to_string();
    assert!(refused.contains("gateway.test"), "{refused}"); // it was shown the first
}

#[test]
fn the_whole_chain_is_sent() {
    let (authority, _) = one_server();
    let pair = TlsPair {
        certificate: authority.path("gateway.crt"),
        key: authority.path("gateway.key"),
    };
    let text = ["gateway.crt", "ca.crt"].map(|file| fs::read(authority.path(file)).expect("read"));
    fs::write(&pair.certificate, text.concat()).expect("write");
    let certificates = Certificates::load(&serving(vec![pair])).expect("a chain");
    let (peer, _) = connected(&certificates, &Arc::new(authority.client()));
    assert_eq!(peer.conn.peer_certificates().expect("shown").len(), 2);
}

#[test]
fn a_reload_is_for_new_handshakes_and_keeps_open_sessions() {
    let (authority, certificates) = one_server();
    let client = || Arc::new(authority.client()); // a new one resumes nothing
    let (mut old, session) = connected(&certificates, &client());
    authority.issue("gateway", "gateway.test");
    let renewed = chain(&authority.path("gateway.crt"));
    certificates.reload().expect("a good pair");
    let (new, _) = connected(&certificates, &client());
    assert_eq!(new.conn.peer_certificates(), Some(&renewed[..]));
    assert_ne!(old.conn.peer_certificates(), Some(&renewed[..]));
    (&session).write_all(b"still here").expect("write");
    let mut text = [0; 10];
    old.read_exact(&mut text).expect("read");
    assert_eq!(&text, b"still here");
}

#[test]
fn a_bad_new_pair_keeps_the_old_one() {
    let (authority, certificates) = one_server();
    let old = chain(&authority.path("gateway.crt"));
    fs::write(authority.path("gateway.crt"), "half written").expect("write");
    let error = certificates
        .reload()
        .expect_err("not a certificate")
        .to_string();
    assert!(error.contains("gateway.crt"), "{error}");
    let (peer, _) = connected(&certificates, &Arc::new(authority.client()));
    assert_eq!(peer.conn.peer_certificates(), Some(&old[..]));
}

#[test]
fn changed_files_are_taken_once_they_have_settled() {
    let (authority, certificates) = one_server();
    let client = || Arc::new(authority.client());
    let old = chain(&authority.path("gateway.crt"));
    authority.issue("gateway", "gateway.test");
    let new = chain(&authority.path("gateway.crt"));
    for expected in [&old, &new] {
        certificates.look_at_next_handshake();
        let (peer, _) = connected(&certificates, &client());
        assert_eq!(peer.conn.peer_certificates(), Some(&expected[..]));
    }
    fs::write(authority.path("gateway.key"), "half written").expect("write");
    for _ in 0..3 {
        certificates.look_at_next_handshake();
        let (peer, _) = connected(&certificates, &client());
        assert_eq!(peer.conn.peer_certificates(), Some(&new[..]));
    }
}
