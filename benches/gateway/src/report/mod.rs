//! What was measured, as a table a person reads and as JSON.

mod json;
mod table;

use crate::crowd::{Crowd, Multitude};
use crate::load::{Sample, Unit};
use crate::quantile::quantile;
use crate::syscalls::Calls;

pub use json::json;
pub use table::table;

/// Everything one run has found.
#[derive(Debug, Default)]
pub struct Report {
    /// Processor and kernel.
    pub machine: String,
    /// Samples a median is made of.
    pub rounds: usize,
    /// The works, in the order of the table.
    pub rows: Vec<Row>,
    /// What each program holds in memory.
    pub memory: Vec<Memory>,
    /// Many silent clients, program by program.
    pub crowds: Vec<Crowd>,
    /// As many silent clients as the gateway takes.
    pub multitude: Option<Multitude>,
    /// System calls an echoed message.
    pub calls: Vec<Counted>,
}

/// One work.
#[derive(Debug)]
pub struct Row {
    /// What the work is.
    pub name: &'static str,
    /// What is counted.
    pub unit: Unit,
    /// One column a program; the first is what the others are compared with.
    pub columns: Vec<Column>,
}

/// One program's medians for one work.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The program.
    pub program: &'static str,
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
    /// Medians of each program's samples by round, each compared with the first program's of its
    /// round; a program may have left rounds out.
    pub fn new(
        name: &'static str,
        unit: Unit,
        samples: &[(&'static str, Vec<Option<Sample>>)],
    ) -> Row {
        let column = |(program, own): &(&'static str, Vec<Option<Sample>>)| {
            let ratios = |of: fn(&Sample) -> f64| -> Vec<f64> {
                let rounds = own.iter().zip(&samples[0].1);
                rounds
                    .filter_map(|(own, roof)| Some(of(own.as_ref()?) / of(roof.as_ref()?)))
                    .collect()
            };
            let median =
                |of: fn(&Sample) -> f64| quantile(own.iter().flatten().map(of).collect(), 0.5);
            let cpu_ratios = ratios(|sample| sample.cpu);
            Column {
                program,
                cpu: median(|sample| sample.cpu),
                rate: median(|sample| sample.rate),
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

impl Column {
    /// Cost and rate as a person reads them: `5.90 us, 46000/s`.
    pub fn describe(&self, unit: Unit) -> String {
        let cpu = self.cpu;
        match unit {
            Unit::Message | Unit::Connection => format!("{cpu:.2} us, {:.0}/s", self.rate),
            Unit::Mebibyte => {
                let speed = self.rate * f64::from(1 << 20) / 1e9;
                format!("{cpu:.0} us/MiB, {speed:.2} GB/s")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cpus: [Option<f64>; 3]) -> Vec<Option<Sample>> {
        cpus.map(|cpu| {
            cpu.map(|cpu| Sample {
                cpu,
                rate: 1.0 / cpu,
            })
        })
        .to_vec()
    }

    #[test]
    fn ratios_are_medians_of_rounds_not_ratios_of_medians() {
        let roof = of([1.0, 10.0, 2.0].map(Some));
        let own = of([2.0, 11.0, 4.0].map(Some));
        let row = Row::new("w", Unit::Message, &[("a", roof), ("b", own)]);
        assert_eq!(row.columns[0].cpu_ratio, 1.0);
        assert_eq!(row.columns[1].cpu_ratio, 2.0);
        assert_eq!(row.columns[1].cpu, 4.0);
    }

    #[test]
    fn a_program_is_compared_only_in_rounds_it_took_part_in() {
        let roof = of([1.0, 10.0, 100.0].map(Some));
        let own = of([Some(3.0), None, Some(300.0)]);
        let row = Row::new("w", Unit::Message, &[("a", roof), ("b", own)]);
        assert_eq!(row.columns[1].cpu_ratio, 3.0);
    }
}
