//! A whole run: which programs are started for which works, one part after the other.

use std::io;
use std::path::{Path, PathBuf};

use crate::crowd::{self, Crowd};
use crate::load::Peer;
use crate::programs::{self, Manner, Program, Service, peers};
use crate::report::{Counted, Memory, Report};
use crate::syscalls;
use crate::tls;
use crate::works::{DIRECT, EXEC, METRICS, PLAIN, Plan, SECURE, SHARED};

/// Connections held open to see what each costs in memory.
const IDLE: usize = 200;
/// Silent clients of a program, without TLS and with it.
const CROWD: usize = 5000;
const SECURE_CROWD: usize = 1000;
/// Silent clients of a quick run.
const QUICK_CROWD: usize = 400;
/// The parts with silent clients. They wait for seconds until clients are silent: a quick run has
/// them only if it is asked for them.
const SILENT: [&str; 3] = ["silent clients", "wss silent clients", "most clients"];

/// What one run measures, and with what.
#[derive(Debug)]
pub struct Bench<'a> {
    /// The daemon; none to measure the relay against itself.
    pub gateway: Option<PathBuf>,
    /// Where sockets, configurations and logs lie.
    pub scratch: &'a Path,
    /// Which works, and how much of each.
    pub plan: Plan,
    /// Whether this is only a first look.
    pub quick: bool,
}

impl Bench<'_> {
    /// Measures everything. A part that this machine or this build cannot do is left out with a
    /// word.
    pub fn run(&self, machine: String) -> io::Result<Report> {
        let backends = programs::backends(self.scratch, None)?;
        tls::make_certificate(self.scratch)?;
        let mut report = Report {
            machine,
            rounds: self.plan.rounds,
            ..Report::default()
        };
        if self.plan.has_any(&PLAIN) {
            self.plain(&mut report, backends.pid())?;
        }
        if self.plan.has_any(&SECURE) {
            or_say("wss", self.secure(&mut report));
        }
        if self.plan.has_any(&DIRECT) {
            or_say("direct mode", self.direct(&mut report));
        }
        if self.plan.has_any(&EXEC) {
            or_say("exec", self.exec(&mut report));
        }
        if self.plan.has_any(&SHARED) {
            or_say("share", self.shared(&mut report));
        }
        if self.plan.has_any(&METRICS) {
            or_say("metrics", self.metrics(&mut report));
        }
        let [plain, secure, most] = SILENT.map(|part| self.has_silent(part));
        if plain {
            or_say("silent clients", self.crowds(&mut report));
        }
        if secure {
            or_say("wss silent clients", self.secure_crowds(&mut report));
        }
        if most {
            or_say("most clients", self.most(&mut report));
        }
        Ok(report)
    }

    fn has_silent(&self, part: &str) -> bool {
        self.plan.has(part) && !(self.quick && self.plan.only.is_empty())
    }

    fn plain(&self, report: &mut Report, backend: u32) -> io::Result<()> {
        let mut programs = self.pair(&Manner::Plain, "")?;
        programs.extend(peers::start(
            &[peers::lighttpd, peers::websocat],
            self.scratch,
        ));
        report.memory.extend(idle_memory(&programs, "")?);
        or_say(
            "the count of system calls",
            self.count_calls(report, &programs[..2], "", Some(backend)),
        );
        report.rows.extend(self.plan.rows(&PLAIN, &programs)?);
        Ok(())
    }

    fn secure(&self, report: &mut Report) -> io::Result<()> {
        let programs = self.pair(&Manner::Secure(tls::client(self.scratch)?), "")?;
        report.memory.extend(idle_memory(&programs, " wss")?);
        report.rows.extend(self.plan.rows(&SECURE, &programs)?);
        Ok(())
    }

    fn direct(&self, report: &mut Report) -> io::Result<()> {
        let programs = self.pair(&Manner::Direct(self.direct_library()?), "")?;
        report.rows.extend(self.plan.rows(&DIRECT, &programs)?);
        self.count_calls(report, &programs[1..], " direct", None)
    }

    fn exec(&self, report: &mut Report) -> io::Result<()> {
        let mut programs = self.pair(&Manner::Exec, "")?;
        programs.extend(peers::start(&[peers::websocketd], self.scratch));
        report.memory.extend(idle_memory(&programs, " exec")?);
        report.rows.extend(self.plan.rows(&EXEC, &programs)?);
        Ok(())
    }

    fn shared(&self, report: &mut Report) -> io::Result<()> {
        let echo = self.scratch.join("echo");
        let link = format!(
            "links = ( {{ origin = \"shared\"; destination = \"{}\"; share = \"all\"; }} );",
            echo.display()
        );
        let programs = self.pair(&Manner::Plain, &link)?;
        report.rows.extend(self.plan.rows(&SHARED, &programs)?);
        Ok(())
    }

    /// The daemon with `metrics` against the daemon without.
    fn metrics(&self, report: &mut Report) -> io::Result<()> {
        let Some(gateway) = &self.gateway else {
            return Ok(());
        };
        let socket = self.scratch.join("metrics");
        let setting = format!("metrics = \"unix:{}\";", socket.display());
        let start = |name, top: &str| {
            Program::gateway(name, gateway, self.scratch, &Manner::Plain, top, "")
        };
        let programs = [start("ouistiti", "")?, start("with metrics", &setting)?];
        report.rows.extend(self.plan.rows(&METRICS, &programs)?);
        Ok(())
    }

    fn crowds(&self, report: &mut Report) -> io::Result<()> {
        let size = if self.quick { QUICK_CROWD } else { CROWD };
        // The bare sockets are three descriptors a client here.
        let bare_size = crowd::possible(size, 3.0)?;
        let bare = crowd::bare_sockets(self.scratch, bare_size)?;
        let pair = self.pair(&Manner::Plain, crowd::PARK)?;
        let others = peers::start(&[peers::lighttpd, peers::websocat], self.scratch);
        // Each is started before the first is measured, and only one has clients at a time.
        for program in pair.iter().chain(&others) {
            let size = crowd::possible(size, 2.5)?;
            or_say_of(program.name, crowd::crowd(program, "", size, bare), report);
        }
        Ok(())
    }

    fn secure_crowds(&self, report: &mut Report) -> io::Result<()> {
        let size = if self.quick {
            QUICK_CROWD
        } else {
            SECURE_CROWD
        };
        let bare = crowd::bare_sockets(self.scratch, size)?;
        let manner = Manner::Secure(tls::client(self.scratch)?);
        for program in self.pair(&manner, crowd::PARK)? {
            or_say_of(
                program.name,
                crowd::crowd(&program, " wss", size, bare),
                report,
            );
        }
        Ok(())
    }

    /// As many clients as the gateway takes, and as descriptors here allow.
    fn most(&self, report: &mut Report) -> io::Result<()> {
        let Some(gateway) = &self.gateway else {
            return Ok(());
        };
        let wanted = if self.quick {
            QUICK_CROWD
        } else {
            programs::CLIENTS
        };
        // Two a client, and the daemon keeps an eighth for others.
        let clients = crowd::possible(wanted, 2.0 * 8.0 / 7.0)?;
        let settings = crowd::MOST;
        let mut program = Program::gateway(
            "ouistiti",
            gateway,
            self.scratch,
            &Manner::Plain,
            "",
            settings,
        )?;
        report.multitude = Some(crowd::multitude(&mut program, clients)?);
        Ok(())
    }

    /// The roofline and what is compared with it, whose section `websocket` has these settings.
    fn pair(&self, manner: &Manner, websocket: &str) -> io::Result<Vec<Program>> {
        let roof = Program::relay("relay", self.scratch, manner)?;
        let measured = match &self.gateway {
            Some(executable) => {
                Program::gateway("ouistiti", executable, self.scratch, manner, "", websocket)?
            }
            None => Program::relay("relay again", self.scratch, manner)?,
        };
        Ok(vec![roof, measured])
    }

    /// The library that makes a backend direct: it is built beside the gateway.
    fn direct_library(&self) -> io::Result<PathBuf> {
        let gateway = self.gateway.as_deref().unwrap_or(Path::new(""));
        let library = gateway.with_file_name("libwebsocket.so");
        library
            .canonicalize()
            .map_err(|error| io::Error::other(format!("{}: {error}", library.display())))
    }

    /// System calls of each program alone, and together with its backend, which is the one of this
    /// process id where it is not the program's own.
    fn count_calls(
        &self,
        report: &mut Report,
        programs: &[Program],
        manner: &str,
        shared: Option<u32>,
    ) -> io::Result<()> {
        for program in programs {
            let name = format!("{}{manner}", program.name);
            let alone = [program.pid()];
            let backend = program.backend_pid().or(shared);
            let both: Vec<u32> = alone.into_iter().chain(backend).collect();
            for (processes, in_flight, name) in [
                (&alone[..], 1, name.clone()),
                (&both, 1, format!("{name} and backend")),
                (&both, 16, format!("{name} and backend, 16 in flight")),
            ] {
                let calls = syscalls::count(processes, program, in_flight, self.scratch)?;
                report.calls.push(Counted { name, calls });
            }
        }
        Ok(())
    }
}

fn or_say(part: &str, done: io::Result<()>) {
    if let Err(error) = done {
        eprintln!("left out: {part}: {error}");
    }
}

fn or_say_of(program: &str, done: io::Result<Crowd>, report: &mut Report) {
    or_say(
        &format!("silent clients of {program}"),
        done.map(|crowd| report.crowds.push(crowd)),
    );
}

/// Memory of each before any client, and what each of many idle ones adds.
fn idle_memory(programs: &[Program], suffix: &str) -> io::Result<Vec<Memory>> {
    let mut memory = Vec::new();
    for program in programs {
        let idle = program.memory()? as f64;
        let open = |_| {
            let mut peer = Peer::open(program, Service::Echo)?;
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
