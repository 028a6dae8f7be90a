//! What the disk says about a configuration: directories that are missing, and those that the
//! daemon's user may not enter.

use std::ffi::CString;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{User, getegid, geteuid, getgrouplist, getgroups};

use crate::system::reason::reason;

/// The user that the daemon will be.
pub(crate) struct Disk {
    name: String,
    uid: u32,
    gids: Vec<u32>,
}

impl Disk {
    /// Looks up the user of the configuration. Without one, or for an unknown one, it is the user
    /// of this process.
    pub(crate) fn new(user: Option<&str>) -> Self {
        let found = user.and_then(|name| User::from_name(name).ok().flatten());
        found.map_or_else(Self::of_process, |user| Self::of(&user))
    }

    fn of(user: &User) -> Self {
        let name = CString::new(user.name.as_str()).unwrap_or_default();
        let groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
        Self {
            name: user.name.clone(),
            uid: user.uid.as_raw(),
            gids: groups.into_iter().map(|group| group.as_raw()).collect(),
        }
    }

    fn of_process() -> Self {
        let groups = getgroups().unwrap_or_default();
        let gids = groups.into_iter().chain([getegid()]);
        let uid = geteuid();
        let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
        Self {
            name: name.unwrap_or_else(|| format!("user {uid}")),
            uid: uid.as_raw(),
            gids: gids.map(|group| group.as_raw()).collect(),
        }
    }

    /// Returns why files beneath a directory cannot be reached, if they cannot.
    ///
    /// Root has no right to enter what it may not enter as another user: the daemon gives its
    /// capabilities up (capabilities(7), CAP_DAC_OVERRIDE).
    pub(crate) fn trouble(&self, directory: &Path) -> Option<String> {
        let path = match fs::canonicalize(directory) {
            Ok(path) => path,
            Err(error) => return Some(reason(&error)),
        };
        for part in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            let metadata = match fs::metadata(part) {
                Ok(metadata) => metadata,
                Err(error) => return Some(reason(&error)),
            };
            if !metadata.is_dir() {
                return Some("it is not a directory".to_owned());
            }
            if !self.may_enter(&metadata) {
                let (name, part) = (&self.name, part.display());
                return Some(format!(
                    "{name} may not enter {part} (mode {:04o}); 'chmod o+x {part}' lets it",
                    metadata.mode() & 0o7777
                ));
            }
        }
        None
    }

    /// Returns why the user cannot execute a program, if so.
    #[cfg(feature = "exec")]
    pub(crate) fn trouble_of_program(&self, program: &Path) -> Option<String> {
        let path = match fs::canonicalize(program) {
            Ok(path) => path,
            Err(error) => return Some(reason(&error)),
        };
        if let Some(trouble) = path.parent().and_then(|parent| self.trouble(parent)) {
            return Some(trouble);
        }
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return Some(reason(&error)),
        };
        if !metadata.is_file() {
            return Some("it is not a file".to_owned());
        }
        let (name, path, mode) = (&self.name, path.display(), metadata.mode() & 0o7777);
        (!self.may_enter(&metadata)).then(|| {
            format!("{name} may not execute {path} (mode {mode:04o}); 'chmod a+x {path}' lets it")
        })
    }

    /// Whether the user may search a directory, or execute a file (path_resolution(7)).
    fn may_enter(&self, directory: &Metadata) -> bool {
        let bit = if directory.uid() == self.uid {
            0o100
        } else if self.gids.contains(&directory.gid()) {
            0o010
        } else {
            0o001
        };
        directory.mode() & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::system::beneath::tests::Scratch;

    #[test]
    fn what_is_missing_or_closed_is_told_with_the_cure() {
        let scratch = Scratch::new();
        let closed = scratch.0.join("closed");
        let inner = closed.join("inner");
        fs::create_dir_all(&inner).expect("directories");
        fs::write(scratch.0.join("file"), "").expect("a file");
        let stranger = Disk {
            name: "stranger".to_owned(),
            uid: u32::MAX - 1,
            gids: vec![],
        };
        let trouble = |path: &str| stranger.trouble(&scratch.0.join(path));
        let missing = trouble("missing").expect("it is missing");
        assert_eq!(missing, "no such file or directory");
        let file = trouble("file").expect("it is a file");
        assert_eq!(file, "it is not a directory");
        assert_eq!(trouble("closed/inner"), None);
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("our directory");
        let real = fs::canonicalize(&closed).expect("it is there");
        let real = real.display();
        let wanted =
            format!("stranger may not enter {real} (mode 0700); 'chmod o+x {real}' lets it");
        assert_eq!(trouble("closed/inner"), Some(wanted));
        assert_eq!(Disk::new(None).trouble(&inner), None, "the owner may");
    }
}
