//! The old process of an upgrade: serves the clients it has to their end, or until they are silent
//! and go over to the new one (`heirs`).
//!
//! A process that somebody watches, such as procd or a shell, stays even without clients: its end
//! would be taken for that of the daemon. It passes on the signals that it gets.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::info;

use crate::daemon::controls::{Control, Controls, Event};
use crate::daemon::heirs;
use crate::daemon::upgrade::{Successor, Word};
use crate::listen::{STOP_WAIT, Servers};
use crate::server::clients::Clients;
#[cfg(feature = "share")]
use crate::websocket::share;

/// Pause between two looks whether the last client has left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pause between two looks whether a child has ended.
const REAP_EVERY: Duration = Duration::from_secs(30);

/// A process that another one has taken over from.
pub(crate) struct Leaving {
    /// The clients of each server that has an address.
    pub(crate) clients: Vec<(String, Arc<Clients>)>,
    /// Its servers, which accept nobody any more.
    pub(crate) servers: Servers,
    /// The process that has taken over.
    pub(crate) successor: Successor,
    /// It ends with the other process, not with its last client.
    pub(crate) stays: bool,
    /// How long its clients may stay; `None` as long as they want.
    pub(crate) limit: Option<Duration>,
}

/// What the process before this one has been told, by a signal.
pub(crate) fn control(word: Word) -> Option<Control> {
    match word {
        Word::Term => Some(Control::Stop),
        Word::Reload => Some(Control::Reload),
        Word::Tell => Some(Control::Tell),
        Word::Upgrade => Some(Control::Upgrade),
        Word::Ready | Word::Serve | Word::Follow | Word::End | Word::Stop => None,
    }
}

/// The word that tells the process after this one of a signal.
fn word(control: Control) -> Word {
    match control {
        Control::Stop => Word::Term,
        Control::Reload => Word::Reload,
        Control::Tell => Word::Tell,
        Control::Upgrade => Word::Upgrade,
    }
}

impl Leaving {
    /// Serves until the last client has left, the limit is over, or the daemon is stopped.
    ///
    /// # Errors
    /// When signals can no longer be received; if the other process ends without a word, and this
    /// one has stayed for it.
    pub(crate) fn run(mut self, controls: &Controls) -> io::Result<()> {
        let mut deadline = self.limit.map(|limit| Instant::now() + limit);
        let mut is_told_to_stop = false;
        let mut has_successor = true;
        #[cfg(feature = "share")]
        share::leave(self.successor.taker.as_fd());
        heirs::give(std::mem::take(&mut self.clients), &self.successor)?;
        loop {
            let is_done = self.servers.is_empty();
            if is_done && !self.stays {
                info!("the last client of the process before the upgrade has left");
                return Ok(());
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                deadline = None;
                self.stop(controls)?;
                continue;
            }
            let link = has_successor.then(|| self.successor.link.as_fd());
            let pause = if is_done { REAP_EVERY } else { LOOK_EVERY };
            match controls.next(link.as_slice(), Some(pause))? {
                Event::Quiet => self.successor.reap(),
                Event::Control(control) => {
                    if self.stays {
                        self.successor.link.tell(word(control));
                    }
                    match control {
                        // For the second time: nothing is waited for.
                        Control::Stop if is_told_to_stop => return Ok(()),
                        Control::Stop => {
                            is_told_to_stop = true;
                            self.stop(controls)?;
                        }
                        Control::Tell => self.servers.tell_state(),
                        Control::Reload | Control::Upgrade => {}
                    }
                }
                Event::Ready(_) => match self.successor.link.next() {
                    Ok(Some(Word::Stop)) => {
                        is_told_to_stop = true;
                        self.stop(controls)?;
                    }
                    Ok(None) if self.stays => return self.follow(is_told_to_stop, controls),
                    Ok(None) => has_successor = false,
                    Ok(Some(_)) | Err(_) => {}
                },
            }
        }
    }

    /// Ends the clients that are left.
    fn stop(&mut self, controls: &Controls) -> io::Result<()> {
        info!("stopping the clients of the process before the upgrade");
        let servers = std::mem::take(&mut self.servers);
        controls.wait_for("stop", move || servers.stop(STOP_WAIT))?;
        Ok(())
    }

    /// Ends after the other process has.
    fn follow(mut self, was_told_to_stop: bool, controls: &Controls) -> io::Result<()> {
        self.successor.reap();
        self.stop(controls)?;
        match was_told_to_stop {
            true => Ok(()),
            false => {
                let pid = self.successor.pid;
                Err(io::Error::other(format!(
                    "process {pid}, which served, has ended"
                )))
            }
        }
    }
}
