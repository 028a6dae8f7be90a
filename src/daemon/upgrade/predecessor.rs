//! The new process: takes what the old one passes, and becomes the daemon.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::link::{Link, Word};
use super::{MAX_LIST, VARIABLE};
use crate::listen::listener::Listener;
use crate::server::table;
use crate::system::passing;

/// Longest wait for what the old process passes, and for its word that it leaves.
const WAIT: Duration = Duration::from_secs(60);

/// The process that serves until now.
pub(crate) struct Predecessor {
    link: Link,
    /// Its listening sockets.
    listeners: Vec<Listener>,
    /// Its locked pid file.
    pid_file: Option<File>,
    /// Links to the processes before it that still have clients.
    links: Vec<Link>,
    /// The sockets on which it and those before it pass silent clients on.
    givers: Vec<OwnedFd>,
}

impl Predecessor {
    /// Whether another process has started this one to take over.
    pub(crate) fn is_there() -> bool {
        std::env::var_os(VARIABLE).is_some()
    }

    /// The one that has started this process to take over; none in a normal start. Standard output
    /// and error become what they are there. Call it before anything is opened or written.
    ///
    /// # Errors
    /// If it passes something else than it should; as recvmsg(2).
    pub(crate) fn find() -> io::Result<Option<Self>> {
        if !Self::is_there() {
            return Ok(None);
        }
        let link = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        link.set_read_timeout(Some(WAIT))?;
        link.set_write_timeout(Some(WAIT))?;
        dup2_stdin(File::open("/dev/null")?)?;
        let (list, descriptors) = receive(&link)?;
        let mut found = Self {
            link: Link::new(link),
            listeners: Vec::new(),
            pid_file: None,
            links: Vec::new(),
            givers: Vec::new(),
        };
        if list.lines().count() != descriptors.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        for (line, descriptor) in list.lines().zip(descriptors) {
            found.take(line, descriptor)?;
        }
        Ok(Some(found))
    }

    /// Takes one descriptor by its line.
    fn take(&mut self, line: &str, descriptor: OwnedFd) -> io::Result<()> {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("output", _) => dup2_stdout(&descriptor)?,
            ("error", _) => dup2_stderr(&descriptor)?,
            ("pid-file", _) => self.pid_file = Some(descriptor.into()),
            ("link", _) => self.links.push(Link::new(descriptor.into())),
            ("followed", _) => self.links.push(Link {
                socket: descriptor.into(),
                is_followed: true,
            }),
            ("clients", first) => {
                table::number_from(first.parse().map_err(io::Error::other)?);
                self.givers.push(descriptor);
            }
            ("listener", written) => {
                self.listeners.push(Listener::taken(descriptor, written)?);
            }
            // A word of a later version, which the hand-over works without.
            _ => {}
        }
        Ok(())
    }

    /// Its listening sockets.
    pub(crate) fn listeners(&mut self) -> Vec<Listener> {
        std::mem::take(&mut self.listeners)
    }

    /// Its locked pid file.
    pub(crate) fn pid_file(&self) -> Option<&File> {
        self.pid_file.as_ref()
    }

    /// Tells it that this process serves, and waits until it leaves. It may have died meanwhile:
    /// then this process is the daemon as well.
    ///
    /// # Errors
    /// If it goes on by itself: this process is to end.
    pub(crate) fn take_over(&mut self) -> io::Result<()> {
        self.link.tell(Word::Ready);
        self.link.tell_number(std::process::id())?;
        match self.link.next() {
            Ok(Some(Word::Serve) | None) => {}
            Ok(Some(Word::Follow)) => self.link.is_followed = true,
            _ => return Err(io::Error::other("the process before this one goes on")),
        }
        self.link.socket.set_read_timeout(None)
    }

    /// The links to it and to those before it, and the sockets on which they pass clients on.
    pub(crate) fn into_links(self) -> (Vec<Link>, Vec<OwnedFd>) {
        let mut links = self.links;
        links.push(self.link);
        (links, self.givers)
    }
}

/// Receives the list, which an empty line ends, and the descriptors, which come with its beginning.
fn receive(link: &UnixStream) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MAX_LIST];
    let mut length = 0;
    let mut descriptors = Vec::new();
    while !bytes[..length].ends_with(b"\n\n") {
        let (count, passed) = passing::receive(link, &mut bytes[length..])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length += count;
        descriptors.extend(passed);
    }
    let text = String::from_utf8_lossy(&bytes[..length - 1]).into_owned();
    Ok((text, descriptors))
}
