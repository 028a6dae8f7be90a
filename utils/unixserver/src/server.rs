//! Running: bind, give up privileges, accept, a thread or a process a client, until a signal ends
//! it.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::SockType;
use nix::unistd::{User, daemon};

use crate::accept::accept;
use crate::listener::{SocketFile, listen_at};
use crate::process::Processes;
use crate::{Client, Error, Options, log, privileges};

/// Stack of a client's thread unless the server needs another, in bytes.
const STACK_SIZE: usize = 128 * 1024;

/// How long to wait when the system has no descriptor or memory for a client.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// A server that listens. Dropping it removes the socket from its directory.
pub struct Server {
    // Dropped before the listener: no other server replaces a socket that still listens, so the
    // file that is removed is ours.
    file: SocketFile,
    listener: UnixListener,
    user: Option<User>,
    max_clients: usize,
    detach: bool,
    proxy: bool,
    stack_size: usize,
    processes: bool,
}

impl Server {
    /// Binds the socket and listens; clients wait until [`run`](Self::run).
    ///
    /// # Errors
    /// An unknown user, and whatever stands in the way of the socket.
    pub fn bind(options: &Options) -> Result<Self, Error> {
        let user = options
            .user()
            .as_deref()
            .map(privileges::find)
            .transpose()?;
        let kind = if options.flag("q") {
            SockType::SeqPacket
        } else {
            SockType::Stream
        };
        let (listener, file) = listen_at(options.path(), kind)?;
        Ok(Self {
            file,
            listener,
            user,
            max_clients: options.max_clients(),
            detach: options.flag("D"),
            proxy: options.flag("P"),
            stack_size: STACK_SIZE,
            processes: false,
        })
    }

    /// Sets the stack of each client's thread, in bytes (128 KiB unless set).
    #[must_use]
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Gives each client a process instead of a thread, so that a crash ends that client only. The
    /// server must have started no thread.
    #[must_use]
    pub fn processes(mut self, wanted: bool) -> Self {
        self.processes = wanted;
        self
    }

    /// Switches to the user of `-u`, for what the server then opens as that user; otherwise
    /// [`run`](Self::run) does it.
    ///
    /// # Errors
    /// When the user cannot be switched to.
    pub fn become_user(mut self) -> Result<Self, Error> {
        if let Some(user) = self.user.take() {
            privileges::become_user(&user)?;
        }
        Ok(self)
    }

    /// Switches to the user of `-u`, detaches with `-D`, and answers each client by `handler` in a
    /// thread (or process) of its own, until SIGTERM or SIGINT.
    ///
    /// An error that a handler returns ends its client only.
    ///
    /// # Errors
    /// When the user cannot be switched to, or the system refuses to detach or to wait.
    pub fn run<H>(self, handler: H) -> Result<(), Error>
    where
        H: Fn(Client) -> io::Result<()> + Send + Sync + 'static,
    {
        let server = self.become_user()?;
        let signals = block_signals(server.processes)
            .map_err(|e| Error::System("cannot wait for signals", e.into()))?;
        log(&format!("listening on {}", server.file.path().display()));
        if server.detach {
            // The working directory stays: relative paths among the options keep their meaning.
            daemon(true, false).map_err(|e| Error::System("cannot detach", e.into()))?;
            crate::log::use_system_log();
        }
        server
            .accept_until(&signals, Arc::new(handler))
            .map_err(|e| Error::System("cannot wait for clients", e))
    }

    fn accept_until<H>(&self, signals: &SignalFd, handler: Arc<H>) -> io::Result<()>
    where
        H: Fn(Client) -> io::Result<()> + Send + Sync + 'static,
    {
        let mut slots = Slots::new(self.max_clients);
        let mut processes = Processes::new();
        let mut failing = false;
        loop {
            let mut ready = [
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Err(nix::Error::EINTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) if ready[0].any() == Some(true) => match signals.read_signal()? {
                    Some(signal) if signal.ssi_signo == Signal::SIGCHLD as u32 => {
                        processes.reap();
                        continue;
                    }
                    _ => return Ok(()),
                },
                Ok(_) => {}
            }
            match accept(&self.listener).and_then(Client::new) {
                Ok(client) => {
                    failing = false;
                    self.start(client, &mut slots, &mut processes, &handler);
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    if !failing {
                        log(&format!("cannot accept clients for now: {error}"));
                    }
                    failing = true;
                    thread::sleep(FAILURE_PAUSE);
                }
            }
        }
    }

    /// Starts the thread or the process of `client`, or closes it when all slots are taken.
    fn start<H>(
        &self,
        client: Client,
        slots: &mut Slots,
        processes: &mut Processes<Slot>,
        handler: &Arc<H>,
    ) where
        H: Fn(Client) -> io::Result<()> + Send + Sync + 'static,
    {
        let Some(slot) = slots.take() else {
            return;
        };
        let handler = Arc::clone(handler);
        let proxy = self.proxy;
        let serve = move || match told_by_gateway(client, proxy) {
            // A handler's error ends its connection only.
            Ok(client) => drop(handler(client)),
            Err(error) => log(&format!("a client was closed: {error} (-P)")),
        };
        let started = if self.processes {
            processes.start(&self.listener, slot, serve)
        } else {
            let thread = thread::Builder::new()
                .name(format!("client-{}", slots.served))
                .stack_size(self.stack_size);
            let run = move || {
                let _slot = slot;
                serve();
            };
            thread.spawn(run).map(drop)
        };
        if let Err(error) = started {
            log(&format!("a client was closed: cannot serve it: {error}"));
        }
    }
}

/// `client` with the address that the gateway tells of it, if it is to tell one (`-P`).
fn told_by_gateway(mut client: Client, proxy: bool) -> io::Result<Client> {
    if proxy {
        client.read_proxy_header()?;
    }
    Ok(client)
}

/// The slots for clients.
struct Slots {
    taken: Arc<AtomicUsize>,
    max: usize,
    /// Clients that got a slot so far.
    served: usize,
    /// Clients turned away since the last one that got a slot.
    refused: usize,
}

/// One slot taken; dropping it gives it back.
struct Slot(Arc<AtomicUsize>);

impl Slots {
    fn new(max: usize) -> Self {
        Self {
            taken: Arc::default(),
            max,
            served: 0,
            refused: 0,
        }
    }

    /// Takes a slot if one is free. Only one thread takes, so none can be taken twice.
    fn take(&mut self) -> Option<Slot> {
        if self.taken.load(Ordering::Acquire) >= self.max {
            self.refused += 1;
            if self.refused == 1 {
                log(&format!(
                    "{} clients are here (-m): further ones are closed",
                    self.max
                ));
            }
            return None;
        }
        if self.refused > 0 {
            log(&format!(
                "slots are free again; {} clients were closed",
                self.refused
            ));
            self.refused = 0;
        }
        self.taken.fetch_add(1, Ordering::AcqRel);
        self.served += 1;
        Some(Slot(Arc::clone(&self.taken)))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Blocks the signals that end a server or report the end of a process, and makes them readable;
/// before any thread starts, since threads inherit the mask.
fn block_signals(processes: bool) -> nix::Result<SignalFd> {
    let mut signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    if processes {
        signals.add(Signal::SIGCHLD);
    }
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)
}

/// Whether an accept failed because of that client alone: it left, or poll was too hopeful.
/// Anything else, such as a want of descriptors, would fail again at once.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | WouldBlock
    )
}
