//! The four methods, and who may call them.
//!
//! A connection that has authenticated as a member of the group root may add, change and remove
//! anyone; others only change and remove themselves, with their password. The first user of a file
//! is made at the start (`root`), or added from this machine itself: whoever came first would own
//! the others.

use std::borrow::Cow;
use std::net::IpAddr;

use rpcplugin::{Error, Json, Params, Plugin};
use serde_json::{Map, Value, json};

use crate::first;
use crate::password::{Hasher, MAX_PASSWORD, algorithm};
use crate::settings::Settings;
use crate::store::{By, NewUser, Owned, Store, User, not_found};
use crate::throttle::Throttle;

/// Longest user name and home, in bytes.
const MAX_TEXT: usize = 255;

/// The group of a new user, if none is asked for.
const DEFAULT_GROUP: &str = "users";

/// The plugin for one client.
pub struct AuthRpc {
    store: Store,
    hasher: Hasher,
    throttle: Throttle,
    /// The client's address, if it is known.
    address: Option<IpAddr>,
    /// The user as whom this connection has authenticated.
    user: Option<User>,
}

impl Plugin for AuthRpc {
    fn open(config: &str) -> Result<Self, Error> {
        let settings = Settings::parse(config)?;
        let hasher = Hasher::new(settings.form)?;
        let mut client = AuthRpc::with(&settings, hasher, rpcplugin::client())?;
        if let Some(name) = &settings.root
            && first::is_start()
        {
            first::make(name, &mut client.store, &client.hasher)?;
        }
        Ok(client)
    }
}

impl AuthRpc {
    pub(crate) fn with(
        settings: &Settings,
        hasher: Hasher,
        address: Option<IpAddr>,
    ) -> Result<AuthRpc, Error> {
        Ok(AuthRpc {
            store: Store::open(&settings.file)?,
            hasher,
            throttle: Throttle::new(settings.delay, address),
            address,
            user: None,
        })
    }

    /// `auth {user, passwd}` -> `{user, group, home, algorithm}`, without those that the user has
    /// not. The connection is that user's from then on; after an error it stays whose it was.
    ///
    /// # Errors
    /// The user is unknown or the password wrong.
    pub fn auth(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let [Some(name), Some(passwd)] = texts(params, ["user", "passwd"])? else {
            return Err(incomplete());
        };
        let user = self.verify(&name, &passwd)?;
        let members = [
            ("user", Some(user.name.as_str())),
            ("group", user.group.as_deref()),
            ("home", user.home.as_deref()),
            ("algorithm", user.passwd.as_deref().and_then(algorithm)),
        ];
        // As the C gateway: what is not known is left out.
        let known = members
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let answer: Map<String, Value> = known
            .map(|(name, value)| (name.to_string(), value.into()))
            .collect();
        self.user = Some(user);
        Ok(Json::of(&answer))
    }

    /// `passwd {user, old, new, confirm}`; root needs no `old`.
    ///
    /// # Errors
    /// The new password is not confirmed; or as [`AuthRpc::auth`].
    pub fn passwd(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let [Some(name), old, Some(new), Some(confirm)] =
            texts(params, ["user", "old", "new", "confirm"])?
        else {
            return Err(incomplete());
        };
        if new != confirm {
            return Err(Error::failure("confirm new password"));
        }
        check_new(&new)?;
        let owned = self.owner(&name, old.as_deref())?;
        let stored = self.hasher.store(&new)?;
        self.store.set_passwd(&owned, &stored)?;
        if let Some(own) = self.user.as_mut().filter(|own| **own == owned.user) {
            own.passwd = Some(stored);
        }
        Ok(message("password changed"))
    }

    /// `adduser {user, passwd, group?, home?}`.
    ///
    /// # Errors
    /// The connection is not root's, and this is not the first user or does not come from this
    /// machine.
    pub fn adduser(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let [Some(name), Some(passwd), group, home] =
            texts(params, ["user", "passwd", "group", "home"])?
        else {
            return Err(incomplete());
        };
        let home = home.as_deref();
        check_text("user", &name)?;
        check_text("home", home.unwrap_or_default())?;
        check_new(&passwd)?;
        // The transaction checks this again; here it saves the hash.
        let root = self.root()?;
        let by = match &root {
            Some(root) => By::Root(root),
            None if !self.store.is_empty()? => return Err(Error::failure("permission denied")),
            None if self.address.is_some_and(|address| address.is_loopback()) => By::Operator,
            None => return Err(first::not_from_here()),
        };
        let passwd = self.hasher.store(&passwd)?;
        let group = group.as_deref().unwrap_or(DEFAULT_GROUP);
        self.store.add(
            &NewUser {
                name: &name,
                passwd: &passwd,
                group,
                home,
            },
            &by,
        )?;
        Ok(message("user added"))
    }

    /// `rmuser {user, passwd}`; root needs no `passwd`.
    ///
    /// # Errors
    /// As [`AuthRpc::auth`]; or others would be left without a root user.
    pub fn rmuser(&mut self, params: Params<'_>) -> Result<Json, Error> {
        let [name, passwd] = texts(params, ["user", "passwd"])?;
        let name = name.ok_or_else(incomplete)?;
        let owned = self.owner(&name, passwd.as_deref())?;
        self.store.remove(&owned)?;
        if self.user.as_ref() == Some(&owned.user) {
            self.user = None;
        }
        Ok(message("user removed"))
    }

    /// The user, if the password is right or the connection is root's. A root connection may send
    /// any password for another user: pages send what is in their field.
    fn owner(&mut self, name: &str, passwd: Option<&str>) -> Result<Owned, Error> {
        let root = self.root()?;
        let own = self.user.as_ref().is_some_and(|user| user.name == name);
        match (passwd, root) {
            (Some(passwd), root) if own || root.is_none() => Ok(Owned {
                user: self.verify(name, passwd)?,
                root: None,
            }),
            (_, Some(root)) => Ok(Owned {
                user: self.store.find(name)?.ok_or_else(not_found)?,
                root: Some(root),
            }),
            (_, None) => Err(not_found()),
        }
    }

    /// The user, if the password is theirs. Takes as long for a user who is not there.
    fn verify(&mut self, name: &str, passwd: &str) -> Result<User, Error> {
        let turn = self.throttle.wait(name)?;
        let user = self.store.find(name)?;
        let stored = user.as_ref().and_then(|user| user.passwd.as_deref());
        let right = self.hasher.check(name, passwd, stored, turn.standing)?;
        match user {
            Some(user) if right => {
                self.throttle.passed(name);
                Ok(user)
            }
            Some(_) | None => {
                self.throttle.failed(name);
                Err(not_found())
            }
        }
    }

    /// The root user of this connection, if that user is still the same, with the same password.
    fn root(&self) -> Result<Option<User>, Error> {
        let Some(user) = self.user.as_ref().filter(|user| user.is_root()) else {
            return Ok(None);
        };
        let now = self.store.find(&user.name)?;
        Ok(now.filter(|now| now == user))
    }
}

/// The members of these names that are texts and not empty: pages send what was left blank.
fn texts<'a, const N: usize>(
    params: Params<'a>,
    names: [&str; N],
) -> Result<[Option<Cow<'a, str>>; N], Error> {
    let text = |value| rpcplugin::text(value).filter(|text| !text.is_empty());
    Ok(params.members(names)?.map(|value| value.and_then(text)))
}

fn message(text: &str) -> Json {
    Json::of(&json!({ "message": text }))
}

fn incomplete() -> Error {
    Error::failure("incomplete command")
}

fn check_new(passwd: &str) -> Result<(), Error> {
    if passwd.len() > MAX_PASSWORD {
        return Err(Error::invalid_params("a password has at most 1024 bytes"));
    }
    Ok(())
}

fn check_text(what: &str, text: &str) -> Result<(), Error> {
    if text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        let why = format!("{what} has at most 255 bytes and no control characters");
        return Err(Error::invalid_params(&why));
    }
    Ok(())
}
