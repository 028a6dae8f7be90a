//! Opening: whether a browser's request is meant for this server.
//!
//! An attacker can have the name of a page of theirs point at this machine after the page is loaded
//! (DNS rebinding). The page's requests then have a Host and an Origin that are alike, so the check
//! of the origin lets them pass; only the name tells that they are not meant for us.

use crate::config::HostPattern;
use crate::http::authority::Authority;
use crate::http::refusal::Refusal;
use crate::http::request::Request;

/// Endings of names that nobody can register in the public DNS (RFC 6761, 6762, 8375; ICANN has set
/// .internal aside, and delegates neither .lan, .home nor .localdomain).
const LOCAL: [&str; 7] = [
    ".localhost",
    ".local",
    ".lan",
    ".home",
    ".home.arpa",
    ".internal",
    ".localdomain",
];

/// The port of a `Host` without one. It decides nothing unless `hostname` names ports.
const PORT: u16 = 80;

/// Checks the Host of a request that comes from a browser, which an Origin tells. `certified` says
/// whether the server has a certificate for a name.
///
/// # Errors
/// `WrongHost`.
pub(crate) fn check(
    request: &Request,
    hostnames: &[HostPattern],
    certified: impl FnOnce(&str) -> bool,
) -> Result<(), Refusal> {
    match request.header("Origin") {
        Some(_) => demand(request, hostnames, certified),
        None => Ok(()),
    }
}

/// Checks the Host of any request, for an answer that no page of a stranger's name may read: a
/// browser sends no Origin with a GET of the page's own host.
///
/// # Errors
/// `WrongHost`.
pub(crate) fn demand(
    request: &Request,
    hostnames: &[HostPattern],
    certified: impl FnOnce(&str) -> bool,
) -> Result<(), Refusal> {
    match is_own(&request.host, hostnames, certified) {
        true => Ok(()),
        false => Err(Refusal::WrongHost(format!(
            "{}, for {}",
            request.host, request.path
        ))),
    }
}

/// Whether a Host can only be meant for this machine or its network: an address, or a name that
/// nobody can register.
#[cfg(feature = "state")]
pub(crate) fn is_local(host: &str) -> bool {
    is_own(host, &[], |_| false)
}

/// Where a plain request is sent on to: the same host and target by https (`redirect`).
///
/// # Errors
/// `Malformed` if the client has not said which host it wants.
pub(crate) fn redirect(request: &Request, port: u16) -> Refusal {
    let Some(authority) = Authority::parse(&request.host, PORT) else {
        return Refusal::Malformed("no Host to be sent on to by https");
    };
    let port = match port {
        443 => String::new(),
        port => format!(":{port}"),
    };
    // Browsers percent-encode what is not ASCII; the bytes of other clients are left out.
    let target = request.target.replace(|c: char| !c.is_ascii_graphic(), "");
    Refusal::Redirect(format!("https://{}{port}{target}", authority.host))
}

fn is_own(host: &str, hostnames: &[HostPattern], certified: impl FnOnce(&str) -> bool) -> bool {
    let Some(authority) = Authority::parse(host, PORT) else {
        return false;
    };
    let name = authority.host.as_str();
    authority.is_address()
        || !name.contains('.')
        || LOCAL.iter().any(|ending| name.ends_with(ending))
        || hostnames
            .iter()
            .any(|own| own.matches(name, authority.port))
        || is_machine(name)
        || certified(name)
}

/// Whether this machine goes by a name (gethostname(2)), which it may change while we run.
fn is_machine(name: &str) -> bool {
    let own = nix::unistd::gethostname();
    own.is_ok_and(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ours(host: &str, hostnames: &[&str]) -> bool {
        let pattern = |text: &&str| HostPattern::new(text).expect("a glob");
        let hostnames: Vec<_> = hostnames.iter().map(pattern).collect();
        is_own(host, &hostnames, |name| name == "certified.example")
    }

    #[test]
    fn names_that_nobody_else_can_have_are_ours() {
        for host in [
            "192.168.1.1",
            "192.168.1.1:8080",
            "[fe80::1]:8080",
            "[::1]",
            "localhost",
            "LOCALHOST:8080",
            "app.localhost",
            "router",
            "router.lan",
            "Router.LAN.:8080",
            "a.b.local",
            "nas.home",
            "nas.home.arpa",
            "db.internal",
            "x.localdomain",
            "certified.example",
        ] {
            assert!(is_ours(host, &[]), "{host}");
        }
    }

    #[test]
    fn names_of_the_public_dns_are_ours_if_they_are_listed() {
        for host in [
            "evil.example",
            "router.lan.evil.example",
            "evil.example:8080",
            "192.168.1.1.evil.example",
            "lan.evil",
            "x.arpa",
            "localhost.evil.example",
            "1.2.3",
            "",
            ".",
            "a b.lan",
            "[evil.lan]",
            "evil.example#.lan",
        ] {
            assert!(!is_ours(host, &[]), "{host}");
        }
        assert!(is_ours("gw.example.org:8443", &["*.example.org"]));
        assert!(is_ours("gw.example.org", &["x", "GW.example.ORG"]));
        assert!(!is_ours("example.org.evil", &["*.example.org"]));
        assert!(is_ours("anything.example", &["*"]));
    }

    #[test]
    fn a_redirect_keeps_the_host_and_the_target() {
        let to = |host: &str, target: &str, port| {
            let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let request = crate::http::request::tests::parse(head.as_bytes());
            match redirect(&request.expect("a good head"), port) {
                Refusal::Redirect(address) => address,
                refusal => refusal.to_string(),
            }
        };
        assert_eq!(to("router.lan", "/", 443), "https://router.lan/");
        assert_eq!(
            to("Router.LAN:8080", "/a%20b?c=d", 8443),
            "https://router.lan:8443/a%20b?c=d"
        );
        assert_eq!(to("[fe80::1]:80", "/", 443), "https://[fe80::1]/");
        assert_eq!(to("a", "http://b.lan/x", 443), "https://b.lan/x");
        assert_eq!(to("a", "/\u{fc}", 443), "https://a/");
        assert!(to("", "/", 443).contains("no Host"));
        assert!(to("a*b", "/", 443).contains("Host"));
    }

    #[test]
    fn the_name_of_this_machine_is_ours() {
        let own = nix::unistd::gethostname().expect("it has a name");
        assert!(is_ours(&own.to_string_lossy(), &[]));
    }
}
