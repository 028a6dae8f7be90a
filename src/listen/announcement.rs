//! What the lines of the start say to a person: what is served, and how to open it.

use std::net::SocketAddr;

use crate::config::{Target, WebsocketConfig};

/// Says what a client gets: of each name the same, or the service of that name.
pub(super) fn services(config: &WebsocketConfig) -> String {
    let for_all = config.links.iter().find(|link| link.origin.as_str() == "*");
    match for_all.map(|link| &link.target) {
        #[cfg(feature = "exec")]
        Some(Target::Exec(exec)) => {
            format!("a run of {} for each client", exec.program.display())
        }
        Some(Target::Unix(path) | Target::Tty(path, _) | Target::Fifo(path)) => {
            format!("every client gets {}", path.display())
        }
        Some(Target::Fifos {
            source: path,
            destination,
        }) => format!(
            "every client gets {}",
            destination.as_ref().unwrap_or(path).display()
        ),
        Some(Target::Tcp(host, port)) => format!("every client gets {host}:{port}"),
        Some(Target::Status) | None => format!("services in {}", config.docroot.display()),
    }
}

/// Says which address to open in a browser. One that stands for all of the machine is reached by
/// `localhost`, and from elsewhere by an address or a name of the machine.
pub(super) fn how_to_open(address: SocketAddr, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    let port = address.port();
    match address.ip().to_canonical().is_unspecified() {
        true => format!(
            "open {scheme}://localhost:{port}/, or from elsewhere {scheme}://ADDRESS:{port}/ with \
             this machine's address"
        ),
        false => format!("open {scheme}://{address}/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_all_the_machine_is_opened_by_a_name_of_it() {
        let open = |address: &str| how_to_open(address.parse().expect("an address"), false);
        assert_eq!(open("127.0.0.1:80"), "open http://127.0.0.1:80/");
        assert_eq!(open("[::1]:8080"), "open http://[::1]:8080/");
        for all in ["0.0.0.0:80", "[::]:80"] {
            let start = "open http://localhost:80/, or from elsewhere http://ADDRESS:80/ with ";
            assert!(open(all).starts_with(start), "{}", open(all));
        }
    }
}
