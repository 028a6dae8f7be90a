//! A child process: its start, its end, and what the kernel says of it and its children.

use std::fs::{self, File};
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::{Pid, SysconfVar, sysconf};

/// How long a program may take to listen.
const START: Duration = Duration::from_secs(10);

/// A child that ends with us.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a program.
    pub fn spawn(mut command: Command) -> io::Result<Process> {
        let program = PathBuf::from(command.get_program());
        let failed = |e: io::Error| {
            let text = format!("cannot start {}: {e}", program.display());
            io::Error::new(e.kind(), text)
        };
        command.spawn().map(Process).map_err(failed)
    }

    /// Starts a server that logs to a file in `folder`, and waits until it listens.
    pub fn listening(
        name: &str,
        mut command: Command,
        ports: &[u16],
        folder: &Path,
    ) -> io::Result<Process> {
        let log = folder.join(format!("{name}-{}.log", ports.first().unwrap_or(&0)));
        let file = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let mut process = Process::spawn(command)?;
        for port in ports {
            process.wait_until(&log, || {
                TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok()
            })?;
        }
        Ok(process)
    }

    /// Waits until `ready` holds; what the process said in `log` if it ends instead.
    pub fn wait_until(&mut self, log: &Path, ready: impl Fn() -> bool) -> io::Result<()> {
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

    /// Process id, for a tracer.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// CPU time of the process so far, with all its threads, the ended ones too.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu(self.pid())
    }

    /// CPU time of the process and of all it has started, the ended ones too.
    ///
    /// Of those the kernel tells only whole ticks, of 10 ms as a rule.
    pub fn cpu_of_tree(&self) -> io::Result<Duration> {
        let mut sum = self.cpu()?;
        let mut ticks = stat(self.pid()).map_or(0, |stat| stat.waited_for);
        for child in descendants(self.pid())? {
            // One that has ended meanwhile is waited for, and counts with its parent's.
            sum += cpu(child.pid).unwrap_or_default();
            ticks += child.waited_for;
        }
        let second = sysconf(SysconfVar::CLK_TCK)?.unwrap_or(100);
        Ok(sum + Duration::from_secs_f64(ticks as f64 / second as f64))
    }

    /// PSS: memory of the process, shared pages by their share, in bytes.
    pub fn memory(&self) -> io::Result<u64> {
        pss(self.pid())
    }

    /// PSS of the process and of all it has started, in bytes.
    pub fn memory_of_tree(&self) -> io::Result<u64> {
        let children = descendants(self.pid())?;
        let children = children.iter().map(|child| pss(child.pid).unwrap_or(0));
        Ok(self.memory()? + children.sum::<u64>())
    }

    /// Resident memory at its peak since the last call of this, in bytes; since the start where the
    /// kernel does not let it be reset.
    pub fn take_peak(&self) -> io::Result<u64> {
        let peak = field(&format!("/proc/{}/status", self.pid()), "VmHWM:")?;
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
        Ok(peak)
    }

    /// Sends SIGTERM, and returns how long the process took to end.
    pub fn stop(&mut self) -> io::Result<Duration> {
        let begin = Instant::now();
        kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGTERM)?;
        self.0.wait()?;
        Ok(begin.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cpu(pid: u32) -> io::Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.cast_signed()))?;
    Ok(clock.now()?.into())
}

fn pss(pid: u32) -> io::Result<u64> {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// A line `NAME N kB` of one of the kernel's files, in bytes.
fn field(path: &str, name: &str) -> io::Result<u64> {
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| io::Error::other(format!("{path} has no line {name}")))
}

/// Memory of the machine that the kernel has for itself, in bytes: stacks of threads, page tables
/// and its own objects.
pub fn kernel_memory() -> io::Result<u64> {
    ["KernelStack:", "PageTables:", "Slab:"]
        .iter()
        .map(|name| field("/proc/meminfo", name))
        .sum()
}

/// What /proc/PID/stat tells that matters here.
struct Stat {
    pid: u32,
    parent: u32,
    /// CPU time of the children it has waited for, in ticks.
    waited_for: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses, and may have some itself.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |n: usize| fields.get(n)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        parent: number(1)?.try_into().ok()?,
        waited_for: number(13)? + number(14)?,
    })
}

/// The children of a process, theirs, and so on.
fn descendants(ancestor: u32) -> io::Result<Vec<Stat>> {
    let numbers = fs::read_dir("/proc")?.flatten();
    let all: Vec<Stat> = numbers
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut known = vec![ancestor];
    let mut found = Vec::new();
    let mut left = all;
    loop {
        let (new, rest): (Vec<Stat>, Vec<Stat>) = left
            .into_iter()
            .partition(|process| known.contains(&process.parent));
        if new.is_empty() {
            return Ok(found);
        }
        known = new.iter().map(|process| process.pid).collect();
        found.extend(new);
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_counts_what_a_child_of_a_child_has_used() {
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'while :; do :; done'; :"]);
        let process = Process::spawn(command).expect("a shell");
        let deadline = Instant::now() + START;
        let enough = Duration::from_millis(50);
        while process.cpu_of_tree().expect("it runs") < enough {
            assert!(Instant::now() < deadline, "the child's time is not counted");
            thread::sleep(Duration::from_millis(10));
        }
        for child in descendants(process.pid()).expect("/proc") {
            let _ = kill(Pid::from_raw(child.pid.cast_signed()), Signal::SIGKILL);
        }
    }
}
