//! The option `-C`: a file, and what follows it after semicolons.

use std::path::PathBuf;
use std::time::Duration;

use rpcplugin::Error;

use crate::password::Form;

/// Wait after a first wrong password, if the option does not say.
const DELAY: Duration = Duration::from_millis(250);

/// The parts of the option.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The SQLite file.
    pub(crate) file: PathBuf,
    /// How new passwords are stored (`hash`).
    pub(crate) form: Form,
    /// Wait after a first wrong password (`delay`).
    pub(crate) delay: Duration,
    /// The first user of an empty file (`root`).
    pub(crate) root: Option<String>,
}

impl Settings {
    pub(crate) fn parse(config: &str) -> Result<Settings, Error> {
        let mut parts = config.split(';');
        let file = parts.next().unwrap_or_default();
        if file.is_empty() {
            return Err(Error::internal("the option -C of authrpc names no file"));
        }
        let mut settings = Settings {
            file: PathBuf::from(file),
            form: Form::Argon2id,
            delay: DELAY,
            root: None,
        };
        for part in parts {
            match part.split_once('=').unwrap_or((part, "")) {
                ("hash", "argon2id") => settings.form = Form::Argon2id,
                ("hash", "a5") => settings.form = Form::GatewaySha256,
                ("delay", milliseconds) => {
                    let milliseconds: u16 = milliseconds.parse().map_err(|_| unknown(part))?;
                    settings.delay = Duration::from_millis(milliseconds.into());
                }
                ("root", name) if !name.is_empty() => settings.root = Some(name.to_string()),
                _ => return Err(unknown(part)),
            }
        }
        Ok(settings)
    }
}

fn unknown(part: &str) -> Error {
    Error::internal(&format!(
        "'{part}' in the option -C of authrpc is none of hash=argon2id, hash=a5, \
        delay=MILLISECONDS, root=NAME"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_a_file_and_what_follows_it() {
        let settings = Settings::parse("/tmp/a b.db;hash=a5;delay=0;root=admin").expect("valid");
        assert_eq!(settings.file, PathBuf::from("/tmp/a b.db"));
        assert_eq!(
            (settings.form, settings.delay),
            (Form::GatewaySha256, Duration::ZERO)
        );
        assert_eq!(settings.root.as_deref(), Some("admin"));
        let settings = Settings::parse("x.db").expect("valid");
        assert_eq!((settings.form, settings.delay), (Form::Argon2id, DELAY));
        for config in [
            "",
            ";hash=a5",
            "x;hash=a4",
            "x;delay=-1",
            "x;delay",
            "x;root=",
            "x;;",
        ] {
            assert!(Settings::parse(config).is_err(), "{config}");
        }
    }
}
