//! The report as JSON, for a program that compares runs.

use super::{Counted, Report, Row};
use crate::crowd::{Crowd, Multitude};

/// The whole report.
pub fn json(report: &Report) -> String {
    let list = |lines: Vec<String>| lines.join(",\n");
    let memory = report.memory.iter().map(|memory| {
        format!(
            "    {{\"program\": \"{}\", \"idle_bytes\": {:.0}, \"connection_bytes\": {:.0}}}",
            memory.name, memory.idle, memory.connection
        )
    });
    let multitude = report.multitude.as_ref();
    format!(
        "{{\n  \"machine\": \"{}\",\n  \"rounds\": {},\n  \"works\": [\n{}\n  ],\n  \
         \"memory\": [\n{}\n  ],\n  \"silent_clients\": [\n{}\n  ],\n  \"most_clients\": {},\n  \
         \"system_calls_a_message\": [\n{}\n  ]\n}}\n",
        report.machine,
        report.rounds,
        list(report.rows.iter().map(work).collect()),
        list(memory.collect()),
        list(report.crowds.iter().map(crowd).collect()),
        multitude.map_or_else(|| "null".to_owned(), most),
        list(report.calls.iter().map(calls).collect()),
    )
}

fn work(row: &Row) -> String {
    let columns = row.columns.iter().map(|column| {
        format!(
            "{{\"program\": \"{}\", \"cpu_us\": {:.4}, \"per_second\": {:.1}, \
             \"cpu_ratio\": {:.4}, \"spread\": {:.4}, \"speed_ratio\": {:.4}}}",
            column.program,
            column.cpu,
            column.rate,
            column.cpu_ratio,
            column.spread,
            column.rate_ratio
        )
    });
    let columns = columns.collect::<Vec<_>>().join(",\n      ");
    let unit = format!("{:?}", row.unit).to_lowercase();
    format!(
        "    {{\"work\": \"{}\", \"unit\": \"{unit}\", \"programs\": [\n      {columns}]}}",
        row.name
    )
}

fn crowd(crowd: &Crowd) -> String {
    format!(
        "    {{\"program\": \"{}\", \"clients\": {}, \"memory_bytes\": {:.0}, \
         \"kernel_bytes\": {:.0}, \"opening_200th_us\": {:.1}, \"opening_last_us\": {:.1}, \
         \"waking_us\": {:.1}, \"waking_90th_us\": {:.1}, \"broadcast_ms\": {:.1}, \
         \"peak_bytes\": {}, \"peak_before_bytes\": {}}}",
        crowd.name,
        crowd.clients,
        crowd.memory,
        crowd.kernel,
        crowd.opening[0],
        crowd.opening[1],
        crowd.waking[0],
        crowd.waking[1],
        crowd.broadcast,
        crowd.peak[0],
        crowd.peak[1],
    )
}

fn most(most: &Multitude) -> String {
    format!(
        "{{\"clients\": {}, \"memory_bytes\": {}, \"pinged\": {}, \"lost\": {}, \
         \"watching_us\": {:.0}, \"stop_seconds\": {:.2}}}",
        most.clients, most.memory, most.pinged, most.lost, most.watching, most.stop
    )
}

fn calls(Counted { name, calls }: &Counted) -> String {
    let each = calls
        .iter()
        .map(|(call, rate)| format!(", \"{call}\": {rate:.3}"));
    format!(
        "    {{\"program\": \"{name}\"{}}}",
        each.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::Calls;

    #[test]
    fn a_program_without_calls_is_json_too() {
        let counted = |name: &str, calls: Calls| Counted {
            name: name.to_owned(),
            calls,
        };
        let report = Report {
            calls: vec![
                counted("a", vec![]),
                counted(
                    "b",
                    vec![("read".to_owned(), 2.0), ("write".to_owned(), 1.0)],
                ),
            ],
            ..Report::default()
        };
        let text = json(&report);
        assert!(text.contains("{\"program\": \"a\"},\n"), "{text}");
        assert!(
            text.contains("{\"program\": \"b\", \"read\": 2.000, \"write\": 1.000}\n"),
            "{text}"
        );
    }
}
