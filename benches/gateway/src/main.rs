//! Measures ouistiti against the roofline, in one run on one CPU; README.md beside this crate's
//! folder says how and why.

mod backend;
mod load;
mod picture;
mod programs;
mod relay;
mod report;
mod syscalls;
mod tls;
mod wire;

use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use getopts::Options;
use load::{Effort, Peer, Work};
use programs::{Manner, Program};
use report::{Counted, Memory, Report, Row};

/// The works, in the order of the table.
const WORKS: [(&str, Work); 9] = [
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

/// The works over TLS.
const SECURE: [(&str, Work); 4] = [
    ("wss echo 125 B, 10 connections", echo(10, 1, false)),
    ("wss upload 64 KiB messages", Work::Upload),
    ("wss download", Work::Download),
    (
        "wss full handshakes, 8 at a time",
        Work::Connect { at_a_time: 8 },
    ),
];

/// The works in direct mode; the backend's CPU time is counted too.
const DIRECT: [(&str, Work); 4] = [
    ("direct echo 125 B, 10 connections", echo(10, 1, false)),
    ("direct 10 x 16 in flight", echo(10, 16, false)),
    ("direct upload 64 KiB messages", Work::Upload),
    ("direct download", Work::Download),
];

/// Connections held open to see what each costs in memory.
const IDLE: usize = 200;

const fn echo(connections: usize, in_flight: usize, merged: bool) -> Work {
    Work::Echo {
        connections,
        in_flight,
        merged,
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match arguments.first().and_then(|first| first.to_str()) {
        Some("relay") => be_relay(&arguments),
        Some("backend") => be_backend(&arguments),
        _ => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `relay SOCKETS PORT MERGED_PORT [tls]`: the roofline's process.
fn be_relay(arguments: &[OsString]) -> io::Result<()> {
    let listen = |n: usize, writes| {
        let port = arguments
            .get(n)
            .and_then(|port| port.to_str()?.parse::<u16>().ok());
        Ok::<_, io::Error>((
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0)))?,
            writes,
        ))
    };
    let listeners = vec![
        listen(2, relay::Writes::PerMessage)?,
        listen(3, relay::Writes::Merged)?,
    ];
    let sockets = arguments.get(1).map(PathBuf::from).unwrap_or_default();
    let tls = arguments
        .get(4)
        .map(|_| tls::server(&sockets))
        .transpose()?;
    relay::serve(listeners, &sockets, tls.as_ref())
}

/// `backend SOCKETS`: the process behind the relay and the gateway.
fn be_backend(arguments: &[OsString]) -> io::Result<()> {
    backend::serve(Path::new(
        arguments
            .get(1)
            .map_or("", |path| path.to_str().unwrap_or("")),
    ))
}

fn measure(arguments: &[OsString]) -> io::Result<()> {
    let mut options = Options::new();
    options.optflag("h", "help", "print this");
    options.optflag("q", "quick", "fewer and shorter samples: a first look");
    options.optflag(
        "",
        "self",
        "measure the relay against itself: how far to trust a ratio",
    );
    options.optopt(
        "",
        "gateway",
        "the daemon to measure (target/release/ouistiti)",
        "FILE",
    );
    options.optopt("", "rounds", "samples each median is made of (41)", "N");
    options.optopt(
        "",
        "only",
        "only the works whose name contains this",
        "TEXT",
    );
    options.optopt("", "cpu", "the CPU to run on (the last allowed one)", "N");
    options.optopt("o", "out", "write result.json and result.svg there", "DIR");
    let matches = options.parse(arguments).map_err(io::Error::other)?;
    if matches.opt_present("h") {
        print!("{}", options.usage("usage: bench [options]"));
        return Ok(());
    }
    let number = |name| {
        matches
            .opt_get::<usize>(name)
            .map_err(|e| io::Error::other(format!("--{name}: {e}")))
    };
    let quick = matches.opt_present("q");
    let rounds = number("rounds")?
        .unwrap_or(if quick { 9 } else { 41 })
        .max(1);
    let effort = if quick {
        Effort {
            time: Duration::from_millis(40),
            bytes: 64 << 20,
        }
    } else {
        Effort {
            time: Duration::from_millis(60),
            bytes: 128 << 20,
        }
    };
    let cpu = programs::pin(number("cpu")?)?;
    let gateway = matches
        .opt_str("gateway")
        .unwrap_or_else(|| "target/release/ouistiti".to_owned());
    let gateway = (!matches.opt_present("self")).then(|| PathBuf::from(gateway));
    let scratch = Scratch::new()?;
    let backends = programs::backends(&scratch.0, None)?;
    tls::make_certificate(&scratch.0)?;
    let start = |manner: Manner| -> io::Result<[Program; 2]> {
        let roof = Program::relay("relay", &scratch.0, &manner)?;
        let measured = match &gateway {
            Some(executable) => Program::gateway(executable, &scratch.0, &manner)?,
            None => Program::relay("relay again", &scratch.0, &manner)?,
        };
        Ok([roof, measured])
    };
    let programs = start(Manner::Plain)?;
    let mut memory = idle_memory(&programs, "")?;
    let only = matches.opt_str("only").unwrap_or_default();
    let chosen =
        |works: &'static [(&str, Work)]| works.iter().filter(|work| work.0.contains(&only));
    let mut calls = count_calls(&programs, "", Some(backends.pid()), &scratch.0);
    let mut rows = Vec::new();
    for (name, work) in chosen(&WORKS) {
        rows.push(row(name, *work, &programs, effort, rounds)?);
    }
    match start(Manner::Secure(tls::client(&scratch.0)?)) {
        Ok(secure) => {
            memory.extend(idle_memory(&secure, " wss")?);
            for (name, work) in chosen(&SECURE) {
                rows.push(row(name, *work, &secure, effort, rounds)?);
            }
        }
        Err(error) => eprintln!("wss is not measured: {error}"),
    }
    match direct_library(gateway.as_deref()).and_then(|library| start(Manner::Direct(library))) {
        Ok(direct) => {
            for (name, work) in chosen(&DIRECT) {
                rows.push(row(name, *work, &direct, effort, rounds)?);
            }
            let more = count_calls(&direct[1..], " direct", None, &scratch.0);
            calls = calls.and_then(|calls| Ok([calls, more?].concat()));
        }
        Err(error) => eprintln!("direct mode is not measured: {error}"),
    }
    let report = Report {
        machine: machine(cpu),
        rounds,
        programs: programs.iter().map(|program| program.name).collect(),
        rows,
        memory,
        calls: calls.map_err(|error| error.to_string()),
    };
    print!("{}", report::table(&report));
    if let Some(folder) = matches.opt_str("out").map(PathBuf::from) {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("result.json"), report::json(&report))?;
        fs::write(folder.join("result.svg"), picture::draw(&report))?;
        println!("written: {0}/result.json, {0}/result.svg", folder.display());
    }
    Ok(())
}

/// System calls of each program alone, and together with its backend, which is the one of this
/// process id where it is not the program's own.
fn count_calls(
    programs: &[Program],
    manner: &str,
    shared: Option<u32>,
    scratch: &Path,
) -> io::Result<Vec<Counted>> {
    let mut all = Vec::new();
    for program in programs {
        let name = format!("{}{manner}", program.name);
        let alone = [program.pid()];
        let backend = program.backend_pid().or(shared);
        let both: Vec<u32> = alone.into_iter().chain(backend).collect();
        for (processes, in_flight, title) in [
            (&alone[..], 1, name.clone()),
            (&both, 1, format!("{name} and backend")),
            (&both, 16, format!("{name} and backend, 16 in flight")),
        ] {
            let calls = syscalls::count(processes, program, in_flight, scratch)?;
            all.push(Counted { name: title, calls });
        }
    }
    Ok(all)
}

/// The library that makes a backend direct: it is built beside the gateway.
fn direct_library(gateway: Option<&Path>) -> io::Result<PathBuf> {
    let library = gateway
        .unwrap_or(Path::new(""))
        .with_file_name("libwebsocket.so");
    library
        .canonicalize()
        .map_err(|error| io::Error::other(format!("{}: {error}", library.display())))
}

/// Samples one work, the programs taking turns and the first of a round changing.
fn row(
    name: &'static str,
    work: Work,
    programs: &[Program],
    effort: Effort,
    rounds: usize,
) -> io::Result<Row> {
    if io::stderr().is_terminal() {
        eprint!("{name:<40}\r");
    }
    let mut samples = vec![Vec::new(); programs.len()];
    for program in programs {
        let brief = Effort {
            time: effort.time / 4,
            bytes: effort.bytes / 2,
        };
        work.run(program, brief)
            .map_err(|error| named(program, name, &error))?;
    }
    for round in 0..rounds {
        for turn in 0..programs.len() {
            let index = (round + turn) % programs.len();
            let sample = work.run(&programs[index], effort);
            samples[index].push(sample.map_err(|error| named(&programs[index], name, &error))?);
        }
    }
    Ok(Row::new(name, work.unit(), &samples))
}

/// Memory of each before any client, and what each of many idle ones adds.
fn idle_memory(programs: &[Program], suffix: &str) -> io::Result<Vec<Memory>> {
    let mut memory = Vec::new();
    for program in programs {
        let idle = program.memory()? as f64;
        let open = |_| {
            let mut peer = Peer::open(program, program.plain, "/echo")?;
            peer.echo_once()?;
            Ok(peer)
        };
        let peers = (0..IDLE).map(open).collect::<io::Result<Vec<Peer>>>()?;
        let connection = (program.memory()? as f64 - idle) / IDLE as f64;
        peers.into_iter().try_for_each(Peer::close)?;
        memory.push(Memory {
            name: format!("{}{suffix}", program.name),
            idle,
            connection,
        });
    }
    Ok(memory)
}

fn named(program: &Program, work: &str, error: &io::Error) -> io::Error {
    io::Error::other(format!("{} fails at {work}: {error}", program.name))
}

/// Processor and kernel, as one phrase without quotes.
fn machine(cpu: usize) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find(|line| line.starts_with("model name") || line.starts_with("Model"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map_or("CPU", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    format!(
        "{} (number {cpu}), Linux {kernel}",
        model.replace(['"', '\\', '<', '&'], "")
    )
}

/// A directory for sockets, configuration and logs that goes when we do.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Scratch> {
        let path = std::env::temp_dir().join(format!("ouistiti-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies in the temporary directory anyway.
        let _ = fs::remove_dir_all(&self.0);
    }
}
