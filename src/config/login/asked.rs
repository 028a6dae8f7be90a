//! `auth` that another program checks: where it is, and how it is asked.

use std::path::PathBuf;

use super::super::auth::AuthKind;
use super::super::choices::PROXIES;
use super::super::endpoint::Target;
use super::super::keys::auth::{ADDRESS, PATH, PROXY, TYPE};
use super::super::model::MAX_SOCKET_PATH;
use super::super::reader::Reader;

/// Reads how authrpc is asked.
pub(super) fn rpc(reader: &Reader) -> Option<AuthKind> {
    if !reader.built.auth_rpc {
        let message = "this ouistiti was built without this type (feature 'auth_rpc')";
        reader.error(&TYPE, message);
    }
    let tells_address = reader.choice(&PROXY, &PROXIES);
    Some(AuthKind::Rpc(target(reader)?, tells_address))
}

/// Reads how a program is asked by HTTP.
pub(super) fn forward(reader: &Reader) -> Option<AuthKind> {
    if !reader.built.auth_forward {
        let message = "this ouistiti was built without this type (feature 'auth_forward')";
        reader.error(&TYPE, message);
    }
    let path = reader.text(&PATH)?;
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("'{path}' is not a path such as \"/verify\"");
        reader.error(&PATH, message);
    }
    Some(AuthKind::Forward(target(reader)?, path))
}

/// Reads where the program listens.
fn target(reader: &Reader) -> Option<Target> {
    let address = reader.needed(&ADDRESS)?;
    let target = parse(&address);
    if target.is_none() {
        let message = format!(
            "'{address}' is neither unix:PATH, with at most {MAX_SOCKET_PATH} bytes of path, nor \
             HOST:PORT such as 127.0.0.1:9091"
        );
        reader.error(&ADDRESS, message);
    }
    target
}

fn parse(address: &str) -> Option<Target> {
    if let Some(path) = address.strip_prefix("unix:") {
        let fits = (1..=MAX_SOCKET_PATH).contains(&path.len());
        return fits.then(|| Target::Unix(PathBuf::from(path)));
    }
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match literal {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().ok().map(|_| ip),
        None => Some(host).filter(|host| !host.is_empty() && host.chars().all(is_name)),
    }
    .map(|host| Target::Tcp(host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_path_or_a_host_with_a_port() {
        let tcp = |host: &str, port| Some(Target::Tcp(host.to_owned(), port));
        assert_eq!(parse("127.0.0.1:9091"), tcp("127.0.0.1", 9091));
        assert_eq!(parse("[::1]:80"), tcp("::1", 80));
        assert_eq!(parse("login.lan:80"), tcp("login.lan", 80));
        assert_eq!(parse("unix:/run/x"), Some(Target::Unix("/run/x".into())));
        assert_eq!(parse("unix:@x"), Some(Target::Unix("@x".into())));
        for wrong in [
            "",
            "unix:",
            "127.0.0.1",
            ":80",
            "::1:80",
            "[::1]",
            "[x]:80",
            "a:0",
            "a:65536",
            "a:b",
            "http://a:80",
            "a/b:80",
            "a:80/verify",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(
            parse(&format!("unix:/{}", "x".repeat(MAX_SOCKET_PATH))),
            None
        );
    }
}
