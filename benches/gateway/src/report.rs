//! What was measured, as a table a person reads and as JSON.

use std::fmt::Write;

use crate::load::{Sample, Unit};
use crate::syscalls::{self, Calls};

/// Everything one run has found.
#[derive(Debug)]
pub struct Report {
    /// Processor and kernel.
    pub machine: String,
    /// Samples a median is made of.
    pub rounds: usize,
    /// The programs; the first is the roofline.
    pub programs: Vec<&'static str>,
    /// The works, in the order of the table.
    pub rows: Vec<Row>,
    /// What each program holds in memory.
    pub memory: Vec<Memory>,
    /// System calls an echoed message, or why there is no count.
    pub calls: Result<Vec<Counted>, String>,
}

/// One work.
#[derive(Debug)]
pub struct Row {
    /// What the work is.
    pub name: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// One column a program.
    pub columns: Vec<Column>,
}

/// One program's medians for one work.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// CPU time a unit, in microseconds.
    pub cpu: f64,
    /// Units a second.
    pub rate: f64,
    /// CPU time against the roofline, round by round: more is worse.
    pub cpu_ratio: f64,
    /// Half the range that holds the middle half of these ratios.
    pub spread: f64,
    /// Rate against the roofline, round by round: more is better.
    pub rate_ratio: f64,
}

/// System calls an echoed message.
#[derive(Debug, Clone)]
pub struct Counted {
    /// Whose, and how many messages were under way at a time.
    pub name: String,
    /// The calls.
    pub calls: Calls,
}

/// Resident memory of a program, in bytes.
#[derive(Debug, Clone)]
pub struct Memory {
    /// The program, and how it is spoken to.
    pub name: String,
    /// With no client.
    pub idle: f64,
    /// Of each idle connection more.
    pub connection: f64,
}

impl Row {
    /// Medians of samples[program][round], each compared with the first program's of its round.
    pub fn new(name: &'static str, unit: Unit, samples: &[Vec<Sample>]) -> Row {
        let column = |own: &Vec<Sample>| {
            let ratios = |of: fn(&Sample) -> f64| -> Vec<f64> {
                own.iter()
                    .zip(&samples[0])
                    .map(|(own, roof)| of(own) / of(roof))
                    .collect()
            };
            let cpu_ratios = ratios(|sample| sample.cpu);
            Column {
                cpu: quantile(own.iter().map(|sample| sample.cpu).collect(), 0.5),
                rate: quantile(own.iter().map(|sample| sample.rate).collect(), 0.5),
                cpu_ratio: quantile(cpu_ratios.clone(), 0.5),
                spread: (quantile(cpu_ratios.clone(), 0.75) - quantile(cpu_ratios, 0.25)) / 2.0,
                rate_ratio: quantile(ratios(|sample| sample.rate), 0.5),
            }
        };
        Row {
            name,
            unit,
            columns: samples.iter().map(column).collect(),
        }
    }
}

/// The value below which this part of `values` lies; a median for 0.5.
fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = part * values.len().saturating_sub(1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    match (values.get(below), values.get(above)) {
        (Some(below), Some(above)) => below + (above - below) * place.fract(),
        _ => f64::NAN,
    }
}

impl Column {
    /// Cost and rate as a person reads them: `5.90 us, 46000/s`.
    pub fn describe(&self, unit: Unit) -> String {
        let cpu = self.cpu;
        match unit {
            Unit::Message | Unit::Connection => format!("{cpu:.2} us, {:>6.0}/s", self.rate),
            Unit::Mebibyte => {
                format!(
                    "{cpu:.0} us/MiB, {:.2} GB/s",
                    self.rate * f64::from(1 << 20) / 1e9
                )
            }
        }
    }
}

/// The table for a terminal.
pub fn table(report: &Report) -> String {
    let mut text = format!(
        "{}, medians of {} rounds\n\n",
        report.machine, report.rounds
    );
    let (roof, others) = (report.programs[0], &report.programs[1..]);
    let mut line = format!("{:<40}{roof:>24}", "work");
    for name in others {
        let _ = write!(line, "{name:>26}{:>14}{:>8}", "CPU ratio", "speed");
    }
    let _ = writeln!(text, "{line}\n{}", "-".repeat(line.len()));
    for row in &report.rows {
        let _ = write!(
            text,
            "{:<40}{:>24}",
            row.name,
            row.columns[0].describe(row.unit)
        );
        for column in &row.columns[1..] {
            let cost = column.describe(row.unit);
            let (ratio, spread, speed) = (column.cpu_ratio, column.spread, column.rate_ratio);
            let _ = write!(text, "{cost:>26}{ratio:>8.2} ±{spread:.2}{speed:>8.2}");
        }
        text.push('\n');
    }
    text.push_str(
        "\nCPU ratio: CPU time of the program a unit, against the roofline; less is better.\n",
    );
    text.push_str("speed: units a second, client and backend on the same CPU; more is better.\n\n");
    for memory in &report.memory {
        let (name, idle, each) = (
            &memory.name,
            memory.idle / 1048576.0,
            memory.connection / 1024.0,
        );
        let _ = writeln!(
            text,
            "{name}: {idle:.2} MB PSS idle, {each:.1} KB an idle connection"
        );
    }
    match &report.calls {
        Ok(calls) => {
            for Counted { name, calls } in calls {
                let line = syscalls::describe(calls);
                let _ = writeln!(text, "{name}: system calls an echoed message: {line}");
            }
        }
        Err(why) => {
            let _ = writeln!(text, "system calls not counted: {why}");
        }
    }
    text
}

/// The same as JSON, for a program that compares runs.
pub fn json(report: &Report) -> String {
    let mut works = Vec::new();
    for row in &report.rows {
        let columns = row
            .columns
            .iter()
            .zip(&report.programs)
            .map(|(column, name)| {
                format!(
                    "{{\"program\": \"{name}\", \"cpu_us\": {:.4}, \"per_second\": {:.1}, \
                 \"cpu_ratio\": {:.4}, \"spread\": {:.4}, \"speed_ratio\": {:.4}}}",
                    column.cpu, column.rate, column.cpu_ratio, column.spread, column.rate_ratio
                )
            });
        let columns = columns.collect::<Vec<_>>().join(",\n      ");
        let unit = format!("{:?}", row.unit).to_lowercase();
        works.push(format!(
            "    {{\"work\": \"{}\", \"unit\": \"{unit}\", \"programs\": [\n      {columns}]}}",
            row.name
        ));
    }
    let memory = report.memory.iter().map(|memory| {
        format!(
            "    {{\"program\": \"{}\", \"idle_bytes\": {:.0}, \"connection_bytes\": {:.0}}}",
            memory.name, memory.idle, memory.connection
        )
    });
    let calls = report
        .calls
        .iter()
        .flatten()
        .map(|Counted { name, calls }| {
            let each = calls
                .iter()
                .map(|(call, rate)| format!(", \"{call}\": {rate:.3}"));
            format!(
                "    {{\"program\": \"{name}\"{}}}",
                each.collect::<String>()
            )
        });
    format!(
        "{{\n  \"machine\": \"{}\",\n  \"rounds\": {},\n  \"works\": [\n{}\n  ],\n  \
         \"memory\": [\n{}\n  ],\n  \"system_calls_a_message\": [\n{}\n  ]\n}}\n",
        report.machine,
        report.rounds,
        works.join(",\n"),
        memory.collect::<Vec<_>>().join(",\n"),
        calls.collect::<Vec<_>>().join(",\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_calls_is_json_too() {
        let counted = |name: &str, calls: Calls| Counted {
            name: name.to_owned(),
            calls,
        };
        let report = Report {
            machine: String::new(),
            rounds: 1,
            programs: vec!["relay"],
            rows: vec![],
            memory: vec![],
            calls: Ok(vec![
                counted("a", vec![]),
                counted(
                    "b",
                    vec![("read".to_owned(), 2.0), ("write".to_owned(), 1.0)],
                ),
            ]),
        };
        let text = json(&report);
        assert!(text.contains("{\"program\": \"a\"},\n"), "{text}");
        assert!(
            text.contains("{\"program\": \"b\", \"read\": 2.000, \"write\": 1.000}\n"),
            "{text}"
        );
    }

    #[test]
    fn ratios_are_medians_of_rounds_not_ratios_of_medians() {
        let of = |cpus: [f64; 3]| {
            cpus.map(|cpu| Sample {
                cpu,
                rate: 1.0 / cpu,
            })
            .to_vec()
        };
        let row = Row::new(
            "w",
            Unit::Message,
            &[of([1.0, 10.0, 2.0]), of([2.0, 11.0, 4.0])],
        );
        assert_eq!(row.columns[0].cpu_ratio, 1.0);
        assert_eq!(row.columns[1].cpu_ratio, 2.0);
        assert_eq!(row.columns[1].cpu, 4.0);
    }
}
