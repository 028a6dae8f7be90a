//! System calls a message, as strace counts them, where there is a strace.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::load::Peer;
use crate::programs::{Program, Service};

/// Echoes under the tracer, at most.
const MESSAGES: u32 = 1000;

/// Calls a message by name, the most frequent first, those under 0.01 left out.
pub type Calls = Vec<(String, f64)>;

/// Counts the calls of these processes while one client has messages echoed by `program`, so many
/// at a time.
pub fn count(
    processes: &[u32],
    program: &Program,
    in_flight: u32,
    scratch: &Path,
) -> io::Result<Calls> {
    let mut peer = Peer::open(program, Service::Echo)?;
    peer.echo_once()?;
    let table = scratch.join("calls");
    let mut tracer = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&table)
        .args(processes.iter().map(|process| format!("-p{process}")))
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::other(format!("no strace here ({error})")))?;
    let pid = Pid::from_raw(tracer.id().cast_signed());
    let mut said = BufReader::new(tracer.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
    let mut line = String::new();
    for _ in processes {
        line.clear();
        said.read_line(&mut line)?;
        if !line.contains("attached") {
            let _ = tracer.wait();
            return Err(io::Error::other(format!(
                "strace may not attach: {}",
                line.trim()
            )));
        }
    }
    let echoed = (0..MESSAGES / in_flight).try_for_each(|_| peer.echo(in_flight as usize));
    kill(pid, Signal::SIGINT)?;
    said.read_to_string(&mut line)?;
    tracer.wait()?;
    echoed?;
    peer.close()?;
    Ok(parse(
        &fs::read_to_string(&table)?,
        MESSAGES / in_flight * in_flight,
    ))
}

/// Reads strace's summary: `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn parse(table: &str, messages: u32) -> Calls {
    let mut calls: Calls = table
        .lines()
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let &name = fields
                .last()
                .filter(|name| !["total", "syscall"].contains(name))?;
            let count = fields.get(3)?.parse::<u32>().ok()?;
            Some((name.to_owned(), f64::from(count) / f64::from(messages)))
        })
        .filter(|(_, rate)| *rate >= 0.01)
        .collect();
    calls.sort_by(|a, b| b.1.total_cmp(&a.1));
    calls
}

/// One line: `4.00 (recvfrom 2.00, sendto 2.00)`, or `none`.
pub fn describe(calls: &Calls) -> String {
    let total: f64 = calls.iter().map(|(_, rate)| rate).sum();
    let names: Vec<String> = calls
        .iter()
        .map(|(name, rate)| format!("{name} {rate:.2}"))
        .collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => format!("{total:.2} ({})", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_read() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     70.00    0.000942          32      2000           write\n\
                     30.00    0.000142          32      2002         2 recvfrom\n\
                     ------ ----------- ----------- --------- --------- ----------------\n\
                     100.00    0.000942          32      4002         2 total\n";
        assert_eq!(
            describe(&parse(table, 1000)),
            "4.00 (recvfrom 2.00, write 2.00)"
        );
    }
}
