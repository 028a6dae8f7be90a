//! Running: who is here, under which name, and who hears what.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unixserver::{Client, log};

use crate::command::{self, Command, MAX_NAME};
use crate::outbox::{Message, Outbox, Put};

/// The one room of the server.
pub(crate) struct Room {
    commands: bool,
    members: Mutex<Members>,
}

/// The clients that are here, by the number of their coming.
#[derive(Default)]
struct Members {
    here: BTreeMap<u64, Member>,
    next: u64,
}

struct Member {
    number: u64,
    client: Arc<Client>,
    outbox: Arc<Outbox>,
    /// Empty until the first `WSHello`.
    name: String,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            "without a name"
        } else {
            &self.name
        };
        write!(f, "{} ({name})", self.number)
    }
}

/// A client's place in the room. Dropping it leaves the room.
pub(crate) struct Seat<'a> {
    room: &'a Room,
    number: u64,
    outbox: Arc<Outbox>,
}

impl Room {
    /// An empty room; with `commands` it interprets those of [`command`].
    pub(crate) fn new(commands: bool) -> Self {
        Self {
            commands,
            members: Mutex::default(),
        }
    }

    /// Lets a client in: from now on it hears the others.
    pub(crate) fn join(&self, client: Arc<Client>) -> Seat<'_> {
        let outbox = Arc::new(Outbox::default());
        let mut members = self.lock();
        let number = members.next;
        members.next += 1;
        let member = Member {
            number,
            client,
            outbox: Arc::clone(&outbox),
            name: String::new(),
        };
        members.here.insert(number, member);
        Seat {
            room: self,
            number,
            outbox,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat<'_> {
    /// What waits for this client.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Hands a message on to all others, or does what it asks for.
    ///
    /// Who has no room for it any more is disconnected.
    pub(crate) fn say(&self, message: Vec<u8>) {
        let mut members = self.room.lock();
        let command = if self.room.commands {
            command::parse(&message)
        } else {
            None
        };
        let end = command::ending(&message);
        let dropped = match command {
            None => members.tell_others(self.number, &message.into()),
            Some(Command::Hello(wanted)) => {
                let name = members.rename(self.number, wanted);
                members.tell(self.number, &answer(&format!("WSWelcome {name}"), end))
            }
            Some(Command::Private(to, text)) => match members.find(to) {
                Some(number) => members.tell(number, &text.into()),
                None => Vec::new(),
            },
            Some(Command::Nothing) => Vec::new(),
            Some(Command::Whois(name)) => {
                let address = members.address(name);
                members.tell(self.number, &answer(&format!("WSIs {name} {address}"), end))
            }
        };
        drop(members);
        // Outside the lock, so that it stops nobody else should it take a moment.
        for member in dropped {
            log(&format!("client {member} was dropped: it does not read"));
            member.client.shutdown();
        }
    }

    /// Leaves the room; what waits for the client may still be written.
    pub(crate) fn leave(&self) {
        self.room.lock().here.remove(&self.number);
        self.outbox.close();
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The members that a message was one too many for; they are out of the room.
type Dropped = Vec<Member>;

impl Members {
    fn tell_others(&mut self, speaker: u64, message: &Message) -> Dropped {
        let others = self.here.iter().filter(|(number, _)| **number != speaker);
        let full = others.filter(|(_, other)| other.outbox.put(message) == Put::Overflows);
        let full: Vec<u64> = full.map(|(number, _)| *number).collect();
        full.into_iter()
            .filter_map(|number| self.here.remove(&number))
            .collect()
    }

    fn tell(&mut self, number: u64, message: &Message) -> Dropped {
        let member = self.here.get(&number);
        let full = member.is_some_and(|m| m.outbox.put(message) == Put::Overflows);
        if full {
            self.here.remove(&number).into_iter().collect()
        } else {
            Vec::new()
        }
    }

    fn find(&self, name: &str) -> Option<u64> {
        self.here
            .iter()
            .find(|(_, member)| member.name == name)
            .map(|(number, _)| *number)
    }

    /// Names a client as it wants, or nearly so if another has that name.
    fn rename(&mut self, number: u64, wanted: &str) -> String {
        let free = |name: &str| self.find(name).is_none_or(|other| other == number);
        let numbered = (0..).map(|n: u32| {
            let digits = format!("{n:03}");
            format!("{}{digits}", command::cut(wanted, MAX_NAME - digits.len()))
        });
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        let name = names.find(|name| free(name)).unwrap_or_default();
        if let Some(member) = self.here.get_mut(&number) {
            member.name.clone_from(&name);
        }
        name
    }

    fn address(&self, name: &str) -> String {
        let member = self.find(name).and_then(|number| self.here.get(&number));
        let address = member.and_then(|member| member.client.address());
        address.map_or_else(|| "undefined".to_owned(), |address| address.to_string())
    }
}

/// An answer of the server's own, ended like the message it answers.
fn answer(text: &str, end: &[u8]) -> Message {
    [text.as_bytes(), end].concat().into()
}
