//! Running: the members of the chat, their names, and who hears what.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use unixserver::{Client, log};

use crate::command::{self, Command, MAX_NAME};
use crate::outbox::{Message, Outbox, Put};

/// The clients that are in the chat.
pub(crate) struct Members {
    commands: bool,
    list: Mutex<List>,
}

/// The members by their numbers, which rise with their joining.
#[derive(Default)]
struct List {
    members: BTreeMap<u64, Member>,
    next: u64,
}

struct Member {
    number: u64,
    client: Arc<Client>,
    outbox: Arc<Outbox>,
    /// Empty until the first `WSHello`, unless the client has logged in at the gateway.
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

/// A client's membership. Dropping it ends it.
pub(crate) struct Membership<'a> {
    members: &'a Members,
    number: u64,
    outbox: Arc<Outbox>,
    /// The name of a client that asks for none: its user at the gateway.
    user: Option<String>,
}

impl Members {
    /// An empty chat; with `commands` it interprets those of [`command`].
    pub(crate) fn new(commands: bool) -> Self {
        Self {
            commands,
            list: Mutex::default(),
        }
    }

    /// Lets a client in: from now on it hears the others. A client that has logged in at the
    /// gateway is named like its user from the start.
    pub(crate) fn join(&self, client: Arc<Client>) -> Membership<'_> {
        let outbox = Arc::new(Outbox::default());
        let user = client.info().user.as_deref().filter(|_| self.commands);
        let user = user.and_then(|user| command::name(user.as_bytes()).map(str::to_owned));
        let mut list = self.lock();
        let number = list.next;
        list.next += 1;
        let member = Member {
            number,
            client,
            outbox: Arc::clone(&outbox),
            name: String::new(),
        };
        list.members.insert(number, member);
        if let Some(user) = &user {
            list.rename(number, user);
        }
        drop(list);
        Membership {
            members: self,
            number,
            outbox,
            user,
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership<'_> {
    /// What waits for this client.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Hands a message on to all others, or does what it asks for.
    ///
    /// A member whose outbox overflows is disconnected.
    pub(crate) fn say(&self, message: Vec<u8>) {
        let command = if self.members.commands {
            command::parse(&message)
        } else {
            None
        };
        let wanted = match command {
            Some(Command::Hello(name)) => name.or(self.user.as_deref()),
            _ => None,
        };
        let end = command::ending(&message);
        let mut list = self.members.lock();
        let dropped = match command {
            Some(Command::Private(to, text)) => match list.find(to) {
                Some(number) => list.tell(number, &text.into()),
                None => Vec::new(),
            },
            Some(Command::Nothing) => Vec::new(),
            Some(Command::Whois(name)) => {
                let address = list.address(name);
                list.tell(self.number, &answer(&format!("WSIs {name} {address}"), end))
            }
            None | Some(Command::Hello(_)) => match wanted {
                Some(wanted) => {
                    let name = list.rename(self.number, wanted);
                    list.tell(self.number, &answer(&format!("WSWelcome {name}"), end))
                }
                None => list.tell_others(self.number, &message.into()),
            },
        };
        drop(list);
        // Outside the lock, so that a slow shutdown stops nobody else.
        for member in dropped {
            log(&format!("client {member} was dropped: it does not read"));
            member.client.shutdown();
        }
    }

    /// Ends the membership; what waits for the client may still be written.
    pub(crate) fn leave(&self) {
        self.members.lock().members.remove(&self.number);
        self.outbox.close();
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The members whose outbox a message made overflow; they are members no more.
type Dropped = Vec<Member>;

impl List {
    fn tell_others(&mut self, speaker: u64, message: &Message) -> Dropped {
        let others = self
            .members
            .iter()
            .filter(|(number, _)| **number != speaker);
        let full = others.filter(|(_, other)| other.outbox.put(message) == Put::Overflows);
        let full: Vec<u64> = full.map(|(number, _)| *number).collect();
        full.into_iter()
            .filter_map(|number| self.members.remove(&number))
            .collect()
    }

    fn tell(&mut self, number: u64, message: &Message) -> Dropped {
        let member = self.members.get(&number);
        let full = member.is_some_and(|m| m.outbox.put(message) == Put::Overflows);
        if full {
            self.members.remove(&number).into_iter().collect()
        } else {
            Vec::new()
        }
    }

    fn find(&self, name: &str) -> Option<u64> {
        self.members
            .iter()
            .find(|(_, member)| member.name == name)
            .map(|(number, _)| *number)
    }

    /// Names a client as it wants; if another has that name, digits are appended: 001 first.
    fn rename(&mut self, number: u64, wanted: &str) -> String {
        let free = |name: &str| self.find(name).is_none_or(|other| other == number);
        let numbered = (1..).map(|n: u32| {
            let digits = format!("{n:03}");
            format!("{}{digits}", command::cut(wanted, MAX_NAME - digits.len()))
        });
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        let name = names.find(|name| free(name)).unwrap_or_default();
        if let Some(member) = self.members.get_mut(&number) {
            member.name.clone_from(&name);
        }
        name
    }

    fn address(&self, name: &str) -> String {
        let member = self.find(name).and_then(|number| self.members.get(&number));
        let address = member.and_then(|member| member.client.address());
        address.map_or_else(|| "undefined".to_owned(), |address| address.to_string())
    }
}

/// An answer of the server's own, ended like the message it answers.
fn answer(text: &str, end: &[u8]) -> Message {
    [text.as_bytes(), end].concat().into()
}
