//! Whether the limits of all clients fit into the memory that the machine has left.

use std::fs;

use log::warn;

use crate::config::ServerConfig;

/// What a busy client takes with its backend on a 32-bit router, in KB: tests/boot measures 122 to
/// 142.
const OF_CLIENT: usize = 140;

/// Warns where `maxclients` or `maxmemory` is more than the machine can give: it would end a process
/// then, and not always this one. Call it at the start, before clients take their share.
pub(crate) fn check(servers: &[ServerConfig]) {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let Some(available) = available_in(&meminfo) else {
        return;
    };
    let sum = |limit: fn(&ServerConfig) -> usize| {
        let limits = servers.iter().map(limit);
        limits.fold(0, usize::saturating_add)
    };
    let (clients, held) = (sum(|own| own.max_clients), sum(|own| own.max_memory));
    for line in warnings(available, clients, held) {
        warn!("{line}");
    }
}

/// Returns the KB that new programs can have without swapping (proc_meminfo(5)).
fn available_in(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// What to say of `clients` and of `held` bytes where `available` KB are left.
fn warnings(available: usize, clients: usize, held: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if clients > available / OF_CLIENT {
        lines.push(format!(
            "{available} KB of memory are few for {clients} clients (maxclients), who may take \
             {OF_CLIENT} each with their backends: {} fit",
            available / OF_CLIENT
        ));
    }
    if held / 1024 > available {
        lines.push(format!(
            "{available} KB of memory are less than messages of clients may take: {} KB (maxmemory)",
            held / 1024
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_is_read_of_meminfo() {
        let meminfo = "MemTotal:   33256 kB\nMemFree:   9000 kB\nMemAvailable:   12072 kB\n";
        assert_eq!(available_in(meminfo), Some(12072));
        assert_eq!(available_in("MemTotal:   33256 kB\n"), None);
        assert_eq!(available_in("MemAvailable: much\n"), None);
    }

    #[test]
    fn limits_that_do_not_fit_are_told_with_what_fits() {
        let lines = warnings(12072, 200, 32 << 20);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with(": 86 fit"), "{}", lines[0]);
        assert!(lines[1].contains("32768 KB (maxmemory)"), "{}", lines[1]);
        assert_eq!(warnings(36192, 200, 32 << 20), Vec::<String>::new());
    }
}
