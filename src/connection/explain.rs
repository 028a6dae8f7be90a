//! `-S explain`: what the gateway would do with a request, step by step, and which setting decides.
//!
//! The request goes through the checks of every client, over a pair of sockets, up to a connected
//! backend, which is left again. Nothing here judges a request by rules of its own.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{IpAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::Escaped;

use super::admission::check;
use super::{Told, file};
use crate::client::Client;
use crate::config::{Listen, ServerConfig};
use crate::http::authority::Authority;
use crate::http::notice::{self, Step};
use crate::http::refusal::Refusal;
use crate::http::request::{self, Request};
use crate::http::response;
use crate::server::Server;
use crate::server::slot::Slot;
use crate::system::reason::reason;
use crate::websocket;

/// Longest wait for the far end of our own sockets.
const WAIT: Duration = Duration::from_secs(5);

/// What a client sends with a handshake, if the question says nothing else.
const HANDSHAKE: [(&str, &str); 4] = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A URL of a WebSocket or of a file, taken apart.
struct Url {
    is_websocket: bool,
    is_tls: bool,
    /// Host and port as they are written.
    host: String,
    authority: Authority,
    target: String,
}

/// Explains a request of a URL with these headers. A header of the same name takes the place of one
/// of the handshake; one without a value takes it away.
///
/// # Errors
/// What is wrong with the question itself.
pub(crate) fn explain(
    servers: &[(String, Arc<Server>)],
    url: &str,
    headers: &[&str],
) -> Result<String, String> {
    let url = Url::parse(url)?;
    let head = head(&url, headers)?;
    let (server, name) = match choose(servers, &url) {
        Ok(found) => found,
        Err(Unreached { reason, setting }) => {
            return Ok(format!(
                "REFUSED   address: {reason}\nsetting   {setting}\n"
            ));
        }
    };
    let mut text = format!("ok        address: {name}\n");
    ask(&mut text, server, &url, &head)?;
    Ok(text)
}

impl Url {
    fn parse(url: &str) -> Result<Self, String> {
        let wrong = || format!("'{url}' is no URL such as ws://192.168.1.1:8080/echo");
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let (is_websocket, is_tls) = match scheme {
            "ws" => (true, false),
            "wss" => (true, true),
            "http" => (false, false),
            "https" => (false, true),
            _ => return Err(wrong()),
        };
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let port = if is_tls { 443 } else { 80 };
        Ok(Self {
            is_websocket,
            is_tls,
            host: host.to_owned(),
            authority: Authority::parse(host, port).ok_or_else(wrong)?,
            target: match target.starts_with('/') {
                true => target.to_owned(),
                false => format!("/{target}"),
            },
        })
    }
}

/// Writes the head of the request. A file is asked for by HEAD, which sends no content.
fn head(url: &Url, headers: &[&str]) -> Result<String, String> {
    let mut own = Vec::new();
    for header in headers {
        let (name, value) = (header.split_once(':')).ok_or_else(|| {
            format!("'{header}' is no header such as 'Origin: http://router.lan'")
        })?;
        own.push((name.trim(), value.trim()));
    }
    let method = if url.is_websocket { "GET" } else { "HEAD" };
    let mut head = format!("{method} {} HTTP/1.1\r\n", url.target);
    let handshake = HANDSHAKE.iter().filter(|_| url.is_websocket).copied();
    let usual = [("Host", &*url.host)].into_iter().chain(handshake);
    let is_own = |name: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let kept = usual.filter(|(name, _)| !is_own(name));
    let added = own.iter().copied().filter(|(_, value)| !value.is_empty());
    for (name, value) in kept.chain(added) {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    Ok(head + "\r\n")
}

/// Why no server gets the request, and the setting that decides.
struct Unreached {
    reason: String,
    setting: &'static str,
}

/// Chooses the server that a URL leads to.
fn choose<'a>(
    servers: &'a [(String, Arc<Server>)],
    url: &Url,
) -> Result<(&'a Server, &'a str), Unreached> {
    let names = || {
        let names: Vec<_> = servers.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    };
    let port = url.authority.port;
    let on_port = || {
        servers
            .iter()
            .filter(|(_, server)| has_port(server.config(), port))
    };
    if on_port().next().is_none() {
        let reason = format!("no server listens on port {port}; there are: {}", names());
        return Err(Unreached {
            reason,
            setting: "port",
        });
    }
    let here = on_port().filter(|(_, server)| has_address(server.config(), &url.authority));
    let here: Vec<_> = here.collect();
    let Some((name, server)) = here.first() else {
        let reason = format!(
            "no server listens on {}; there are: {}",
            url.authority.host,
            names()
        );
        return Err(Unreached {
            reason,
            setting: "addr",
        });
    };
    let speaks_tls = |server: &Server| server.config().tls.is_some();
    match here
        .iter()
        .find(|(_, server)| speaks_tls(server) == url.is_tls)
    {
        Some((name, server)) => Ok((server, name)),
        None => {
            let (has, wants) = match speaks_tls(server) {
                true => ("TLS alone", "wss:// or https://"),
                false => ("no TLS", "ws:// or http://"),
            };
            let reason = format!("{name} speaks {has}: {wants} reaches it");
            Err(Unreached {
                reason,
                setting: "tls",
            })
        }
    }
}

fn has_port(config: &ServerConfig, port: u16) -> bool {
    // A free port is known only to the running daemon; a UNIX socket stands behind a proxy.
    let is_it =
        |listen: &Listen| matches!(listen.port(), None | Some(0)) || listen.port() == Some(port);
    config.listen.iter().any(is_it)
}

/// Whether a server listens on an address; a name may lead to any but to one of loopback alone.
fn has_address(config: &ServerConfig, authority: &Authority) -> bool {
    let ip = authority.host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_local = authority.host == "localhost";
    config.listen.iter().any(|listen| match (listen, &ip) {
        (Listen::Tcp(own), _) if own.ip().is_unspecified() => true,
        (Listen::Tcp(own), Ok(ip)) => own.ip().to_canonical() == ip.to_canonical(),
        (Listen::Tcp(own), Err(_)) => own.ip().is_loopback() == is_local,
        _ => true,
    })
}

/// Has a server check the request, and tells how far it comes.
fn ask(text: &mut String, server: &Server, url: &Url, head: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot explain: {}", reason(&error));
    let (near, mut far) = UnixStream::pair().map_err(failed)?;
    let client = Client::posing(TcpStream::from(OwnedFd::from(near)), url.is_tls);
    far.write_all(head.as_bytes()).map_err(failed)?;
    far.set_read_timeout(Some(WAIT)).map_err(failed)?;
    let slot = Slot::aside(server.clients(), server.config(), server.resources()).ok_or(
        "cannot explain: no descriptor or no thread is left; 'ulimit -n' and 'ulimit -u' are \
             the limits",
    )?;
    let mut request = match request::read(&client, server.config().head_size, Instant::now() + WAIT)
    {
        Ok(request) => request,
        Err(refusal) => {
            tell_refusal(text, &[], &refusal);
            return Ok(());
        }
    };
    let checked = check(server, &slot, &client, Told::Nothing, &mut request);
    let websocket = websocket::settings_for(server, &request);
    let result = match (checked, websocket) {
        (Err(refusal), _) => Err(refusal),
        (Ok(()), Some(config)) => {
            websocket::open(server, config, &slot, &request, &client).map(|session| {
                let (name, protocol) = (session.who().service.to_string(), session.protocol());
                let chosen = match (protocol, session.offered()) {
                    (Some(protocol), _) => format!(", with the subprotocol {protocol}"),
                    (None, []) => String::new(),
                    (None, _) => NONE_CHOSEN.to_owned(),
                };
                (name, format!("101 Switching Protocols{chosen}"))
            })
        }
        (Ok(()), None) => file::answer(server, &slot, &request, &client).map(|_| {
            let mut answer = [0; 512];
            let count = far.read(&mut answer).unwrap_or(0);
            let line = String::from_utf8_lossy(&answer[..count]);
            let line = line.lines().next().unwrap_or_default();
            let line = line.strip_prefix("HTTP/1.1 ").unwrap_or(line);
            (request.path.clone(), line.to_owned())
        }),
    };
    let steps = steps(
        &request,
        websocket.is_some(),
        result.as_ref().ok().map(|(name, _)| &**name),
    );
    match result {
        Err(refusal) => tell_refusal(text, &steps, &refusal),
        Ok((_, answer)) => {
            for (step, value) in &steps {
                tell_step(text, "ok", *step, value);
            }
            let _ = writeln!(text, "answer    {answer}");
            if websocket.is_some() {
                text.push_str(
                    "messages  framing, frametype (websocket, links) say how they look\n",
                );
            }
        }
    }
    Ok(())
}

/// Said where subprotocols are offered and none is chosen.
const NONE_CHOSEN: &str = ", without a subprotocol: browsers give up when they offer some and none \
                           is chosen\nsetting   protocols";

/// The steps of a request in their order, with what each looks at.
fn steps(request: &Request, is_websocket: bool, service: Option<&str>) -> Vec<(Step, String)> {
    let header = |name, absent: &str| request.header(name).unwrap_or(absent).to_owned();
    let user = match &request.user {
        Some(user) => format!("user {user}"),
        None => "nobody has to log in for this".to_owned(),
    };
    let mut steps = vec![
        (Step::Head, format!("{} {}", request.method, request.target)),
        (Step::Host, request.host.clone()),
        (Step::Login, user),
    ];
    let path = request.path.clone();
    steps.extend(match is_websocket {
        true => vec![
            (Step::Handshake, "version 13".to_owned()),
            (Step::Origin, header("Origin", "none, so no browser")),
            (Step::Name, path),
            (
                Step::Backend,
                format!("connected to {}", service.unwrap_or_default()),
            ),
        ],
        false => vec![(Step::File, path)],
    });
    steps
}

/// Tells the steps before a refusal, the refusal, its answer and the setting that decides.
fn tell_refusal(text: &mut String, steps: &[(Step, String)], refusal: &Refusal) {
    let at = notice::step(refusal);
    for (step, value) in steps.iter().take_while(|(step, _)| *step != at) {
        tell_step(text, "ok", *step, value);
    }
    tell_step(text, "REFUSED", at, &refusal.to_string());
    let answer = response::status_line(refusal.status());
    let _ = writeln!(text, "answer    {answer}: {}", refusal.body());
    let _ = writeln!(text, "setting   {}", notice::setting(refusal));
}

fn tell_step(text: &mut String, verdict: &str, step: Step, value: &str) {
    let _ = writeln!(text, "{verdict:<9} {}: {}", step.word(), Escaped(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headers_of_a_question_take_the_place_of_the_usual_ones() {
        let url = Url::parse("ws://router.lan:8080/echo?a=b").expect("a URL");
        let headers = ["origin: http://x", "upgrade:", "Sec-WebSocket-Version: 8"];
        let head = head(&url, &headers).expect("headers");
        assert_eq!(
            head,
            "GET /echo?a=b HTTP/1.1\r\nHost: router.lan:8080\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\norigin: http://x\r\n\
             Sec-WebSocket-Version: 8\r\n\r\n"
        );
    }

    #[test]
    fn what_is_no_url_or_no_header_is_told_with_an_example() {
        for url in ["echo", "ftp://a/", "ws://", "ws://a b/"] {
            assert!(explain(&[], url, &[]).is_err(), "{url}");
        }
        let error = explain(&[], "ws://a/", &["Origin"]).expect_err("no colon");
        assert!(error.contains("such as 'Origin: "), "{error}");
        let text = explain(&[], "ws://a/", &[]).expect("an explanation");
        assert!(text.ends_with("\nsetting   port\n"), "{text}");
    }
}
