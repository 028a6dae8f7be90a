//! Confinement by option: the kernel keeps the daemon to the files it needs (landlock(7)).
//!
//! What is open already stays usable: listening sockets, the pid file, the log. Connecting to a
//! UNIX socket and looking at a file's type need no right, so services in docroot are reached in
//! any case; which of them may be is `access`'s.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, make_bitflags,
};
use log::{info, warn};

#[cfg(feature = "exec")]
use super::executables;
use crate::config::{AuthConfig, Config, Listen, Target};

/// The rights this is written for; what an older kernel does not know it does not restrict.
const KNOWN: ABI = ABI::V6;

/// Where a name of a host is looked up, by glibc with modules of its own.
const RESOLVER: [&str; 5] = ["/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// Directories and files, and what the daemon may do beneath each.
pub(crate) struct Files(Vec<(PathBuf, BitFlags<AccessFs>)>);

impl Files {
    /// Confines this thread, and those it makes, to these files for good; tells in the log how well
    /// this kernel does that.
    ///
    /// Call it after privileges are given up: it needs that nothing gets any again.
    ///
    /// # Errors
    /// As landlock_create_ruleset(2), landlock_add_rule(2) and landlock_restrict_self(2); that a
    /// kernel has none of them is no error.
    pub(crate) fn confine(self) -> Result<(), RulesetError> {
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(KNOWN))?
            .scope(Scope::from_all(KNOWN))?
            .create()?;
        for (path, rights) in self.0 {
            let rights = match path.is_dir() {
                true => rights,
                false => rights & AccessFs::from_file(KNOWN),
            };
            match PathFd::new(&path) {
                Ok(file) => rules = rules.add_rule(PathBeneath::new(file, rights))?,
                Err(_) if RESOLVER.iter().any(|own| Path::new(own) == path) => {}
                Err(_) => warn!(
                    "landlock: {} is not there, and will not be opened before the next start",
                    path.display()
                ),
            }
        }
        match rules.restrict_self()?.ruleset {
            RulesetStatus::FullyEnforced => {
                info!("landlock: confined to the files of the configuration");
            }
            RulesetStatus::PartiallyEnforced => info!(
                "landlock: confined to the files of the configuration, as far as this kernel can"
            ),
            RulesetStatus::NotEnforced => warn!("landlock has no effect: this kernel has none"),
        }
        Ok(())
    }

    /// All that a running daemon opens: the files it serves, what a reload reads, what it writes.
    /// `file` is the configuration, unless a reload reads none. `None` where it asks for no
    /// confinement.
    pub(crate) fn of(config: &Config, file: Option<&Path>) -> Option<Self> {
        if !config.landlock {
            return None;
        }
        let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
        let device = make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev});
        let append = make_bitflags!(AccessFs::{WriteFile | MakeReg});
        let replace = make_bitflags!(AccessFs::{MakeSock | RemoveFile});
        // Files that are read again are replaced by renaming: their directory is what stays.
        let mut rights = Vec::new();
        rights.extend(file.map(|path| (directory(path), read)));
        rights.extend(config.config_d.iter().map(|path| (path.clone(), read)));
        rights.extend(config.log_file.iter().map(|path| (directory(path), append)));
        let pid_file = config.pid_file.iter();
        rights.extend(pid_file.map(|path| (directory(path), AccessFs::RemoveFile.into())));
        let control = config.control.iter();
        rights.extend(control.map(|path| (directory(path), AccessFs::RemoveFile.into())));
        if let Some(Listen::Unix { path, .. }) = &config.metrics {
            rights.push((directory(path), AccessFs::RemoveFile.into()));
        }
        for server in &config.servers {
            for listen in &server.listen {
                if let Listen::Unix { path, .. } = listen {
                    rights.push((directory(path), replace));
                }
            }
            if let Some(tls) = &server.tls {
                let pairs = tls.pairs.iter();
                let files = pairs.flat_map(|pair| [&pair.certificate, &pair.key]);
                rights.extend(
                    files
                        .chain(&tls.client_ca)
                        .map(|path| (directory(path), read)),
                );
            }
            let files = server.logins().flat_map(AuthConfig::files);
            rights.extend(files.map(|path| (directory(path), read)));
            if server
                .logins()
                .filter_map(AuthConfig::target)
                .any(is_looked_up)
            {
                rights.extend(RESOLVER.map(|path| (path.into(), read)));
            }
            rights.extend(
                server
                    .document
                    .iter()
                    .map(|document| (document.docroot.clone(), read)),
            );
            let Some(websocket) = &server.websocket else {
                continue;
            };
            let listed = if websocket.list {
                read
            } else {
                BitFlags::empty()
            };
            rights.push((websocket.docroot.clone(), device | listed));
            for link in &websocket.links {
                match &link.target {
                    target if is_looked_up(target) => {
                        rights.extend(RESOLVER.map(|path| (path.into(), read)));
                    }
                    Target::Unix(_) | Target::Tcp(..) | Target::Status => {}
                    #[cfg(feature = "exec")]
                    Target::Exec(config) => rights.extend(rights_to_run(&config.program)),
                    Target::Tty(path, _) | Target::Fifo(path) => {
                        rights.push((path.clone(), device));
                    }
                    Target::Fifos {
                        source,
                        destination,
                    } => {
                        let fifos = [source].into_iter().chain(destination);
                        rights.extend(fifos.map(|path| (path.clone(), device)));
                    }
                }
            }
        }
        Some(Self(rights))
    }
}

/// Whether the name of a host is looked up to reach it.
fn is_looked_up(target: &Target) -> bool {
    matches!(target, Target::Tcp(host, _) if host.parse::<std::net::IpAddr>().is_err())
}

/// What a program needs to be run: it, what executes it, and libraries. The daemon's own program
/// begins each run. A program may execute nothing else, and opens what the daemon may.
#[cfg(feature = "exec")]
fn rights_to_run(program: &Path) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let execute = make_bitflags!(AccessFs::{ReadFile | Execute});
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let ourselves = std::env::current_exe().unwrap_or_default();
    let files = [program, &ourselves]
        .map(executables::of)
        .into_iter()
        .flatten();
    let files = files.map(|file| (file, execute));
    files
        .chain(RESOLVER.map(|path| (path.into(), read)))
        .collect()
}

/// Where a file stands.
fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
