//! One element of `servers`: its addresses, limits and sections.

use super::choices::CLIENTAUTHS;
use super::keys::tls::{CACHAIN, CERTIFICATES, CLIENTAUTH, CRTFILE, DHMFILE, KEYFILE};
use super::keys::{
    ADDR, DEFAULTPAGE, DOCUMENT, DOCUMENT_ROOT, HOSTNAME, KEEPALIVETIMEOUT, MAXCLIENTS, MAXPERIP,
    PORT, TLS, TRUSTED, WEBSOCKET,
};
use super::reader::Reader;
use super::websocket;
use super::{DocumentConfig, Listen, MAX_SOCKET_PATH, Network, ServerConfig, TlsConfig, TlsPair};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Reads one server.
pub(crate) fn read(reader: &Reader) -> ServerConfig {
    let tls_group = reader.group(&TLS);
    let websocket_group = reader.group(&WEBSOCKET);
    let document_group = reader.group(&DOCUMENT);
    if let (Some(tls), false) = (&tls_group, reader.built.tls) {
        let message =
            "this ouistiti was built without TLS (feature 'tls'): it cannot serve this server";
        reader.report.error(tls.here(), message);
    }
    if let (Some(websocket), false) = (&websocket_group, reader.built.websocket) {
        let message = "this ouistiti was built without the gateway (feature 'websocket')";
        reader.report.error(websocket.here(), message);
    }
    if websocket_group.is_none() && document_group.is_none() && !reader.report.has_errors() {
        let message = "this server serves nothing: it has neither 'websocket' nor 'document'";
        reader.report.warning(reader.here(), message);
    }
    let has_tls = tls_group.is_some();
    ServerConfig {
        hostname: hostname(reader),
        listen: listen(reader, has_tls),
        max_clients: reader.count(&MAXCLIENTS) as usize,
        max_per_ip: reader.count(&MAXPERIP) as usize,
        head_timeout: Duration::from_secs(reader.count(&KEEPALIVETIMEOUT).into()),
        trusted: trusted(reader),
        tls: tls_group.as_ref().and_then(tls),
        websocket: websocket_group.map(|group| websocket::read(&group, has_tls)),
        document: document_group.as_ref().and_then(document),
    }
}

fn hostname(reader: &Reader) -> Option<String> {
    let name = reader.text(&HOSTNAME)?;
    if name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        let message = format!("'{name}' is not a host name: no scheme, no port, no path");
        reader.error(&HOSTNAME, message);
    }
    Some(name.to_ascii_lowercase())
}

/// The addresses of `addr`, each with its own port or that of `port`.
fn listen(reader: &Reader, has_tls: bool) -> Vec<Listen> {
    let usual = if has_tls { 443 } else { 80 };
    let port = reader
        .number(&PORT)
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(usual);
    let everywhere = Listen::Tcp((Ipv6Addr::UNSPECIFIED, port).into());
    let Some(words) = reader.words(&ADDR) else {
        return vec![everywhere];
    };
    if words.is_empty() {
        reader.error(
            &ADDR,
            "'addr' is empty: leave it out to listen on all addresses",
        );
    }
    let mut list = Vec::new();
    for word in words {
        match address(&word, port) {
            Ok(listen) if list.contains(&listen) => {
                reader.error(&ADDR, format!("'{word}' is listed twice"));
            }
            Ok(listen) => list.push(listen),
            Err(message) => reader.error(&ADDR, message),
        }
    }
    list
}

fn address(word: &str, port: u16) -> Result<Listen, String> {
    if let Some(path) = word.strip_prefix("unix:") {
        return match path.len() {
            0 => Err("'unix:' needs a path, such as unix:/run/ouistiti.sock".to_owned()),
            1..=MAX_SOCKET_PATH => Ok(Listen::Unix(PathBuf::from(path))),
            long => Err(format!(
                "the path of a UNIX socket has at most {MAX_SOCKET_PATH} bytes, this one {long}"
            )),
        };
    }
    if let Ok(address) = word.parse::<SocketAddr>() {
        return Ok(Listen::Tcp(address));
    }
    let bare = word
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(word);
    let (host, port) = match word.strip_prefix("*:") {
        Some(own) => (
            "*",
            own.parse()
                .map_err(|_| format!("'{own}' is not a port (0 to 65535)"))?,
        ),
        None => (bare, port),
    };
    if host == "*" {
        return Ok(Listen::Tcp((Ipv6Addr::UNSPECIFIED, port).into()));
    }
    match host.parse::<IpAddr>() {
        Ok(address) => Ok(Listen::Tcp((address, port).into())),
        Err(_) if host == "localhost" => {
            Err("'addr' takes addresses, not names: 127.0.0.1 or ::1 for localhost".to_owned())
        }
        Err(_) => Err(format!(
            "'{word}' is not an address: 192.168.1.1, 192.168.1.1:8080, [::1]:8080, * or unix:/PATH"
        )),
    }
}

fn trusted(reader: &Reader) -> Vec<Network> {
    let words = reader.words(&TRUSTED).unwrap_or_default();
    let mut networks = Vec::new();
    for word in words {
        match network(&word) {
            Some(network) => networks.push(network),
            None => reader.error(
                &TRUSTED,
                format!("'{word}' is not a network such as 10.0.0.0/8, fd00::/8 or 127.0.0.1"),
            ),
        }
    }
    networks
}

fn network(word: &str) -> Option<Network> {
    let (address, prefix) = match word.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
        None => (word, None),
    };
    let address = address.parse::<IpAddr>().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let prefix = prefix.unwrap_or(whole);
    (prefix <= whole).then_some(Network { address, prefix })
}

fn tls(reader: &Reader) -> Option<TlsConfig> {
    reader.text(&DHMFILE);
    let mut pairs = vec![pair(reader)];
    pairs.extend(reader.list(&CERTIFICATES).iter().map(pair));
    let client_ca = reader.text(&CACHAIN).map(PathBuf::from);
    if reader.sets(&CLIENTAUTH) && client_ca.is_none() {
        reader.error(
            &CLIENTAUTH,
            "'clientauth' needs 'cachain', the authorities of the certificates to ask for",
        );
    }
    Some(TlsConfig {
        pairs: pairs.into_iter().collect::<Option<_>>()?,
        client_ca,
        client_auth_optional: reader.choice(&CLIENTAUTH, &CLIENTAUTHS),
    })
}

fn pair(reader: &Reader) -> Option<TlsPair> {
    let certificate = reader.needed(&CRTFILE).map(PathBuf::from);
    let key = reader.needed(&KEYFILE).map(PathBuf::from);
    Some(TlsPair {
        certificate: certificate?,
        key: key?,
    })
}

fn document(reader: &Reader) -> Option<DocumentConfig> {
    let docroot = reader.needed(&DOCUMENT_ROOT).map(PathBuf::from);
    let default_page = reader.text(&DEFAULTPAGE).unwrap_or_default();
    if default_page.contains('/') {
        reader.error(
            &DEFAULTPAGE,
            "'defaultpage' is the name of a file, without '/'",
        );
    }
    Some(DocumentConfig {
        docroot: docroot?,
        default_page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> Listen {
        Listen::Tcp(text.parse().expect("a socket address"))
    }

    #[test]
    fn an_address_may_bring_its_own_port() {
        let cases = [
            ("192.168.1.1", "192.168.1.1:80"),
            ("192.168.1.1:8080", "192.168.1.1:8080"),
            ("::1", "[::1]:80"),
            ("[::1]", "[::1]:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("*", "[::]:80"),
            ("*:8080", "[::]:8080"),
            ("0.0.0.0", "0.0.0.0:80"),
        ];
        for (word, meant) in cases {
            assert_eq!(address(word, 80), Ok(tcp(meant)), "{word}");
        }
        assert_eq!(
            address("unix:/run/x.sock", 80),
            Ok(Listen::Unix("/run/x.sock".into()))
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_examples() {
        for word in [
            "router",
            "1.2.3",
            "1.2.3.4:99999",
            "[::1",
            "*:x",
            "unix:",
            ":80",
        ] {
            assert!(address(word, 80).is_err(), "{word}");
        }
        let long = format!("unix:/{}", "x".repeat(MAX_SOCKET_PATH));
        let message = address(&long, 80).expect_err("too long");
        assert!(
            message.contains("at most 107 bytes, this one 108"),
            "{message}"
        );
    }

    #[test]
    fn a_network_is_an_address_and_a_prefix_that_fits() {
        let local = IpAddr::from([10, 0, 0, 0]);
        assert_eq!(
            network("10.0.0.0/8"),
            Some(Network {
                address: local,
                prefix: 8
            })
        );
        assert_eq!(network("::1").map(|network| network.prefix), Some(128));
        for word in ["10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "x"] {
            assert_eq!(network(word), None, "{word}");
        }
    }
}
