//! Ground: opens and checks files that root uses, so that nobody else can have put them there.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::libc::ELOOP;
use nix::unistd::{Uid, geteuid};

/// Write permission of the group and of others.
const OTHERS_WRITE: u32 = 0o022;
/// In a directory with this bit only the owner of a file removes or renames it (inode(7)).
const STICKY: u32 = 0o1000;

/// Opens a file in a directory that others may write to. Refuses a file that is a link, has a
/// second name, or belongs to anybody but root, this user and `owner`. Does not block on a terminal
/// or a fifo, and does not take a terminal as the controlling one.
///
/// # Errors
/// As open(2); `PermissionDenied` with what is wrong with the file.
pub(crate) fn open(path: &Path, options: &mut OpenOptions, owner: Option<Uid>) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match options.custom_flags(flags.bits()).open(path) {
        Err(error) if error.raw_os_error() == Some(ELOOP) => {
            return Err(refused("it is a symbolic link: name the file itself"));
        }
        result => result?,
    };
    check(&file.metadata()?, owner)?;
    Ok(file)
}

fn check(file: &Metadata, owner: Option<Uid>) -> io::Result<()> {
    let kind = file.file_type();
    if !kind.is_file() && !kind.is_fifo() && !kind.is_char_device() {
        return Err(refused("it is no file"));
    }
    if kind.is_file() && file.nlink() > 1 {
        return Err(refused("it has a second name (a hard link)"));
    }
    let uid = Uid::from_raw(file.uid());
    if is_own(uid) || owner == Some(uid) {
        return Ok(());
    }
    Err(refused(&format!("it belongs to user {uid}: remove it")))
}

/// Checks that only root and this user can change what a path names: the file or directory itself,
/// and every directory that leads to it. A directory that leads to it may be like /tmp, where
/// nobody renames or removes the files of others.
///
/// # Errors
/// `PermissionDenied` with the part that others may change; as stat(2).
pub(crate) fn check_path(path: &Path) -> io::Result<()> {
    let path = path.canonicalize()?;
    for (depth, part) in path.ancestors().enumerate() {
        let found = fs::metadata(part)?;
        let part = part.display();
        if !is_own(Uid::from_raw(found.uid())) {
            return Err(refused(&format!("{part} belongs to user {}", found.uid())));
        }
        let leads = depth > 0 && found.mode() & STICKY != 0;
        if found.mode() & OTHERS_WRITE != 0 && !leads {
            return Err(refused(&format!(
                "others may write to {part}: chmod go-w {part}"
            )));
        }
    }
    Ok(())
}

fn is_own(uid: Uid) -> bool {
    uid.is_root() || uid == geteuid()
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use crate::system::beneath::tests::Scratch;

    fn opened(path: &Path) -> Result<File, String> {
        let opened = open(path, File::options().append(true).create(true), None);
        opened.map_err(|error| error.to_string())
    }

    #[test]
    fn a_link_is_not_followed_and_nothing_is_made_behind_it() {
        let scratch = Scratch::new();
        let (link, victim) = (scratch.0.join("link"), scratch.0.join("victim"));
        symlink(&victim, &link).expect("a free name");
        let error = opened(&link).expect_err("a link");
        assert!(error.contains("symbolic link"), "{error}");
        assert!(!victim.exists());
    }

    #[test]
    fn a_second_name_of_a_file_is_not_opened() {
        let scratch = Scratch::new();
        let (other, victim) = (scratch.0.join("other"), scratch.0.join("victim"));
        fs::write(&victim, "precious").expect("a free name");
        fs::hard_link(&victim, &other).expect("a free name");
        let error = opened(&other).expect_err("two names");
        assert!(error.contains("second name"), "{error}");
        fs::remove_file(&victim).expect("it is there");
        opened(&other).expect("one name");
    }

    #[test]
    fn a_file_of_another_user_is_not_opened() {
        if !geteuid().is_root() {
            return;
        }
        let scratch = Scratch::new();
        let path = scratch.0.join("planted");
        fs::write(&path, "").expect("a free name");
        std::os::unix::fs::chown(&path, Some(65534), None).expect("root may");
        let error = opened(&path).expect_err("nobody's");
        assert!(error.contains("belongs to user 65534"), "{error}");
        let owner = Some(Uid::from_raw(65534));
        open(&path, File::options().append(true), owner).expect("the daemon's user");
    }

    #[test]
    fn what_others_may_write_to_is_found_in_each_part_of_a_path() {
        let scratch = Scratch::new();
        let directory = scratch.0.join("directory");
        let file = directory.join("file");
        fs::create_dir(&directory).expect("a free name");
        fs::write(&file, "").expect("a free name");
        for (file_mode, directory_mode, reason) in [
            (0o755, 0o755, None),
            (0o775, 0o755, Some("/directory/file: chmod go-w")),
            (0o755, 0o757, Some("/directory: chmod go-w")),
            (0o755, 0o1777, None),
        ] {
            let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
            set(&file, file_mode).expect("our own");
            set(&directory, directory_mode).expect("our own");
            let found = check_path(&file).err().map(|error| error.to_string());
            let found_as_wanted = match (&found, reason) {
                (Some(found), Some(reason)) => found.contains(reason),
                (found, reason) => found.is_none() && reason.is_none(),
            };
            assert!(
                found_as_wanted,
                "{file_mode:o} {directory_mode:o}: {found:?}"
            );
        }
        let alone = check_path(&directory).expect_err("it does not lead to a file of ours");
        assert!(alone.to_string().contains("/directory: chmod"), "{alone}");
    }
}
