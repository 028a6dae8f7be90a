//! Where a server's clients come in: its doors, and an accept loop for each.

use std::sync::Arc;

use crate::config::ServerConfig;
use crate::listen::accept::{Spare, accept};
use crate::listen::listener::Door;
use crate::server::{Server, StartError};
use crate::system::threads;

/// A server and the doors that lead to it.
pub struct Entrance {
    server: Arc<Server>,
    doors: Vec<Arc<Door>>,
}

impl Entrance {
    /// Binds every address and reads certificates. Of a server that is being replaced, the
    /// doors in `kept` are used again where the address is the same, and its clients are kept.
    ///
    /// # Errors
    /// What cannot be read or bound, and why.
    pub fn open(config: ServerConfig, kept: &mut Vec<Arc<Door>>) -> Result<Self, StartError> {
        let mut doors = Vec::new();
        for address in &config.listen {
            let door = match kept.iter().position(|door| door.address() == address) {
                Some(index) => kept.remove(index),
                None => Door::open(address)
                    .map(Arc::new)
                    .map_err(|error| StartError::Bind(address.clone(), error))?,
            };
            doors.push(door);
        }
        let before = doors.iter().find_map(|door| door.server());
        let server = Server::new(config, before.as_deref()).map(Arc::new)?;
        Ok(Self { server, doors })
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Its doors.
    pub fn doors(&self) -> &[Arc<Door>] {
        &self.doors
    }

    /// The addresses it listens on, for a person.
    pub fn names(&self) -> String {
        let tls = self.server.config().tls.is_some();
        let names: Vec<_> = self.doors.iter().map(|door| door.name(tls)).collect();
        names.join(" ")
    }

    /// Starts an accept thread for each door that has none yet.
    ///
    /// # Errors
    /// When a thread cannot be created.
    pub fn start(&self) -> Result<(), StartError> {
        if let Some(websocket) = &self.server.config().websocket {
            let watched = self.server.room().watch(websocket.ping);
            watched.map_err(StartError::Thread)?;
        }
        for (index, door) in self.doors.iter().enumerate() {
            if door.is_new() && door.lead_to(&self.server) {
                // Now: the thread may begin long after we have said that we listen.
                let (door, spare) = (Arc::clone(door), Spare::take());
                threads::spawn(format!("accept-{index}"), move || accept(&door, spare))
                    .map_err(StartError::Thread)?;
            }
        }
        Ok(())
    }

    /// Leads clients to its server from now on, wherever they were led before.
    pub fn take_over(&self) {
        for door in &self.doors {
            door.lead_to(&self.server);
        }
    }

    /// Closes the doors that lead to its server.
    pub fn close(&self) {
        for door in &self.doors {
            if door
                .server()
                .is_some_and(|server| Arc::ptr_eq(&server, &self.server))
            {
                door.close();
            }
        }
    }
}
