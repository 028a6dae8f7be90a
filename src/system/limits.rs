//! Ground: how many threads and how much memory the kernel still gives to this process.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Uid;

use crate::system::threads;

/// Threads of the user, if proc(5) cannot be read.
const UNKNOWN_IN_USE: usize = 16;

/// Where control groups are found (cgroups(7)).
const GROUPS: &str = "/sys/fs/cgroup";

/// What bounds the number of threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    User,
    Group,
    Kernel,
}

/// The limit and how it is raised, as a warning names it.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "the user's limit (ulimit -u, LimitNPROC= of systemd)",
            Self::Group => "the limit of the control group (pids.max, TasksMax= of systemd)",
            Self::Kernel => "the kernel's limit (sysctl kernel.threads-max)",
        })
    }
}

/// Returns how many threads this process may still start, and what bounds them.
pub(crate) fn threads_left() -> (usize, Bound) {
    let group = groups_of("pids")
        .iter()
        .filter_map(|group| {
            room(
                number(&group.join("pids.max")),
                number(&group.join("pids.current")),
            )
        })
        .min();
    let bounds = [
        (of_user(), Bound::User),
        (group, Bound::Group),
        (of_kernel(), Bound::Kernel),
    ];
    let known = bounds
        .into_iter()
        .filter_map(|(left, bound)| Some((left?, bound)));
    known
        .min_by_key(|(left, _)| *left)
        .unwrap_or((usize::MAX, Bound::User))
}

/// Returns how many bytes of memory are left for this process, as far as that is known.
pub(crate) fn memory_left() -> Option<usize> {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| available(&text));
    let groups = groups_of("memory");
    let group = groups
        .iter()
        .filter_map(|group| number(&group.join("memory.max")))
        .min();
    machine.into_iter().chain(group).min()
}

/// RLIMIT_NPROC counts the threads of all processes of a user; root has no limit.
fn of_user() -> Option<usize> {
    let (limit, _) = getrlimit(Resource::RLIMIT_NPROC).ok()?;
    if Uid::effective().is_root() || limit == nix::libc::RLIM_INFINITY {
        return None;
    }
    let in_use = threads::of_user(Uid::current()).unwrap_or(UNKNOWN_IN_USE);
    Some(
        usize::try_from(limit)
            .unwrap_or(usize::MAX)
            .saturating_sub(in_use),
    )
}

/// The kernel's limit holds for all threads of the machine.
fn of_kernel() -> Option<usize> {
    let all = fs::read_to_string("/proc/loadavg").ok()?;
    room(
        number(Path::new("/proc/sys/kernel/threads-max")),
        threads_of_all(&all),
    )
}

fn room(most: Option<usize>, taken: Option<usize>) -> Option<usize> {
    Some(most?.saturating_sub(taken?))
}

/// Reads a file that holds one number. "max" is none.
fn number(file: &Path) -> Option<usize> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The threads of the machine: behind the slash of /proc/loadavg (proc(5)).
fn threads_of_all(loadavg: &str) -> Option<usize> {
    let (_, all) = loadavg.split_once('/')?;
    all.split_whitespace().next()?.parse().ok()
}

/// The line MemAvailable of /proc/meminfo, in bytes (proc(5)).
fn available(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace()
        .next()?
        .parse::<usize>()
        .ok()?
        .checked_mul(1024)
}

/// The directories of the control groups that this process is in, for a controller.
fn groups_of(controller: &str) -> Vec<PathBuf> {
    match fs::read_to_string("/proc/self/cgroup") {
        Ok(text) => groups(&text, controller),
        Err(_) => Vec::new(),
    }
}

/// The same for the text of /proc/self/cgroup. A limit of a group holds for those within it.
fn groups(text: &str, controller: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let root = match controllers {
            // Version 2 has one tree for all.
            "" => PathBuf::from(GROUPS),
            _ if controllers.split(',').any(|one| one == controller) => {
                Path::new(GROUPS).join(controllers)
            }
            _ => continue,
        };
        let within = Path::new(path.trim_start_matches('/'));
        found.extend(within.ancestors().map(|group| root.join(group)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(threads_of_all("0.20 0.18 0.12 1/80 11206\n"), Some(80));
        let meminfo = "MemTotal:        62000 kB\nMemAvailable:    34000 kB\n";
        assert_eq!(available(meminfo), Some(34_000 * 1024));
        assert_eq!(room(Some(10), Some(12)), Some(0));
        assert_eq!(room(None, Some(12)), None);
        assert!(threads_left().0 > 0);
        assert!(memory_left() > Some(0));
    }

    #[test]
    fn a_limit_of_each_group_above_counts() {
        let two = groups("0::/system.slice/ouistiti.service\n", "pids");
        let wanted = ["system.slice/ouistiti.service", "system.slice", ""];
        assert_eq!(two, wanted.map(|group| Path::new(GROUPS).join(group)));
        let one = groups("9:name=systemd:/\n8:pids:/a\n3:cpu,memory:/b\n", "pids");
        assert_eq!(
            one,
            ["pids/a", "pids/"].map(|group| Path::new(GROUPS).join(group))
        );
        assert!(groups("broken", "pids").is_empty());
    }
}
