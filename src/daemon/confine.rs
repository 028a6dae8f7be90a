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
use crate::config::{AuthConfig, Config, Listen, ServerConfig, Target, WebsocketConfig};

/// The rights this is written for; what an older kernel does not know it does not restrict.
const KNOWN: ABI = ABI::V6;

/// Where a name of a host is looked up, by glibc with modules of its own.
const RESOLVER: [&str; 5] = ["/etc", "/lib", "/lib64", "/usr/lib", "/usr/lib64"];

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const DEVICE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev});

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
        let append = make_bitflags!(AccessFs::{WriteFile | MakeReg});
        let mut files = Self(Vec::new());
        files.beside(file, READ);
        files.beneath(config.config_d.as_deref(), READ);
        files.beside(config.log_file.as_deref(), append);
        files.beside(config.pid_file.as_deref(), AccessFs::RemoveFile);
        files.beside(config.control.as_deref(), AccessFs::RemoveFile);
        if let Some(Listen::Unix { path, .. }) = &config.metrics {
            files.beside([path], AccessFs::RemoveFile);
        }
        for server in &config.servers {
            files.add_server(server);
        }
        Some(files)
    }

    /// Directories, and files that are never replaced.
    fn beneath<P: AsRef<Path>>(
        &mut self,
        paths: impl IntoIterator<Item = P>,
        rights: impl Into<BitFlags<AccessFs>>,
    ) {
        let rights = rights.into();
        let paths = paths.into_iter().map(|path| path.as_ref().to_owned());
        self.0.extend(paths.map(|path| (path, rights)));
    }

    /// Files that are replaced by renaming: their directory is what stays.
    fn beside<P: AsRef<Path>>(
        &mut self,
        files: impl IntoIterator<Item = P>,
        rights: impl Into<BitFlags<AccessFs>>,
    ) {
        let directories = files.into_iter().map(|file| directory(file.as_ref()));
        self.beneath(directories, rights);
    }

    fn add_server(&mut self, server: &ServerConfig) {
        for listen in &server.listen {
            if let Listen::Unix { path, .. } = listen {
                self.beside([path], make_bitflags!(AccessFs::{MakeSock | RemoveFile}));
            }
        }
        if let Some(tls) = &server.tls {
            let pairs = tls.pairs.iter();
            self.beside(pairs.flat_map(|pair| [&pair.certificate, &pair.key]), READ);
            self.beside(&tls.client_ca, READ);
        }
        self.beside(server.logins().flat_map(AuthConfig::files), READ);
        let asked = server.logins().filter_map(AuthConfig::target);
        asked.for_each(|target| self.add_resolver(target));
        let document = server.document.iter();
        self.beneath(document.map(|document| &document.docroot), READ);
        if let Some(websocket) = &server.websocket {
            self.add_websocket(websocket);
        }
    }

    fn add_websocket(&mut self, websocket: &WebsocketConfig) {
        let listed = match websocket.list {
            true => READ,
            false => BitFlags::empty(),
        };
        self.beneath([&websocket.docroot], DEVICE | listed);
        for link in &websocket.links {
            self.add_resolver(&link.target);
            match &link.target {
                Target::Unix(_) | Target::Tcp(..) | Target::Status => {}
                #[cfg(feature = "exec")]
                Target::Exec(config) => self.0.extend(rights_to_run(&config.program)),
                Target::Tty(path, _) | Target::Fifo(path) => self.beneath([path], DEVICE),
                Target::Fifos {
                    source,
                    destination,
                } => {
                    self.beneath([source], DEVICE);
                    self.beneath(destination, DEVICE);
                }
            }
        }
    }

    /// What looking up the name of a host takes, where one is reached by name.
    fn add_resolver(&mut self, target: &Target) {
        let is_name = |host: &str| host.parse::<std::net::IpAddr>().is_err();
        if matches!(target, Target::Tcp(host, _) if is_name(host)) {
            self.beneath(RESOLVER, READ);
        }
    }
}

/// What a program needs to be run: it, what executes it, and libraries. The daemon's own program
/// begins each run. A program may execute nothing else, and opens what the daemon may.
#[cfg(feature = "exec")]
fn rights_to_run(program: &Path) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let execute = make_bitflags!(AccessFs::{ReadFile | Execute});
    let ourselves = std::env::current_exe().unwrap_or_default();
    let files = [program, &ourselves]
        .map(executables::of)
        .into_iter()
        .flatten();
    let files = files.map(|file| (file, execute));
    files
        .chain(RESOLVER.map(|path| (path.into(), READ)))
        .collect()
}

/// Where a file stands.
fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}
