//! The state as a person reads it: `-S`.

use std::fmt::Write;
use std::time::Duration;

use common::Escaped;

use super::{ServerState, State, date, now};
use crate::server::sight::{Phase, Sight};

/// Returns the state as text, in lines of some 80 columns.
pub(crate) fn text(state: &State) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "up {}", time(state.uptime));
    for server in &state.servers {
        tell_server(&mut text, server);
    }
    let totals = &state.totals;
    let _ = writeln!(
        text,
        "since the start: {} connections, {} handed over, {} reloads",
        totals.connections, totals.handed_over, totals.reloads
    );
    let _ = writeln!(
        text,
        "  bytes: {} to backends, {} to clients",
        totals.to_backend, totals.to_client
    );
    let refused = totals
        .refusals
        .iter()
        .map(|(cause, count)| (cause.to_string(), *count));
    list(&mut text, "refused", refused);
    let closed = totals
        .closes
        .iter()
        .map(|(code, count)| (code.to_string(), *count));
    list(&mut text, "closed", closed);
    text
}

fn list(text: &mut String, what: &str, counts: impl Iterator<Item = (String, u64)>) {
    let counts: Vec<_> = counts
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if !counts.is_empty() {
        let _ = writeln!(text, "  {what}: {}", counts.join(", "));
    }
}

fn tell_server(text: &mut String, server: &ServerState) {
    let _ = write!(text, "{}: {}", server.name, server.served);
    if server.max_clients > 0 {
        let _ = write!(text, " of {}", server.max_clients);
    }
    let (taken, limit) = server.memory;
    let _ = writeln!(text, " clients, {taken} of {limit} bytes of 'maxmemory'");
    for (file, end) in &server.certificates {
        let days = (end - now()).div_euclid(86_400);
        let left = match days {
            0.. => format!("in {days} days"),
            _ => "EXPIRED".to_owned(),
        };
        let _ = writeln!(
            text,
            "  certificate {}: ends {}, {left}",
            Escaped(file),
            date(*end)
        );
    }
    if !server.clients.is_empty() {
        let _ = writeln!(
            text,
            "  {:>6} {:<24} {:<16} {:<10} {:>8} {:>8} {:>10} {:>10} state",
            "id", "peer", "service", "user", "since", "idle", "in", "out"
        );
    }
    for client in &server.clients {
        tell_client(text, client);
    }
}

fn tell_client(text: &mut String, client: &Sight) {
    let _ = writeln!(
        text,
        "  {:>6} {:<24} {:<16} {:<10} {:>8} {:>8} {:>10} {:>10} {}",
        client.id,
        peer(client),
        Escaped(client.service.as_deref().unwrap_or("-")).to_string(),
        Escaped(client.user.as_deref().unwrap_or("-")).to_string(),
        time(client.age),
        time(client.idle),
        client.to_backend,
        client.to_client,
        state(client)
    );
}

/// What a client does, and with how many threads if it has a WebSocket.
fn state(client: &Sight) -> String {
    let word = match (client.phase, client.is_shared) {
        (Phase::WebSocket, true) => "shared",
        (phase, _) => phase.word(),
    };
    match (client.phase, client.threads) {
        (Phase::WebSocket, 0) => format!("{word}, silent"),
        (Phase::WebSocket, 1) => format!("{word}, 1 thread"),
        (Phase::WebSocket, count) => format!("{word}, {count} threads"),
        _ => word.to_owned(),
    }
}

/// The address of a client, with its port where that is known.
pub(super) fn peer(client: &Sight) -> String {
    match (client.peer, client.port) {
        (None, _) => "local".to_owned(),
        (Some(ip), 0) => ip.to_string(),
        (Some(ip), port) => std::net::SocketAddr::new(ip, port).to_string(),
    }
}

/// A time in the two units that say the most: `5s`, `3m20s`, `2h05m`, `4d03h`.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_person_sees_servers_clients_counts_and_certificates() {
        let text = text(&sample());
        for part in [
            "up 1d01h\n",
            "http://[::]:80: 1 of 200 clients, 4096 of 33554432 bytes of 'maxmemory'\n",
            "certificate /etc/c\"rt.pem: ends 2050-03-01, in ",
            "     7 192.0.2.1:4711           echo             a\"b\\c\\u{a}",
            "    1h02m       5s 8589934592         12 shared, 2 threads\n",
            "since the start: 3 connections, 4 handed over, 1 reloads\n",
            "refused: origin 2\n",
            "closed: 1000 1\n",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert_eq!(text.lines().count(), 9, "one line each:\n{text}");
    }
}
