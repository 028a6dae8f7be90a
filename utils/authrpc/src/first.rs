//! The first user of a file, who administers the others: made by the operator, so that it is not
//! whoever comes first.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rpcplugin::Error;

use crate::password::Hasher;
use crate::store::{By, NewUser, ROOT, Store};

/// Characters of a password that is made here: no two look alike. There are 32 of them, so that
/// five bits choose one.
const CHARACTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Characters of a password, in groups: 100 bits.
const LENGTH: usize = 20;
const GROUP: usize = 5;

/// Whether the server starts, which opens the plugin first of all. Later it would have nobody to
/// tell the password.
pub(crate) fn is_start() -> bool {
    static OPENED: AtomicBool = AtomicBool::new(false);
    !OPENED.swap(true, Ordering::Relaxed)
}

/// Adds the user to a file that has none, with a password that is shown now and never again.
pub(crate) fn make(name: &str, store: &mut Store, hasher: &Hasher) -> Result<(), Error> {
    if !store.is_empty()? {
        return Ok(());
    }
    let failed = |error: io::Error| Error::cannot(&format!("cannot make user {name}"), &error);
    let password = password().map_err(failed)?;
    let user = NewUser {
        name,
        passwd: &hasher.store(&password)?,
        group: ROOT,
        home: None,
    };
    // First, since a user whose password nobody has seen is in the way.
    let told = writeln!(
        io::stderr(),
        "authrpc: {name} is the first user, with the password {password}\n\
         authrpc: it is not shown again; change it when you have signed in"
    );
    told.map_err(failed)?;
    store.add(&user, &By::Operator)
}

/// What a client is told that may not add the first user.
pub(crate) fn not_from_here() -> Error {
    Error::failure(
        "there is no user yet: start websocket_jsonrpc with -C \"FILE;root=NAME\", \
         which prints a password for NAME",
    )
}

fn password() -> io::Result<String> {
    let mut bytes = [0; LENGTH];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let characters = bytes.map(|byte| char::from(CHARACTERS[usize::from(byte % 32)]));
    let groups = characters.chunks(GROUP).map(|group| group.iter().collect());
    Ok(groups.collect::<Vec<String>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_another_each_time_and_can_be_read_aloud() {
        let one = password().expect("random bytes");
        assert_eq!(one.len(), LENGTH + 3);
        assert_ne!(one, password().expect("random bytes"));
        let known = |byte: u8| byte == b'-' || CHARACTERS.contains(&byte);
        assert!(one.bytes().all(known), "{one}");
    }
}
