//! The measured programs, each a process of its own, and what the kernel says of them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;
use rustls::ClientConfig;

/// How long a program may take to listen.
const START: Duration = Duration::from_secs(10);
/// Most clients the gateway is told to take: more than any load opens.
const CLIENTS: usize = 2000;

/// A program that turns WebSocket clients into UNIX clients.
#[derive(Debug)]
pub struct Program {
    /// What the table calls it.
    pub name: &'static str,
    /// Where each message is a write of its own.
    pub plain: u16,
    /// Where messages that arrived together share a write.
    pub merged: u16,
    /// How its clients speak TLS, if they do.
    pub tls: Option<Arc<ClientConfig>>,
    process: Process,
    /// A backend of its own, whose CPU time counts as the program's.
    backend: Option<Process>,
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
}

impl Manner {
    fn tls(&self) -> Option<Arc<ClientConfig>> {
        match self {
            Manner::Secure(config) => Some(config.clone()),
            Manner::Plain | Manner::Direct(_) => None,
        }
    }

    /// The folder of the backends' sockets, and a backend where it must be an own one.
    fn backend(
        &self,
        name: &str,
        sockets: &Path,
        preload: bool,
    ) -> io::Result<(PathBuf, Option<Process>)> {
        match self {
            Manner::Plain | Manner::Secure(_) => Ok((sockets.to_owned(), None)),
            Manner::Direct(library) => {
                let own = sockets.join(format!("direct {name}").replace(' ', "-"));
                fs::create_dir_all(&own)?;
                let backend = backends(&own, preload.then_some(library))?;
                Ok((own, Some(backend)))
            }
        }
    }
}

impl Program {
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
        let process = Process::listening(name, command, [plain, merged], sockets)?;
        Ok(Program {
            name,
            plain,
            merged,
            tls,
            process,
            backend,
        })
    }

    /// Starts the gateway with a configuration of two servers.
    pub fn gateway(executable: &Path, sockets: &Path, manner: &Manner) -> io::Result<Program> {
        let (plain, merged, tls) = (free_port()?, free_port()?, manner.tls());
        let (folder, backend) = manner.backend("ouistiti", sockets, true)?;
        let folder = folder.display();
        let (secure, options) = match manner {
            Manner::Plain => (String::new(), ""),
            Manner::Direct(_) => (String::new(), "options = \"direct\"; "),
            Manner::Secure(_) => (
                format!(
                    "tls = {{ crtfile = \"{folder}/cert.pem\"; keyfile = \"{folder}/key.pem\"; }};\n    "
                ),
                "",
            ),
        };
        let server = |port: u16, merge: bool| {
            format!(
                "  {{ addr = \"127.0.0.1\"; port = {port}; maxclients = {CLIENTS};\n    \
                 {secure}websocket = {{ docroot = \"{folder}\"; {options}merge = {merge}; }}; }}"
            )
        };
        let text = format!(
            "servers = (\n{},\n{}\n);\n",
            server(plain, false),
            server(merged, true)
        );
        let file = sockets.join(format!("{plain}.conf"));
        fs::write(&file, text)?;
        let mut command = Command::new(executable);
        command.arg("-f").arg(&file);
        let process = Process::listening("ouistiti", command, [plain, merged], sockets)?;
        Ok(Program {
            name: "ouistiti",
            plain,
            merged,
            tls,
            process,
            backend,
        })
    }

    /// Process id, for a tracer.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Process id of the backend it has for itself.
    pub fn backend_pid(&self) -> Option<u32> {
        self.backend.as_ref().map(Process::pid)
    }

    /// CPU time so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        let backend = self
            .backend
            .as_ref()
            .map_or(Ok(Duration::ZERO), Process::cpu)?;
        Ok(self.process.cpu()? + backend)
    }

    /// Memory of the process, shared pages by their share, in bytes.
    pub fn memory(&self) -> io::Result<u64> {
        let mut text = String::new();
        File::open(format!("/proc/{}/smaps_rollup", self.pid()))?.read_to_string(&mut text)?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kilobytes
            .map(|k| k * 1024)
            .ok_or_else(|| io::Error::other("smaps_rollup has no Pss line"))
    }
}

/// Starts the backends: this very executable in another role, with a library before libc.
pub fn backends(sockets: &Path, preload: Option<&PathBuf>) -> io::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.envs(preload.map(|library| ("LD_PRELOAD", library)));
    command.arg("backend").arg(sockets).stdin(Stdio::null());
    let mut process = Process::spawn(command)?;
    for name in ["echo", "bulk"] {
        process.wait_until(sockets, || UnixStream::connect(sockets.join(name)).is_ok())?;
    }
    Ok(process)
}

/// A child that ends with us.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Process id, for a tracer.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// CPU time of the process so far, with all its threads, the ended ones too.
    fn cpu(&self) -> io::Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(self.0.id().cast_signed()))?;
        Ok(clock.now()?.into())
    }

    fn spawn(mut command: Command) -> io::Result<Process> {
        let program = PathBuf::from(command.get_program());
        let failed = |e| io::Error::other(format!("cannot start {}: {e}", program.display()));
        command.spawn().map(Process).map_err(failed)
    }

    /// Starts a server that logs to a file in `folder`, and waits until it listens.
    fn listening(
        name: &str,
        mut command: Command,
        ports: [u16; 2],
        folder: &Path,
    ) -> io::Result<Process> {
        let log = folder.join(format!("{name}-{}.log", ports[0]));
        let file = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut process = Process::spawn(command)?;
        for port in ports {
            process.wait_until(&log, || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            })?;
        }
        Ok(process)
    }

    fn wait_until(&mut self, log: &Path, ready: impl Fn() -> bool) -> io::Result<()> {
        let deadline = Instant::now() + START;
        while !ready() {
            if let Some(status) = self.0.try_wait()? {
                let said = fs::read_to_string(log).unwrap_or_default();
                return Err(io::Error::other(format!(
                    "it ended at start, {status}: {said}"
                )));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("it does not listen after 10 seconds"));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
