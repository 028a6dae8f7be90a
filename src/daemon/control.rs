//! Running: what signals ask for, until everything has stopped.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use log::{error, info, warn};

use crate::cli::Options;
use crate::config::{Config, Diagnostic, Input, Severity};
#[cfg(feature = "state")]
use crate::daemon::answers::Answers;
use crate::daemon::controls::{Control, Controls, Event};
use crate::daemon::keeper::Keeper;
use crate::daemon::leaving::{self, Leaving};
use crate::daemon::notify::Manager;
use crate::daemon::pid_file::PidFile;
use crate::daemon::upgrade::{Attempt, Link, Passed, Program, Successor, Word};
use crate::daemon::{descriptors, heirs, programs, settings};
use crate::listen::{STOP_WAIT, Servers};
use crate::server::table;
use crate::system::interfaces::Changes;
use crate::system::reason::reason;
use crate::tally;

/// A daemon that serves.
pub(crate) struct Running<'a> {
    /// What it was started with.
    pub(crate) options: &'a Options,
    /// The name of the user it has become.
    pub(crate) user: String,
    /// Its servers.
    pub(crate) servers: Servers,
    /// The process that stops the programs of `init_d`.
    pub(crate) keeper: Option<Keeper>,
    /// Its locked pid file.
    pub(crate) pid_file: Option<PidFile>,
    /// The service manager that it tells.
    pub(crate) manager: Option<Manager>,
    /// Its starter waits for its end.
    pub(crate) is_watched: bool,
    /// The program that an upgrade starts.
    pub(crate) program: Arc<Program>,
    /// The processes that it took over from and that still have clients.
    pub(crate) links: Vec<Link>,
    /// The sockets on which they pass silent clients on.
    pub(crate) givers: Vec<OwnedFd>,
    /// How long a process serves its clients after an upgrade (`upgrade-limit`).
    pub(crate) upgrade_limit: Option<Duration>,
    /// What answers those who ask what it does.
    #[cfg(feature = "state")]
    pub(crate) answers: Answers,
}

impl Running<'_> {
    /// Does what signals ask for, until everything has stopped or another process serves.
    ///
    /// # Errors
    /// When signals can no longer be received.
    pub(crate) fn run(mut self, controls: &Controls) -> io::Result<()> {
        let mut attempt: Option<Attempt> = None;
        let mut changes = follow(&mut self.servers);
        // A reload that came during an attempt: whoever serves after it does it.
        let mut is_held = false;
        loop {
            let asked = match self.wait(controls, attempt.as_ref(), changes.as_ref())? {
                Told::Control(control) => control,
                Told::Addresses => {
                    self.servers.refresh();
                    continue;
                }
                Told::Tried => match attempt.take().map(Attempt::result) {
                    Some(Ok(successor)) => return self.leave(successor, is_held, controls),
                    Some(Err(text)) => {
                        error!("no upgrade: {text}; all stays as it was");
                        match std::mem::take(&mut is_held) {
                            true => Control::Reload,
                            false => continue,
                        }
                    }
                    None => continue,
                },
            };
            match asked {
                Control::Reload if attempt.is_some() => is_held = true,
                Control::Reload => {
                    self.reload();
                    changes = follow(&mut self.servers);
                }
                Control::Tell => self.servers.tell_state(),
                Control::Upgrade if attempt.is_some() => {}
                Control::Upgrade => match self.upgrade() {
                    Ok(begun) => attempt = Some(begun),
                    Err(error) => error!("no upgrade: {}; all stays as it was", reason(&error)),
                },
                Control::Stop => break,
            }
        }
        if let Some(attempt) = attempt {
            attempt.give_up();
        }
        self.stop(controls)
    }

    /// Waits for a signal, for a word of a process before this one, for the end of an attempt, or
    /// for a change of addresses.
    fn wait(
        &mut self,
        controls: &Controls,
        attempt: Option<&Attempt>,
        changes: Option<&Changes>,
    ) -> io::Result<Told> {
        loop {
            let links = self.links.iter().map(AsFd::as_fd);
            let givers = self.givers.iter().map(AsFd::as_fd);
            let others = links.chain(givers).chain(changes.map(AsFd::as_fd));
            let others: Vec<_> = others.chain(attempt.map(Attempt::done)).collect();
            let pause = self.manager.as_ref().and_then(Manager::pause);
            if let (Some(manager), Some(_)) = (&self.manager, pause) {
                manager.tell_alive();
            }
            let index = match controls.next(&others, pause)? {
                Event::Control(control) => return Ok(Told::Control(control)),
                Event::Ready(index) => index,
                Event::Quiet => continue,
            };
            let Some(link) = self.links.get(index) else {
                let index = index - self.links.len();
                if let Some(giver) = self.givers.get(index) {
                    if !heirs::take(giver, &self.servers) {
                        drop(self.givers.remove(index));
                    }
                    continue;
                }
                let changes = changes.filter(|_| index == self.givers.len());
                return Ok(changes.map_or(Told::Tried, |changes| {
                    changes.forget();
                    Told::Addresses
                }));
            };
            match link.next() {
                Ok(Some(word)) => {
                    if let Some(control) = leaving::control(word) {
                        return Ok(Told::Control(control));
                    }
                }
                // A service manager that watches the old process takes its end for the daemon's.
                Ok(None) if link.is_followed => return Ok(Told::Control(Control::Stop)),
                // Its last client has gone.
                Ok(None) => drop(self.links.remove(index)),
                Err(_) => {}
            }
        }
    }

    /// Reads the configuration, the certificates and the name of the log file again. Whatever
    /// cannot be had leaves all as it was; connections are kept in any case.
    fn reload(&mut self) {
        let config = match settings::load(self.options, to_log) {
            Ok(config) => config,
            Err(error) => return error!("{error}; all stays as it was"),
        };
        self.tell_of_kept(&config);
        descriptors::check_limit(&config.servers);
        programs::limit(&config.servers);
        // The file is the user's, who we are by now, in any case.
        let log = match settings::open_log(self.options, &config, None) {
            Ok(log) => log,
            Err(error) => return error!("{error}; all stays as it was"),
        };
        if let Err(error) = self.servers.reload(config.servers) {
            return error!("{error}; all stays as it was");
        }
        self.upgrade_limit = config.upgrade_limit;
        log.begin();
        tally::reloaded();
        info!("configuration read again");
        self.servers.announce(&self.user);
    }

    /// Warns of settings that have changed and that a reload does not take.
    fn tell_of_kept(&self, config: &Config) {
        let user = &self.user;
        if config.user.as_ref().is_some_and(|wanted| wanted != user) {
            warn!("the user stays {user}: it changes only with a new start");
        }
        #[cfg(feature = "state")]
        for setting in self.answers.changed(&config.control, &config.metrics) {
            warn!(
                "'{setting}' has changed: the socket of before stays until a new start or an \
                 upgrade (USR2)"
            );
        }
    }

    /// Stops everything, gracefully; a second signal hurries.
    fn stop(self, controls: &Controls) -> io::Result<()> {
        info!("stopping");
        for link in &self.links {
            link.tell(Word::Stop);
        }
        let servers = self.servers;
        #[cfg(feature = "state")]
        self.answers.close();
        let is_hurried = !controls.wait_for("stop", move || {
            servers.stop(STOP_WAIT);
            programs::stop();
        })?;
        if is_hurried {
            programs::kill();
        }
        if let Some(keeper) = self.keeper {
            stop_programs(keeper, is_hurried, controls)?;
        }
        Ok(())
    }

    /// Starts the program that is now on disk.
    fn upgrade(&self) -> io::Result<Attempt> {
        if matches!(self.options.config, Input::Stdin(_)) {
            let text = "'-f -' has the configuration from standard input, which cannot be read \
                        again: give a file, or restart instead";
            return Err(io::Error::other(text));
        }
        #[cfg_attr(not(feature = "state"), allow(unused_mut))]
        let mut listeners = self.servers.share()?;
        #[cfg(feature = "state")]
        listeners.extend(self.answers.share()?);
        let passed = Passed {
            listeners,
            pid_file: self.pid_file.as_ref().map(PidFile::share).transpose()?,
            links: (self.links.iter())
                .map(|link| Ok((link.share()?, link.is_followed)))
                .collect::<io::Result<_>>()?,
            givers: (self.givers.iter())
                .map(OwnedFd::try_clone)
                .collect::<io::Result<_>>()?,
            first_number: table::numbers_after(),
        };
        info!("upgrade: starting {}", self.program.path.display());
        Attempt::begin(Arc::clone(&self.program), passed)
    }

    /// Leaves everything to the process that serves from now on, but the clients that are here.
    fn leave(
        self,
        successor: Successor,
        is_reload_held: bool,
        controls: &Controls,
    ) -> io::Result<()> {
        let Self {
            mut servers,
            keeper,
            pid_file,
            manager,
            #[cfg(feature = "state")]
            answers,
            ..
        } = self;
        #[cfg(feature = "state")]
        answers.leave();
        let clients = servers.leave();
        if let Some(file) = pid_file {
            file.leave();
        }
        if let Some(manager) = &manager {
            manager.tell_main(successor.pid);
        }
        // A service manager that watches this process would take its end for the daemon's.
        let stays = self.is_watched && manager.is_none();
        let word = if stays { Word::Follow } else { Word::Serve };
        successor.link.tell(word);
        if is_reload_held {
            successor.link.tell(Word::Reload);
        }
        // Its own keeper stops the programs.
        if let Some(keeper) = keeper {
            keeper.leave();
        }
        info!(
            "process {} serves from now on; this one serves its clients to their end",
            successor.pid
        );
        let leaving = Leaving {
            clients,
            servers,
            stays,
            limit: self.upgrade_limit,
            successor,
        };
        let left = leaving.run(controls);
        // Ends the programs of the last clients.
        programs::stop();
        left
    }
}

/// What ended a wait of the daemon.
enum Told {
    Control(Control),
    /// An attempt to upgrade has ended.
    Tried,
    /// An interface has got or lost an address.
    Addresses,
}

/// Listens for changes of the interfaces that servers follow, if any does, and takes those that
/// came before.
fn follow(servers: &mut Servers) -> Option<Changes> {
    if !servers.follow_interfaces() {
        return None;
    }
    match Changes::new() {
        Ok(changes) => {
            servers.refresh();
            Some(changes)
        }
        Err(error) => {
            let reason = reason(&error);
            warn!("changes of interfaces are taken at HUP only: {reason}");
            None
        }
    }
}

/// Has the programs of `init_d` stopped, and waits for that unless it is hurried, or a signal that
/// comes meanwhile is to stop at once.
fn stop_programs(mut keeper: Keeper, is_hurried: bool, controls: &Controls) -> io::Result<()> {
    keeper.stop();
    match is_hurried {
        true => keeper.leave(),
        false => drop(controls.wait_for("programs", move || keeper.wait())?),
    }
    Ok(())
}

/// The line that tells what is wrong and where; the lines that show it are for a terminal.
fn to_log(line: &Diagnostic) {
    let text = line.to_string();
    let first = text.lines().next().unwrap_or_default();
    match line.severity {
        Severity::Error => error!("{first}"),
        Severity::Warning => warn!("{first}"),
    }
}
