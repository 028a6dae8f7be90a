//! The measured programs, each a process of its own, and what the kernel says of them.

pub mod peers;
mod process;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rustls::ClientConfig;

pub use process::{Process, kernel_memory};

/// Most clients a program is told to take: the most that the gateway can be told.
pub const CLIENTS: usize = 10_000;

/// What a client asks a program for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Its messages back, each written to the backend by itself where the program does so.
    Echo,
    /// The same, where messages that arrived together share a write.
    MergedEcho,
    /// Bytes swallowed and poured.
    Bulk,
    /// The backend of many silent clients.
    Crowd,
    /// An echo of one backend, to all clients.
    Shared,
}

impl Service {
    /// How many there are.
    const COUNT: usize = 5;

    /// The path of a request for it.
    pub fn path(self) -> &'static str {
        match self {
            Service::Echo | Service::MergedEcho => "/echo",
            Service::Bulk => "/bulk",
            Service::Crowd => "/crowd",
            Service::Shared => "/shared",
        }
    }
}

/// A program that turns WebSocket clients into UNIX clients.
#[derive(Debug)]
pub struct Program {
    /// What the table calls it.
    pub name: &'static str,
    /// How its clients speak TLS, if they do.
    pub tls: Option<Arc<ClientConfig>>,
    /// Whether it can write each message to the backend by itself.
    pub keeps_apart: bool,
    /// Whether it can write what arrived together at once.
    pub merges: bool,
    /// The port of each service.
    ports: [u16; Service::COUNT],
    processes: Vec<Process>,
    /// A backend of its own, whose CPU time and memory count as the program's.
    backend: Option<Process>,
    /// Whether it starts programs, which count as its own.
    has_children: bool,
}

/// How clients and backend are served.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Over TCP, by copying.
    Plain,
    /// Over TLS, by copying.
    Secure(Arc<ClientConfig>),
    /// By the backend itself, with this library before libc; the relay copies.
    ///
    /// What the gateway saves the backend then does, so both count for both programs.
    Direct(PathBuf),
    /// By a program for each client; the relay has a server. Both count for both programs.
    Exec,
}

impl Manner {
    fn tls(&self) -> Option<Arc<ClientConfig>> {
        match self {
            Manner::Secure(config) => Some(config.clone()),
            Manner::Plain | Manner::Direct(_) | Manner::Exec => None,
        }
    }

    /// The folder of the backends' sockets, and a backend where it must be an own one.
    fn backend(
        &self,
        name: &str,
        sockets: &Path,
        preload: bool,
    ) -> io::Result<(PathBuf, Option<Process>)> {
        let own = |manner| {
            let own = sockets.join(format!("{manner} {name}").replace(' ', "-"));
            fs::create_dir_all(&own).map(|()| own)
        };
        match self {
            Manner::Plain | Manner::Secure(_) => Ok((sockets.to_owned(), None)),
            Manner::Exec => {
                let own = own("exec")?;
                let backend = backends(&own, None)?;
                Ok((own, Some(backend)))
            }
            Manner::Direct(library) => {
                let own = own("direct")?;
                let backend = backends(&own, preload.then_some(library))?;
                Ok((own, Some(backend)))
            }
        }
    }
}

impl Program {
    /// A program that copies, without a backend or children of its own.
    fn of(name: &'static str, ports: [u16; Service::COUNT], processes: Vec<Process>) -> Program {
        Program {
            name,
            tls: None,
            keeps_apart: true,
            merges: true,
            ports,
            processes,
            backend: None,
            has_children: false,
        }
    }

    /// Starts the roofline: this very executable in another role.
    pub fn relay(name: &'static str, sockets: &Path, manner: &Manner) -> io::Result<Program> {
        let (plain, merged, tls) = (free_port()?, free_port()?, manner.tls());
        let (folder, backend) = manner.backend(name, sockets, false)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("relay")
            .arg(folder)
            .args([plain.to_string(), merged.to_string()]);
        command.args(tls.is_some().then_some("tls"));
        let process = Process::listening(name, command, &[plain, merged], sockets)?;
        let program = Program::of(name, [plain, merged, plain, plain, plain], vec![process]);
        Ok(Program {
            tls,
            backend,
            ..program
        })
    }

    /// Starts the gateway with a configuration of two servers, whose `top` stands before them and
    /// whose `websocket` in each of them.
    pub fn gateway(
        name: &'static str,
        executable: &Path,
        sockets: &Path,
        manner: &Manner,
        top: &str,
        websocket: &str,
    ) -> io::Result<Program> {
        let (plain, merged, tls) = (free_port()?, free_port()?, manner.tls());
        let (folder, backend) = match manner {
            Manner::Exec => (sockets.to_owned(), None),
            _ => manner.backend(name, sockets, true)?,
        };
        let folder = folder.display();
        let secure = match manner {
            Manner::Secure(_) => format!(
                "tls = {{ crtfile = \"{folder}/cert.pem\"; keyfile = \"{folder}/key.pem\"; }};\n    "
            ),
            _ => String::new(),
        };
        let more = match manner {
            Manner::Direct(_) => "options = \"direct\"; ",
            Manner::Exec => {
                "links = ({ origin = \"echo\"; type = \"exec\"; destination = \"/bin/cat\"; \
                 maxprocesses = 1000; }); "
            }
            _ => "",
        };
        let server = |port: u16, merge: bool| {
            format!(
                "  {{ addr = \"127.0.0.1\"; port = {port}; maxclients = {CLIENTS};\n    {secure}\
                 websocket = {{ docroot = \"{folder}\"; {more}{websocket} merge = {merge}; }}; }}"
            )
        };
        let servers = [server(plain, false), server(merged, true)];
        let text = format!("{top}\nservers = (\n{}\n);\n", servers.join(",\n"));
        let file = sockets.join(format!("{plain}.conf"));
        fs::write(&file, text)?;
        let mut command = Command::new(executable);
        // As the init scripts start it.
        command.env("MALLOC_ARENA_MAX", "1");
        let tunables = "glibc.pthread.stack_cache_size=0:glibc.malloc.tcache_count=0";
        command.env("GLIBC_TUNABLES", tunables);
        command.arg("-f").arg(&file);
        let process = Process::listening(name, command, &[plain, merged], sockets)?;
        let program = Program::of(name, [plain, merged, plain, plain, plain], vec![process]);
        Ok(Program {
            tls,
            backend,
            has_children: matches!(manner, Manner::Exec),
            ..program
        })
    }

    /// The port where clients get this service.
    pub fn port(&self, service: Service) -> u16 {
        self.ports[service as usize]
    }

    /// Process id, for a tracer.
    pub fn pid(&self) -> u32 {
        self.processes.first().map_or(0, Process::pid)
    }

    /// Process id of the backend it has for itself.
    pub fn backend_pid(&self) -> Option<u32> {
        self.backend.as_ref().map(Process::pid)
    }

    /// CPU time so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        let of = match self.has_children {
            true => Process::cpu_of_tree,
            false => Process::cpu,
        };
        self.parts().map(of).sum()
    }

    /// Memory of the program, shared pages by their share, in bytes.
    pub fn memory(&self) -> io::Result<u64> {
        let of = match self.has_children {
            true => Process::memory_of_tree,
            false => Process::memory,
        };
        self.parts().map(of).sum()
    }

    /// Resident memory at its peak since the last call of this, in bytes.
    pub fn take_peak(&self) -> io::Result<u64> {
        self.parts().map(Process::take_peak).sum()
    }

    /// Sends SIGTERM, and returns how long the program took to end.
    pub fn stop(&mut self) -> io::Result<Duration> {
        self.processes.iter_mut().map(Process::stop).sum()
    }

    fn parts(&self) -> impl Iterator<Item = &Process> {
        self.processes.iter().chain(&self.backend)
    }
}

/// Starts the backends: this very executable in another role, with a library before libc.
pub fn backends(sockets: &Path, preload: Option<&PathBuf>) -> io::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.envs(preload.map(|library| ("LD_PRELOAD", library)));
    command.arg("backend").arg(sockets).stdin(Stdio::null());
    let mut process = Process::spawn(command)?;
    for name in ["echo", "bulk", "crowd"] {
        process.wait_until(sockets, || UnixStream::connect(sockets.join(name)).is_ok())?;
    }
    Ok(process)
}

/// Binds this process, and all it starts, to one CPU; the last we may use unless told.
///
/// On two CPUs a wake-up across them costs more than all that is measured here.
pub fn pin(cpu: Option<usize>) -> io::Result<usize> {
    let own = Pid::from_raw(0);
    let allowed = sched_getaffinity(own)?;
    let last = (0..CpuSet::count())
        .rev()
        .find(|&n| allowed.is_set(n).unwrap_or(false));
    let chosen = cpu.or(last).unwrap_or(0);
    let mut set = CpuSet::new();
    set.set(chosen)?;
    sched_setaffinity(own, &set)?;
    Ok(chosen)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
