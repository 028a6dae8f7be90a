//! The report as a table for a terminal.

use std::fmt::Write;

use super::{Column, Counted, Report};
use crate::syscalls;

/// The whole report.
pub fn table(report: &Report) -> String {
    let mut text = format!("{}, medians of {} rounds\n", report.machine, report.rounds);
    let mut head = Vec::new();
    for row in &report.rows {
        let names: Vec<&str> = row.columns.iter().map(|column| column.program).collect();
        if names.first() != head.first() || names.get(1) != head.get(1) {
            let (roof, own) = (names.first().unwrap_or(&""), names.get(1).unwrap_or(&""));
            let line = format!(
                "{:<40}{roof:>26}{own:>26}{:>14}{:>8}   others: CPU ratio, speed",
                "work", "CPU ratio", "speed"
            );
            let _ = writeln!(text, "\n{line}\n{}", "-".repeat(line.len()));
            head = names;
        }
        let _ = write!(text, "{:<40}", row.name);
        for (index, column) in row.columns.iter().enumerate() {
            let cost = column.describe(row.unit);
            let Column {
                program,
                cpu_ratio,
                spread,
                rate_ratio,
                ..
            } = column;
            let _ = match index {
                0 => write!(text, "{cost:>26}"),
                1 => write!(
                    text,
                    "{cost:>26}{cpu_ratio:>8.2} ±{spread:.2}{rate_ratio:>8.2}   "
                ),
                _ => write!(text, "{program} {cpu_ratio:.2}, {rate_ratio:.2}; "),
            };
        }
        text.push('\n');
    }
    text.push_str(
        "\nCPU ratio: CPU time of the program a unit, against the first program; less is better.\n",
    );
    text.push_str("speed: units a second, client and backend on the same CPU; more is better.\n\n");
    for memory in &report.memory {
        let (idle, each) = (memory.idle / 1048576.0, memory.connection / 1024.0);
        let _ = writeln!(
            text,
            "{}: {idle:.2} MB PSS idle, {each:.1} KB an idle connection",
            memory.name
        );
    }
    silent(report, &mut text);
    for Counted { name, calls } in &report.calls {
        let line = syscalls::describe(calls);
        let _ = writeln!(text, "{name}: system calls an echoed message: {line}");
    }
    text
}

fn silent(report: &Report, text: &mut String) {
    if !report.crowds.is_empty() {
        let _ = writeln!(
            text,
            "\n{:<22}{:>8}{:>10}{:>10}{:>22}{:>20}{:>14}{:>18}",
            "silent clients",
            "clients",
            "PSS, KB",
            "kernel, KB",
            "opening 200th, last",
            "waking p50, p90",
            "to all, ms",
            "peak RSS, MB"
        );
    }
    for crowd in &report.crowds {
        let [early, late] = crowd.opening;
        let [half, most] = crowd.waking;
        let [peak, before] = crowd.peak.map(|bytes| bytes as f64 / 1048576.0);
        let _ = writeln!(
            text,
            "{:<22}{:>8}{:>10.2}{:>10.2}{:>22}{:>20}{:>14.0}{:>18}",
            crowd.name,
            crowd.clients,
            crowd.memory / 1024.0,
            crowd.kernel / 1024.0,
            format!("{early:.0}, {late:.0} us"),
            format!("{half:.0}, {most:.0} us"),
            crowd.broadcast,
            format!("{peak:.1} ({before:.1})"),
        );
    }
    if let Some(most) = &report.multitude {
        let _ = writeln!(
            text,
            "{} silent clients: {:.1} MB PSS, {} pinged twice in 11 s, {} lost, {:.0} ms of CPU \
             meanwhile, stopped in {:.2} s",
            most.clients,
            most.memory as f64 / 1048576.0,
            most.pinged,
            most.lost,
            most.watching / 1000.0,
            most.stop
        );
    }
    text.push('\n');
}
