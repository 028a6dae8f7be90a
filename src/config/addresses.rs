//! Where a server listens: `addr`, `port`, `addrmode` and `addrgroup`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::keys::{ADDR, ADDRGROUP, ADDRMODE, PORT};
use super::libconfig::source::Span;
use super::model::{Listen, MAX_SOCKET_PATH};
use super::reader::Reader;

/// Longest name of a network interface, in bytes (netdevice(7): IFNAMSIZ with its final NUL).
const MAX_INTERFACE: usize = 15;

/// What holds for every address of a server.
struct Common {
    port: u16,
    mode: u32,
    group: Option<String>,
}

/// Reads the addresses of a server, each with its own port or that of `port`.
pub(crate) fn listen(reader: &Reader, has_tls: bool) -> Vec<Listen> {
    let usual = if has_tls { 443 } else { 80 };
    let port = reader
        .number(&PORT)
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(usual);
    let common = Common {
        port,
        mode: mode(reader),
        group: reader.text(&ADDRGROUP),
    };
    let Some(words) = reader.words(&ADDR) else {
        return vec![Listen::Tcp((Ipv6Addr::UNSPECIFIED, port).into())];
    };
    if words.is_empty() {
        let message = "'addr' is empty: leave it out to listen on all addresses";
        reader.error(&ADDR, message);
    }
    let mut list: Vec<Listen> = Vec::new();
    for word in words {
        match address(&word, &common) {
            Ok(listen) if list.iter().any(|other| other.is_same(&listen)) => {
                reader.error(&ADDR, format!("'{word}' is listed twice"));
            }
            Ok(listen) => list.push(listen),
            Err(message) => reader.error(&ADDR, message),
        }
    }
    list
}

/// Where the addresses of a server are set: `addr`, or else `port`, or else the server.
pub(crate) fn span(reader: &Reader) -> Span {
    match reader.sets(&ADDR) {
        true => reader.span(&ADDR),
        false => reader.span(&PORT),
    }
}

/// Permissions in octal digits.
fn mode(reader: &Reader) -> u32 {
    let text = reader.text(&ADDRMODE).unwrap_or_default();
    match u32::from_str_radix(&text, 8) {
        Ok(mode) if mode <= 0o777 => mode,
        _ if text.is_empty() => 0,
        _ => {
            let message = format!("'{text}' is not a mode such as \"0660\"");
            reader.error(&ADDRMODE, message);
            0
        }
    }
}

/// Reads one address.
///
/// # Errors
/// What is wrong with it.
fn address(word: &str, common: &Common) -> Result<Listen, String> {
    if let Some(path) = word.strip_prefix("unix:") {
        return unix(path, common);
    }
    if let Ok(address) = word.parse::<SocketAddr>() {
        return Ok(Listen::Tcp(address));
    }
    let (host, port) = split_port(word, common.port)?;
    if host == "*" {
        return Ok(Listen::Tcp((Ipv6Addr::UNSPECIFIED, port).into()));
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Listen::Tcp((address, port).into()));
    }
    if let Some((address, interface)) = host.split_once('%') {
        if let (Ok(address), true) = (address.parse(), is_interface(interface)) {
            let interface = interface.to_owned();
            return Ok(Listen::Scoped {
                address,
                interface,
                port,
            });
        }
    } else if host == "localhost" {
        let message = "'addr' takes addresses, not names: 127.0.0.1 or ::1 for localhost";
        return Err(message.to_owned());
    } else if is_interface(host) && host.contains(|c: char| c.is_ascii_alphabetic()) {
        return Ok(Listen::Interface(host.to_owned(), port));
    }
    Err(format!(
        "'{word}' is neither an address (192.168.1.1, 192.168.1.1:8080, [::1]:8080, fe80::1%eth0, \
         *, unix:/PATH) nor the name of a network interface (br-lan)"
    ))
}

fn unix(path: &str, common: &Common) -> Result<Listen, String> {
    match path.len() {
        0 => Err("'unix:' needs a path, such as unix:/run/ouistiti.sock".to_owned()),
        1..=MAX_SOCKET_PATH => Ok(Listen::Unix {
            path: PathBuf::from(path),
            mode: common.mode,
            group: common.group.clone(),
        }),
        long => Err(format!(
            "the path of a UNIX socket has at most {MAX_SOCKET_PATH} bytes, this one {long}"
        )),
    }
}

/// The host of `HOST`, `[HOST]`, `HOST:PORT` or `[HOST]:PORT`, and its port or else `usual`.
fn split_port(word: &str, usual: u16) -> Result<(&str, u16), String> {
    let (host, port) = match word.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => return Ok((host, usual)),
        Some((host, rest)) => match rest.strip_prefix(':') {
            Some(port) => (host, port),
            None => return Ok((word, usual)),
        },
        // More than one colon: an IPv6 address without brackets.
        None => match word.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, port),
            _ => return Ok((word, usual)),
        },
    };
    match port.parse() {
        Ok(port) => Ok((host, port)),
        Err(_) => Err(format!("'{port}' is not a port (0 to 65535)")),
    }
}

/// Whether the kernel could name an interface like this.
fn is_interface(name: &str) -> bool {
    (1..=MAX_INTERFACE).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Result<Listen, String> {
        let common = Common {
            port: 80,
            mode: 0o660,
            group: None,
        };
        address(word, &common)
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
            let tcp = Listen::Tcp(meant.parse().expect("a socket address"));
            assert_eq!(read(word), Ok(tcp), "{word}");
        }
        let unix = Listen::Unix {
            path: "/run/x.sock".into(),
            mode: 0o660,
            group: None,
        };
        assert_eq!(read("unix:/run/x.sock"), Ok(unix));
    }

    #[test]
    fn an_interface_and_an_address_of_its_scope_are_kept_by_name() {
        let interface = |name: &str, port| Ok(Listen::Interface(name.to_owned(), port));
        assert_eq!(read("br-lan"), interface("br-lan", 80));
        assert_eq!(read("eth0.2:8080"), interface("eth0.2", 8080));
        assert_eq!(read("6in4-wan"), interface("6in4-wan", 80));
        for (word, shown) in [
            ("fe80::1%lo", "[fe80::1%lo]:80"),
            ("[fe80::1%eth0]", "[fe80::1%eth0]:80"),
            ("[fe80::1%2]:8080", "[fe80::1%2]:8080"),
        ] {
            let listen = read(word).expect(word);
            assert_eq!(listen.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_examples() {
        for word in [
            "router.example.org",
            "1.2.3",
            "1.2.3.4:99999",
            "[::1",
            "[::1]x",
            "*:x",
            "br-lan:http",
            "unix:",
            ":80",
            "localhost",
            "fe80::1%",
            "10.0.0.1%eth0",
            "a b",
        ] {
            assert!(read(word).is_err(), "{word}");
        }
        let long = format!("unix:/{}", "x".repeat(MAX_SOCKET_PATH));
        let message = read(&long).expect_err("too long");
        assert!(
            message.contains("at most 107 bytes, this one 108"),
            "{message}"
        );
    }
}
