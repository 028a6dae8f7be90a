//! The state in the text format of Prometheus, version 0.0.4: what `metrics` answers.
//!
//! Nothing here is by client: names and addresses of clients would make endless series.

use std::fmt::{Display, Write};

use super::State;
use crate::tally::LENGTHS;

/// The content type of the format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Returns all metrics.
pub(crate) fn prometheus(state: &State) -> String {
    let mut page = Page(String::new());
    let totals = &state.totals;
    page.head("build_info", "gauge", "The version that runs.");
    page.line("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.head("uptime_seconds", "gauge", "Seconds since the start.");
    page.line("uptime_seconds", &[], state.uptime.as_secs());
    page.counter(
        "connections",
        "Clients that were accepted.",
        totals.connections,
    );
    page.head(
        "refusals_total",
        "counter",
        "Clients that were refused, by cause.",
    );
    for (cause, count) in &totals.refusals {
        page.line("refusals_total", &[("cause", cause)], count);
    }
    let help = "WebSockets that have ended, by close code; 1006 had none.";
    page.head("closes_total", "counter", help);
    for (code, count) in &totals.closes {
        page.line("closes_total", &[("code", &code.to_string())], count);
    }
    page.counter(
        "handed_over",
        "WebSockets handed over to backends.",
        totals.handed_over,
    );
    page.counter(
        "reloads",
        "Configurations taken over by a reload.",
        totals.reloads,
    );
    page.counter(
        "backend_sent_bytes",
        "Bytes given to backends.",
        totals.to_backend,
    );
    page.counter(
        "client_sent_bytes",
        "Payload bytes sent to clients.",
        totals.to_client,
    );
    page.servers(state);
    page.lengths(state);
    page.0
}

/// The text so far.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(
            self.0,
            "# HELP ouistiti_{name} {help}\n# TYPE ouistiti_{name} {kind}\n"
        );
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = labels
            .iter()
            .map(|(name, value)| format!("{name}=\"{}\"", escape(value)));
        let labels = labels.collect::<Vec<_>>().join(",");
        let labels = if labels.is_empty() {
            labels
        } else {
            format!("{{{labels}}}")
        };
        let _ = writeln!(self.0, "ouistiti_{name}{labels} {value}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        let name = format!("{name}_total");
        self.head(&name, "counter", help);
        self.line(&name, &[], value);
    }

    fn servers(&mut self, state: &State) {
        let live = || state.servers.iter().filter(|server| server.max_clients > 0);
        let mut gauge = |name, help, values: Vec<(&str, usize)>| {
            self.head(name, "gauge", help);
            for (server, value) in values {
                self.line(name, &[("server", server)], value);
            }
        };
        let clients = live().map(|server| (&*server.name, server.served));
        gauge("clients", "Clients now.", clients.collect());
        let most = live().map(|server| (&*server.name, server.max_clients));
        gauge("clients_max", "Most clients: 'maxclients'.", most.collect());
        let taken = live().map(|server| (&*server.name, server.memory.0));
        let help = "Memory of messages held whole and of grown buffers.";
        gauge("memory_bytes", help, taken.collect());
        let limit = live().map(|server| (&*server.name, server.memory.1));
        gauge(
            "memory_max_bytes",
            "Most such memory: 'maxmemory'.",
            limit.collect(),
        );
        let help = "When a certificate ends, in seconds since 1970.";
        self.head("certificate_end_timestamp_seconds", "gauge", help);
        for server in live() {
            for (file, end) in &server.certificates {
                let labels = [("server", &*server.name), ("file", file)];
                self.line("certificate_end_timestamp_seconds", &labels, end);
            }
        }
    }

    /// The histogram: each class counts what is shorter too.
    fn lengths(&mut self, state: &State) {
        let name = "websocket_duration_seconds";
        self.head(name, "histogram", "How long WebSockets were open.");
        let mut sum = 0;
        let bounds = LENGTHS.iter().map(u32::to_string);
        let bounds = bounds.chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(state.totals.lengths) {
            sum += count;
            self.line(&format!("{name}_bucket"), &[("le", &bound)], sum);
        }
        self.line(&format!("{name}_sum"), &[], state.totals.seconds);
        self.line(&format!("{name}_count"), &[], sum);
    }
}

/// The value of a label, escaped.
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn every_metric_has_help_a_type_and_a_value() {
        let text = prometheus(&sample());
        for part in [
            "# HELP ouistiti_connections_total Clients that were accepted.\n\
             # TYPE ouistiti_connections_total counter\nouistiti_connections_total 3\n",
            "ouistiti_refusals_total{cause=\"origin\"} 2\n",
            "ouistiti_closes_total{code=\"1000\"} 1\n",
            "ouistiti_clients{server=\"http://[::]:80\"} 1\n",
            "{server=\"http://[::]:80\",file=\"/etc/c\\\"rt.pem\"} 2529705600\n",
            "_bucket{le=\"1\"} 1\n",
            "_bucket{le=\"60\"} 3\n",
            "_bucket{le=\"+Inf\"} 6\n",
            "_sum 99\n",
            "_count 6\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
