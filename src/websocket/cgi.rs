//! Opening: what a program that is run for a client is told of it, as environment variables.
//!
//! Names and meanings are those of CGI (RFC 3875, section 4.1). The list is fixed: no header has a
//! variable of its own name, so that no client can set one that means something to the program or
//! its libraries (HTTP_PROXY). The length of a value is bounded by that of the request's head.

use crate::backend::exec::Run;
use crate::client::Client;
use crate::http::authority::Authority;
use crate::http::request::Request;
use crate::websocket::access::Service;

/// Headers that have a variable.
const HEADERS: [(&str, &str); 5] = [
    ("HTTP_HOST", "Host"),
    ("HTTP_ORIGIN", "Origin"),
    ("HTTP_COOKIE", "Cookie"),
    ("HTTP_USER_AGENT", "User-Agent"),
    ("HTTP_ACCEPT_LANGUAGE", "Accept-Language"),
];

/// Where programs are looked for if the daemon was not told.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns what a run is told that all clients of a service share.
#[cfg(feature = "share")]
pub(super) fn run_for_all(name: &str) -> Run {
    let name = name.trim_start_matches('/');
    let known = [
        ("PATH", path()),
        ("GATEWAY_INTERFACE", "CGI/1.1".to_owned()),
        ("SERVER_SOFTWARE", SOFTWARE.to_owned()),
        ("SCRIPT_NAME", String::new()),
        ("PATH_INFO", format!("/{name}")),
    ];
    Run {
        client: format!("all {name}"),
        environment: known.into(),
    }
}

fn path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned())
}

/// Returns what a run for this client is told.
pub(super) fn run(service: &Service<'_>, client: &Client, id: usize, request: &Request) -> Run {
    let name = Authority::parse(&request.host, 0).map(|host| host.host);
    // Port 0 is unknown.
    let source = client.source();
    let port = source
        .map(|address| address.port())
        .filter(|port| *port != 0);
    let local = client.local().map(|address| address.port());
    let is_https = request.is_https;
    let known = [
        ("PATH", Some(path())),
        ("GATEWAY_INTERFACE", Some("CGI/1.1".to_owned())),
        ("SERVER_SOFTWARE", Some(SOFTWARE.to_owned())),
        ("SERVER_PROTOCOL", Some("HTTP/1.1".to_owned())),
        ("SERVER_NAME", name),
        ("SERVER_PORT", local.map(|port| port.to_string())),
        ("UNIQUE_ID", Some(id.to_string())),
        ("HTTPS", is_https.then(|| "on".to_owned())),
        ("REQUEST_METHOD", Some("GET".to_owned())),
        ("REQUEST_URI", Some(request.target.clone())),
        ("SCRIPT_NAME", Some(String::new())),
        ("PATH_INFO", Some(request.path.clone())),
        (
            "QUERY_STRING",
            Some(request.query.clone().unwrap_or_default()),
        ),
        (
            "REMOTE_ADDR",
            source.map(|address| address.ip().to_canonical().to_string()),
        ),
        ("REMOTE_PORT", port.map(|port| port.to_string())),
        ("REMOTE_USER", request.user.clone()),
        ("SSL_CLIENT_S_DN", client.subject()),
        ("HTTP_SEC_WEBSOCKET_PROTOCOL", service.protocol.clone()),
    ];
    let known = known
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let headers = HEADERS.iter().filter_map(|(variable, header)| {
        let values: Vec<_> = request.headers(header).collect();
        // Cookies may come in several headers (RFC 6265, section 5.4, has one; RFC 9113 allows it).
        (!values.is_empty()).then(|| (*variable, values.join("; ")))
    });
    Run {
        client: format!("{client} {}", service.name),
        environment: known.chain(headers).collect(),
    }
}

const SOFTWARE: &str = concat!("ouistiti/", env!("CARGO_PKG_VERSION"));
