//! Measures ouistiti against the roofline, in one run on one CPU; README.md beside this crate's
//! folder says how and why.

mod backend;
mod crowd;
mod load;
mod measure;
mod picture;
mod programs;
mod quantile;
mod relay;
mod report;
mod syscalls;
mod tls;
mod wire;
mod works;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use getopts::{Matches, Options};
use measure::Bench;
use works::Plan;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match arguments.first().and_then(|first| first.to_str()) {
        Some("relay") => be_relay(&arguments),
        Some("backend") => be_backend(&arguments),
        _ => be_bench(&arguments),
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

fn options() -> Options {
    let mut options = Options::new();
    options.optflag("h", "help", "print this");
    options.optflag(
        "q",
        "quick",
        "fewer and shorter samples, no silent clients: a first look",
    );
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
    options.optopt(
        "o",
        "out",
        "write result.json and result.svg of a whole run there",
        "DIR",
    );
    options
}

fn be_bench(arguments: &[OsString]) -> io::Result<()> {
    let options = options();
    let matches = options.parse(arguments).map_err(io::Error::other)?;
    if matches.opt_present("h") {
        print!("{}", options.usage("usage: bench [options]"));
        return Ok(());
    }
    let begin = Instant::now();
    let cpu = programs::pin(number(&matches, "cpu")?)?;
    let gateway = matches
        .opt_str("gateway")
        .unwrap_or_else(|| "target/release/ouistiti".to_owned());
    let scratch = Scratch::new()?;
    let bench = Bench {
        gateway: (!matches.opt_present("self")).then(|| PathBuf::from(gateway)),
        scratch: &scratch.0,
        plan: plan(&matches)?,
        quick: matches.opt_present("q"),
    };
    let report = bench.run(machine(cpu))?;
    print!("{}", report::table(&report));
    let is_whole = !bench.quick && bench.plan.only.is_empty();
    if let Some(folder) = matches.opt_str("out").filter(|_| is_whole) {
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("result.json"), report::json(&report))?;
        fs::write(folder.join("result.svg"), picture::draw(&report))?;
        println!("written: {0}/result.json, {0}/result.svg", folder.display());
    }
    println!("took {} s", begin.elapsed().as_secs());
    Ok(())
}

fn plan(matches: &Matches) -> io::Result<Plan> {
    let mut plan = match matches.opt_present("q") {
        true => Plan::quick(),
        false => Plan::whole(),
    };
    if let Some(rounds) = number(matches, "rounds")? {
        plan.rounds = rounds.max(1);
    }
    plan.only = matches.opt_str("only").unwrap_or_default();
    Ok(plan)
}

fn number(matches: &Matches, name: &str) -> io::Result<Option<usize>> {
    matches
        .opt_get::<usize>(name)
        .map_err(|e| io::Error::other(format!("--{name}: {e}")))
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
