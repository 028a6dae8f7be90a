//! Which works are done, in the order of the table, and how one of them is sampled.

use std::io::{self, IsTerminal};
use std::time::Duration;

use crate::load::{Effort, Sample, Work};
use crate::programs::Program;
use crate::report::Row;

/// A work and its name.
pub type Named = (&'static str, Work);

/// Over TCP, by copying.
pub const PLAIN: [Named; 9] = [
    ("echo 125 B, 1 connection", echo(1, 1, false)),
    ("echo 125 B, 10 connections", echo(10, 1, false)),
    ("echo 125 B, 100 connections", echo(100, 1, false)),
    ("10 connections x 16 in flight", echo(10, 16, false)),
    ("10 x 16 in flight, merge = true", echo(10, 16, true)),
    ("echo 64 KiB messages", Work::EchoLarge),
    ("upload 64 KiB messages", Work::Upload),
    ("download", Work::Download),
    ("connections, 8 at a time", Work::Connect { at_a_time: 8 }),
];

/// Over TLS.
pub const SECURE: [Named; 4] = [
    ("wss echo 125 B, 10 connections", echo(10, 1, false)),
    ("wss upload 64 KiB messages", Work::Upload),
    ("wss download", Work::Download),
    (
        "wss full handshakes, 8 at a time",
        Work::Connect { at_a_time: 8 },
    ),
];

/// In direct mode; the backend's CPU time is counted too.
pub const DIRECT: [Named; 4] = [
    ("direct echo 125 B, 10 connections", echo(10, 1, false)),
    ("direct 10 x 16 in flight", echo(10, 16, false)),
    ("direct upload 64 KiB messages", Work::Upload),
    ("direct download", Work::Download),
];

/// With a program for each client; its CPU time is counted too.
pub const EXEC: [Named; 3] = [
    ("exec echo 125 B, 10 connections", echo(10, 1, false)),
    ("exec 10 x 16 in flight", echo(10, 16, true)),
    (
        "exec connections, 8 at a time",
        Work::Connect { at_a_time: 8 },
    ),
];

/// Where clients share one backend.
pub const SHARED: [Named; 2] = [
    ("shared: 125 B to 10 clients", Work::Share { clients: 10 }),
    ("shared: 125 B to 100 clients", Work::Share { clients: 100 }),
];

/// With `metrics` against without.
pub const METRICS: [Named; 2] = [
    ("metrics: echo 125 B, 10 connections", echo(10, 1, false)),
    (
        "metrics: connections, 8 at a time",
        Work::Connect { at_a_time: 8 },
    ),
];

const fn echo(connections: usize, in_flight: usize, merged: bool) -> Work {
    Work::Echo {
        connections,
        in_flight,
        merged,
    }
}

/// How much is done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Length of a sample.
    pub effort: Effort,
    /// Samples of a median, of the roofline and the gateway.
    pub rounds: usize,
    /// Of the others, one in so many rounds.
    pub peers_each: usize,
    /// Only the works whose name contains this.
    pub only: String,
}

impl Plan {
    /// The whole table.
    pub fn whole() -> Plan {
        Plan {
            effort: Effort {
                time: Duration::from_millis(60),
                bytes: 128 << 20,
            },
            rounds: 41,
            peers_each: 4,
            only: String::new(),
        }
    }

    /// Fewer and shorter samples: a first look.
    pub fn quick() -> Plan {
        Plan {
            effort: Effort {
                time: Duration::from_millis(30),
                bytes: 32 << 20,
            },
            rounds: 7,
            peers_each: 3,
            only: String::new(),
        }
    }

    /// Whether the part of this name is asked for.
    pub fn has(&self, part: &str) -> bool {
        part.contains(&self.only)
    }

    /// Whether one of these works is asked for.
    pub fn has_any(&self, works: &[Named]) -> bool {
        works.iter().any(|work| self.has(work.0))
    }

    /// Does those of `works` that are asked for.
    pub fn rows(&self, works: &'static [Named], programs: &[Program]) -> io::Result<Vec<Row>> {
        let chosen = works.iter().filter(|work| self.has(work.0));
        chosen
            .map(|(name, work)| self.row(name, *work, programs))
            .collect()
    }

    /// Samples one work, the programs taking turns and the first of a round changing.
    ///
    /// The first two programs must do the work; another one that cannot is left out with a word.
    fn row(&self, name: &'static str, work: Work, programs: &[Program]) -> io::Result<Row> {
        if io::stderr().is_terminal() {
            eprint!("{name:<40}\r");
        }
        let brief = Effort {
            time: self.effort.time / 4,
            bytes: self.effort.bytes / 2,
        };
        let mut able = Vec::new();
        for (index, program) in programs.iter().enumerate() {
            if !work.suits(program) {
                continue;
            }
            match work.run(program, brief) {
                Ok(_) => able.push((program, vec![None; self.rounds])),
                Err(error) if index < 2 => return Err(failed(program, name, &error)),
                Err(error) => eprintln!("left out: {}", failed(program, name, &error)),
            }
        }
        for round in 0..self.rounds {
            let takes_part = |index: usize| index < 2 || round % self.peers_each == 0;
            for turn in 0..able.len() {
                let index = (round + turn) % able.len();
                let (program, samples) = &mut able[index];
                if takes_part(index) {
                    let sample = work.run(program, self.effort);
                    samples[round] = Some(sample.map_err(|error| failed(program, name, &error))?);
                }
            }
        }
        let samples: Vec<(&'static str, Vec<Option<Sample>>)> = able
            .into_iter()
            .map(|(program, samples)| (program.name, samples))
            .collect();
        Ok(Row::new(name, work.unit(), &samples))
    }
}

fn failed(program: &Program, work: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("{} at {work}: {error}", program.name))
}
