//! The option `-C`: a file, and what follows it after semicolons.

use std::path::PathBuf;

use rpcplugin::Error;

use crate::limits;

/// The parts of the option.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The SQLite file.
    pub(crate) file: PathBuf,
    /// The file is only read (`ro`).
    pub(crate) read_only: bool,
    /// Size to which the file can grow, in MiB (`max`).
    pub(crate) max: u32,
}

impl Settings {
    pub(crate) fn parse(config: &str) -> Result<Settings, Error> {
        let mut parts = config.split(';');
        let file = parts.next().unwrap_or_default();
        let mut settings = Settings {
            file: PathBuf::from(file),
            read_only: false,
            max: limits::FILE,
        };
        for part in parts {
            match part.split_once('=') {
                None if part == "ro" => settings.read_only = true,
                Some(("max", mebibytes)) => {
                    settings.max = mebibytes.parse().map_err(|_| unknown(part))?;
                }
                None | Some(_) => return Err(unknown(part)),
            }
        }
        if file.is_empty() {
            return Err(Error::internal("the option -C of jsonsql names no file"));
        }
        Ok(settings)
    }
}

fn unknown(part: &str) -> Error {
    Error::internal(&format!(
        "'{part}' in the option -C of jsonsql is neither ro nor max=MEBIBYTES"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_a_file_and_what_follows_it() {
        let settings = Settings::parse("/tmp/a b.db;ro;max=3").expect("valid");
        assert_eq!(settings.file, PathBuf::from("/tmp/a b.db"));
        assert!(settings.read_only && settings.max == 3);
        for config in ["", ";ro", "x;rw", "x;max=-1", "x;max", "x;;"] {
            assert!(Settings::parse(config).is_err(), "{config}");
        }
    }
}
