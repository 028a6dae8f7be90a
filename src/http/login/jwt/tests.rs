//! Tests of `jwt`: what lets in, and each way in which a token may lie.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

use super::*;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: i64 = 1_800_000_000;
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const GOOD: &str = r#"{"sub":"anna","exp":1800000060}"#;

fn key() -> Key {
    Key::of_secret(SECRET).expect("long enough")
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(bytes.as_ref())
}

/// A token signed with a secret, whatever its header says.
fn signed(header: &str, claims: &str, secret: &[u8]) -> String {
    let text = format!("{}.{}", base64(header), base64(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", base64(tag))
}

fn read(token: &str) -> Result<String, &'static str> {
    check_at(&key(), &[], token, NOW).map(|claims| claims.user)
}

/// A new key pair, and its public key as PEM.
fn pair() -> (EcdsaKeyPair, String) {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("random bytes");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).expect("a key");
    let public = [&P256[..], pair.public_key().as_ref()].concat();
    let digits = BASE64.encode(&public);
    let (first, second) = digits.split_at(64);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n");
    (pair, pem)
}

#[test]
fn a_signed_token_names_its_user_and_groups() {
    let claims = r#"{"sub":"anna","exp":1800000060,"nbf":1799999999,"groups":["a","b"]}"#;
    let read = check_at(&key(), &[], &signed(HEADER, claims, SECRET), NOW);
    let groups = vec!["a".to_owned(), "b".to_owned()];
    let user = "anna".to_owned();
    assert_eq!(read, Ok(Claims { user, groups }));
}

#[test]
fn the_examples_of_the_rfc_have_their_signatures() {
    // RFC 7515, appendix A.1: it expired in 2011, and names no user.
    let secret = BASE64URL_NOPAD
        .decode(
            b"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        )
        .expect("base64");
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let key = Key::of_secret(&secret).expect("long enough");
    assert_eq!(check_at(&key, &[], token, NOW), Err("it has expired"));
    let before = check_at(&key, &[], token, 1_300_819_000);
    assert_eq!(before, Err("it has no 'sub', which names the user"));
    // Appendix A.3.
    let number = |text: &[u8]| BASE64URL_NOPAD.decode(text).expect("base64");
    let x = number(b"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    let y = number(b"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let key = Key::Es256([vec![4], x, y].concat());
    let token = "eyJhbGciOiJFUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert_eq!(check_at(&key, &[], token, NOW), Err("it has expired"));
}

#[test]
fn es256_lets_in_by_its_own_key_alone() {
    let (own, pem) = pair();
    let (other, _) = pair();
    let key = Key::of_pem(pem.as_bytes()).expect("a public key");
    let sign = |pair: &EcdsaKeyPair| {
        let text = format!("{}.{}", base64(r#"{"alg":"ES256"}"#), base64(GOOD));
        let signature = pair.sign(&SystemRandom::new(), text.as_bytes());
        format!("{text}.{}", base64(signature.expect("signed")))
    };
    let user = |token: &str| check_at(&key, &[], token, NOW).map(|claims| claims.user);
    assert_eq!(user(&sign(&own)), Ok("anna".to_owned()));
    assert_eq!(user(&sign(&other)), Err("its signature is wrong"));
    let algorithm = "its algorithm is not that of 'algorithm'";
    assert_eq!(user(&signed(HEADER, GOOD, SECRET)), Err(algorithm));
    // The public key, which everybody has, as a secret.
    for secret in [pem.as_bytes(), own.public_key().as_ref()] {
        assert_eq!(user(&signed(HEADER, GOOD, secret)), Err(algorithm));
        let named = signed(r#"{"alg":"ES256"}"#, GOOD, secret);
        assert_eq!(user(&named), Err("its signature is wrong"));
    }
    let longer = format!("{}A", sign(&own));
    assert_eq!(user(&longer), Err("its signature is wrong"));
}

#[test]
fn only_the_algorithm_of_the_configuration_counts() {
    for algorithm in ["none", "None", "hs256", "HS384", "RS256", "ES256", ""] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let token = signed(&header, GOOD, SECRET);
        let wrong = Err("its algorithm is not that of 'algorithm'");
        assert_eq!(read(&token), wrong, "{algorithm}");
        let (bare, _) = token.rsplit_once('.').expect("three parts");
        assert_eq!(read(&format!("{bare}.")), wrong, "{algorithm}");
    }
    for header in [r#"{"alg":["HS256"]}"#, r#"{}"#, r#"{"ALG":"HS256"}"#] {
        assert!(read(&signed(header, GOOD, SECRET)).is_err(), "{header}");
    }
    let critical = r#"{"alg":"HS256","crit":["b64"],"b64":false}"#;
    let unknown = Err("it has an extension that is not known");
    assert_eq!(read(&signed(critical, GOOD, SECRET)), unknown);
}

#[test]
fn a_token_lets_in_between_its_times_only() {
    let late = "it is not valid yet, or this machine's clock is wrong";
    let endless = "it has no 'exp', the time of its end";
    for (claims, wanted) in [
        (r#""exp":1800000001"#, None),
        (r#""exp":1800000001.5"#, None),
        (r#""exp":1799999980"#, None),
        (r#""exp":1799999960"#, Some("it has expired")),
        (r#""exp":-1"#, Some("it has expired")),
        (r#""exp":"1800000001""#, Some(endless)),
        (r#""exp":1.8e10"#, Some(endless)),
        (r#""exp":99999999999999999999"#, Some(endless)),
        (r#""iat":1"#, Some(endless)),
        (r#""exp":9223372036854775807,"nbf":1800000020"#, None),
        (r#""exp":1900000000,"nbf":1800000040"#, Some(late)),
        (r#""exp":1900000000,"nbf":"soon""#, Some(late)),
        (r#""exp":1900000000,"exp":1"#, Some("it has expired")),
    ] {
        let token = signed(HEADER, &format!(r#"{{"sub":"anna",{claims}}}"#), SECRET);
        assert_eq!(read(&token).err(), wanted, "{claims}");
    }
}

#[test]
fn a_token_for_others_lets_nobody_in() {
    let own = ["router".to_owned(), "nas".to_owned()];
    for (audience, lets_in, lets_in_without) in [
        ("", false, true),
        (r#","aud":"router""#, true, false),
        (r#","aud":["x","nas"]"#, true, false),
        (r#","aud":"Router""#, false, false),
        (r#","aud":["x"]"#, false, false),
        (r#","aud":[]"#, false, false),
        (r#","aud":["router",1]"#, false, false),
        (r#","aud":null"#, false, false),
    ] {
        let claims = format!(r#"{{"sub":"anna","exp":1800000060{audience}}}"#);
        let token = signed(HEADER, &claims, SECRET);
        let of = |own: &[String]| check_at(&key(), own, &token, NOW).is_ok();
        assert_eq!(
            (of(&own), of(&[])),
            (lets_in, lets_in_without),
            "{audience}"
        );
    }
}

#[test]
fn other_spellings_of_a_token_let_nobody_in() {
    let token = signed(HEADER, GOOD, SECRET);
    assert!(read(&token).is_ok());
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts: {token}");
    };
    let bytes = BASE64URL_NOPAD
        .decode(signature.as_bytes())
        .expect("base64");
    // 32 bytes leave two bits of the last digit unused.
    let last = signature.as_bytes()[signature.len() - 1];
    let unused = format!(
        "{}{}",
        &signature[..signature.len() - 1],
        char::from(last + 1)
    );
    for signature in [
        "",
        &signature[1..],
        &format!("{signature}="),
        &format!("{signature}\n"),
        &format!(" {signature}"),
        &format!("{signature}AA"),
        &unused,
        &BASE64.encode(&bytes),
        &signature.to_ascii_lowercase(),
    ] {
        let token = format!("{header}.{claims}.{signature}");
        assert!(read(&token).is_err(), "{signature}");
    }
    for token in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        &format!("{header}.{claims}"),
        &format!("{token}.x"),
        &format!("{header}=.{claims}.{signature}"),
        &format!("{header}.{claims}=.{signature}"),
        &format!(".{claims}.{signature}"),
        &format!("{claims}.{header}.{signature}"),
    ] {
        assert!(read(token).is_err(), "{token}");
    }
}

#[test]
fn a_long_token_is_read_and_a_long_header_is_not() {
    let more = format!(r#","more":["{}"]}}"#, "x".repeat(64 << 10));
    let long = |text: &str| text.replacen('}', &more, 1);
    assert_eq!(
        read(&signed(HEADER, &long(GOOD), SECRET)),
        Ok("anna".into())
    );
    let refused = read(&signed(&long(HEADER), GOOD, SECRET));
    assert_eq!(refused, Err("its header is longer than 4096 bytes"));
}

#[test]
fn a_user_is_a_name_that_a_log_can_show() {
    let long = format!(r#""{}""#, "u".repeat(256));
    for user in [
        "1",
        "null",
        r#""""#,
        r#""a\nb""#,
        r#""a\u0000""#,
        r#"["a"]"#,
        &long,
    ] {
        let claims = format!(r#"{{"sub":{user},"exp":1800000060}}"#);
        let why = read(&signed(HEADER, &claims, SECRET));
        assert_eq!(why, Err("it has no 'sub', which names the user"), "{user}");
    }
}

#[test]
fn what_is_no_key_is_an_error() {
    assert!(Key::of_secret(&SECRET[1..]).is_err());
    assert!(Key::of_secret(b"0123456789abcdef0123456789abcde\n").is_err());
    assert!(Key::of_secret(b"0123456789abcdef0123456789abcdef\r\n").is_ok());
    let (_, pem) = pair();
    assert!(Key::of_secret(pem.as_bytes()).is_err(), "RS256 to HS256");
    for text in [
        "",
        &pem.replace("PUBLIC", "PRIVATE"),
        &pem.replace("-----END", ""),
        &pem.replace("MFkw", "MFkx"),
        &pem.replacen('\n', "\nAAAA", 1),
    ] {
        assert!(Key::of_pem(text.as_bytes()).is_err(), "{text}");
    }
}
