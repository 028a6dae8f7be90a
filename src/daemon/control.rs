//! Running: what signals ask for, until everything has stopped.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};

use log::{debug, error, info, warn};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::cli::Options;
use crate::config::{Diagnostic, Severity};
use crate::daemon::keeper::Keeper;
use crate::daemon::{descriptors, settings, signals};
use crate::listen::{STOP_WAIT, Servers};
use crate::system::interfaces::Changes;
use crate::system::reason::reason;
use crate::system::threads;
use crate::tally;

/// What the daemon is told from outside, or by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Control {
    /// TERM or INT: stop, gracefully the first time.
    Stop,
    /// HUP: read what may have changed again.
    Reload,
    /// USR1: tell in the log what goes on.
    Tell,
    /// An interface has got or lost an address.
    Addresses,
    /// What was being stopped has stopped.
    Stopped,
}

/// Where the main thread waits to be told something. It waits in poll(2), not for a lock: that
/// works on a kernel without the 32-bit system calls for time as well.
pub(crate) struct Controls(SignalFd);

impl Controls {
    /// Receives the signals that are blocked.
    ///
    /// # Errors
    /// When there is no descriptor left, or the kernel has no signalfd(2).
    pub(crate) fn new() -> io::Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&signals::blocked(), flags)?))
    }

    /// The next signal that means something, or a change of addresses.
    ///
    /// # Errors
    /// As poll(2) and signalfd(2).
    fn next(&self, changes: Option<&Changes>) -> io::Result<Control> {
        let control = self.next_or(changes.map(|changes| (changes.as_fd(), Control::Addresses)))?;
        if let (Control::Addresses, Some(changes)) = (control, changes) {
            changes.forget();
        }
        Ok(control)
    }

    /// The next signal that means something; `Stopped` once the other end of `work` is closed.
    ///
    /// # Errors
    /// As poll(2) and signalfd(2).
    fn next_or_end(&self, work: &PipeReader) -> io::Result<Control> {
        self.next_or(Some((work.as_fd(), Control::Stopped)))
    }

    /// The next signal that means something, or what it means that something can be read.
    fn next_or(&self, other: Option<(BorrowedFd<'_>, Control)>) -> io::Result<Control> {
        loop {
            let signals = PollFd::new(self.0.as_fd(), PollFlags::POLLIN);
            let mut fds = vec![signals];
            fds.extend(other.map(|(fd, _)| PollFd::new(fd, PollFlags::POLLIN)));
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            if let (Some(fd), Some((_, control))) = (fds.get(1), other)
                && fd.any() != Some(false)
            {
                return Ok(control);
            }
            if let Some(control) = self.read()? {
                return Ok(control);
            }
        }
    }

    /// Takes a signal; `None` if it means nothing.
    fn read(&self) -> io::Result<Option<Control>> {
        let Some(signal) = self.0.read_signal()? else {
            return Ok(None);
        };
        match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
            Ok(Ok(Signal::SIGHUP)) => Ok(Some(Control::Reload)),
            Ok(Ok(Signal::SIGUSR1)) => Ok(Some(Control::Tell)),
            Ok(Ok(Signal::SIGTERM | Signal::SIGINT)) => Ok(Some(Control::Stop)),
            _ => {
                debug!("signal {} is ignored", signal.ssi_signo);
                Ok(None)
            }
        }
    }
}

/// A daemon that serves.
pub(crate) struct Running<'a> {
    /// What it was started with.
    pub(crate) options: &'a Options,
    /// The name of the user it has become.
    pub(crate) user: String,
    /// Its servers.
    pub(crate) servers: Servers,
    /// Who stops the programs of `init_d`.
    pub(crate) keeper: Option<Keeper>,
}

impl Running<'_> {
    /// Does what signals ask for, until everything has stopped.
    ///
    /// # Errors
    /// When signals can no longer be received.
    pub(crate) fn run(self, controls: &Controls) -> io::Result<()> {
        let mut servers = self.servers;
        let mut changes = follow(&mut servers);
        loop {
            match controls.next(changes.as_ref())? {
                Control::Reload => {
                    reload(self.options, &mut servers, &self.user);
                    changes = follow(&mut servers);
                }
                Control::Addresses => servers.refresh(),
                Control::Tell => servers.tell_state(),
                Control::Stop | Control::Stopped => break,
            }
        }
        info!("stopping");
        let last = wait_for("stop", move || servers.stop(STOP_WAIT), controls)?;
        if let Some(keeper) = self.keeper {
            stop_programs(keeper, last, controls)?;
        }
        Ok(())
    }
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

/// Has the programs of `init_d` stopped, and waits for that unless `last`, or a signal that
/// comes meanwhile, is to stop at once.
fn stop_programs(mut keeper: Keeper, last: Control, controls: &Controls) -> io::Result<()> {
    keeper.stop();
    match last {
        Control::Stop => keeper.leave(),
        _ => drop(wait_for("programs", move || keeper.wait(), controls)?),
    }
    Ok(())
}

/// Does `work` on a thread of its own and waits for its end; `Stop` if it is to be waited for no
/// longer.
fn wait_for(
    name: &str,
    work: impl FnOnce() + Send + 'static,
    controls: &Controls,
) -> io::Result<Control> {
    let (reader, writer) = io::pipe()?;
    let work = move || {
        // Closed at the end of the thread, however it ends.
        let _open: PipeWriter = writer;
        work();
    };
    if threads::spawn(name, work).is_err() {
        return Ok(Control::Stop);
    }
    loop {
        match controls.next_or_end(&reader)? {
            Control::Reload | Control::Tell | Control::Addresses => {}
            end => return Ok(end),
        }
    }
}

/// Reads the configuration, the certificates and the name of the log file again. Whatever
/// cannot be had leaves all as it was; connections are kept in any case.
fn reload(options: &Options, servers: &mut Servers, user: &str) {
    let config = match settings::load(options, to_log) {
        Ok(config) => config,
        Err(error) => return error!("{error}; all stays as it was"),
    };
    if config.user.as_deref().is_some_and(|wanted| wanted != user) {
        warn!("the user stays {user}: it changes only with a new start");
    }
    descriptors::check_limit(&config.servers);
    // The file is the user's, who we are by now, in any case.
    let log = match settings::open_log(options, &config, None) {
        Ok(log) => log,
        Err(error) => return error!("{error}; all stays as it was"),
    };
    if let Err(error) = servers.reload(config.servers) {
        return error!("{error}; all stays as it was");
    }
    log.begin();
    tally::reloaded();
    info!("configuration read again");
    servers.announce(user);
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
