//! The state as JSON (RFC 8259), in one line: `-S json`, and the messages of the status service.

use std::fmt::Write;

use super::{ServerState, State, text};
use crate::server::sight::Sight;

/// Returns the state as one JSON object without a line break.
pub(crate) fn json(state: &State) -> String {
    let totals = &state.totals;
    let servers = array(state.servers.iter().map(server));
    let refusals = object(totals.refusals.iter());
    let closes = object(totals.closes.iter());
    format!(
        "{{\"version\":{},\"uptime\":{},\"servers\":{servers},\"totals\":{{\"connections\":{},\
         \"handed_over\":{},\"reloads\":{},\"bytes_to_backends\":{},\"bytes_to_clients\":{},\
         \"refusals\":{refusals},\"closes\":{closes}}}}}",
        quote(env!("CARGO_PKG_VERSION")),
        state.uptime.as_secs(),
        totals.connections,
        totals.handed_over,
        totals.reloads,
        totals.to_backend,
        totals.to_client,
    )
}

fn server(server: &ServerState) -> String {
    let certificates = server.certificates.iter();
    let certificates = array(
        certificates.map(|(file, end)| format!("{{\"file\":{},\"ends\":{end}}}", quote(file))),
    );
    format!(
        "{{\"name\":{},\"served\":{},\"maxclients\":{},\"memory\":{},\"maxmemory\":{},\
         \"certificates\":{certificates},\"clients\":{}}}",
        quote(&server.name),
        server.served,
        server.max_clients,
        server.memory.0,
        server.memory.1,
        array(server.clients.iter().map(client)),
    )
}

fn client(client: &Sight) -> String {
    let optional = |text: &Option<std::sync::Arc<str>>| {
        text.as_deref().map_or_else(|| "null".to_owned(), quote)
    };
    format!(
        "{{\"id\":{},\"peer\":{},\"service\":{},\"shared\":{},\"user\":{},\"state\":{},\
         \"threads\":{},\"since\":{},\"idle\":{},\"bytes_to_backend\":{},\"bytes_to_client\":{}}}",
        client.id,
        quote(&text::peer(client)),
        optional(&client.service),
        client.is_shared,
        optional(&client.user),
        quote(client.phase.word()),
        client.threads,
        client.age.as_secs(),
        client.idle.as_secs(),
        client.to_backend,
        client.to_client,
    )
}

fn array(elements: impl Iterator<Item = String>) -> String {
    format!("[{}]", elements.collect::<Vec<_>>().join(","))
}

/// An object of counts; the names are our own.
fn object<'a, K: ToString + 'a>(counts: impl Iterator<Item = &'a (K, u64)>) -> String {
    let members = counts.map(|(name, count)| format!("\"{}\":{count}", name.to_string()));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// A JSON string (RFC 8259, section 7).
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn the_state_is_one_line_and_names_are_escaped() {
        let json = json(&sample());
        assert!(!json.contains('\n'), "{json}");
        for part in [
            "\"uptime\":90061,\"servers\":[{\"name\":\"http://[::]:80\"",
            "\"certificates\":[{\"file\":\"/etc/c\\\"rt.pem\",\"ends\":2529705600}]",
            "\"clients\":[{\"id\":7,\"peer\":\"192.0.2.1:4711\",\"service\":\"echo\",\"shared\":true",
            "\"user\":\"a\\\"b\\\\c\\u000a\",\"state\":\"open\"",
            "\"bytes_to_backend\":8589934592,\"bytes_to_client\":12}]",
            "\"refusals\":{\"origin\":2},\"closes\":{\"1000\":1}}}",
        ] {
            assert!(json.contains(part), "{part} in\n{json}");
        }
    }
}
