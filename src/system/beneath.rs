//! Ground: opens a name beneath a directory, never outside it.
//!
//! `access` and `document` decide which names may be opened. This is the last check. It holds even
//! if somebody swaps a symbolic link in the meantime.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{Mode, SFlag, fstat};

/// Most attempts if the kernel sees a rename while it resolves `..` (EAGAIN, openat2(2)).
const ATTEMPTS: u32 = 32;

/// Opens `docroot`/`name`, close-on-exec. Symbolic links are followed as long as they stay beneath
/// `docroot`, which itself may be a link.
///
/// On a kernel without openat2 (before 5.6) no symbolic link beneath `docroot` is followed at all.
///
/// # Errors
/// As open(2). A way out of `docroot` is `EXDEV`, or `ELOOP` and `ENOTDIR` without openat2; a name
/// with a NUL is `EINVAL`.
pub(crate) fn open_beneath(docroot: &Path, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
    let root = open(
        docroot,
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    match resolve(&root, name, flags) {
        // EPERM comes from a container's filter that does not know the call.
        Err(Errno::ENOSYS | Errno::EPERM) => walk(root, name, flags),
        opened => opened,
    }
}

/// Lets the kernel resolve the whole name (openat2(2), Linux 5.6).
fn resolve(root: &OwnedFd, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    for _ in 1..ATTEMPTS {
        match openat2(root, name, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            opened => return opened,
        }
    }
    openat2(root, name, how)
}

/// Resolves the name one segment at a time and follows no link.
fn walk(root: OwnedFd, name: &str, flags: OFlag) -> nix::Result<OwnedFd> {
    let no_link = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut directory = root;
    let mut segments = name.split('/').peekable();
    while let Some(segment) = segments.next() {
        if matches!(segment, "" | "." | "..") {
            return Err(Errno::EXDEV);
        }
        if segments.peek().is_some() {
            let way = OFlag::O_PATH | OFlag::O_DIRECTORY | no_link;
            directory = openat(directory.as_fd(), segment, way, Mode::empty())?;
        } else {
            let opened = openat(directory.as_fd(), segment, flags | no_link, Mode::empty())?;
            // O_PATH opens the link itself.
            return match is_type(&opened, SFlag::S_IFLNK)? {
                true => Err(Errno::ELOOP),
                false => Ok(opened),
            };
        }
    }
    Err(Errno::ENOENT)
}

/// Whether an open file is of type `wanted`.
fn is_type(file: impl AsFd, wanted: SFlag) -> nix::Result<bool> {
    let mode = fstat(file.as_fd())?.st_mode;
    Ok(SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits()) == wanted)
}

/// Opens a regular file or directory for reading; nothing else can stop or disturb us.
///
/// # Errors
/// As [`open_beneath`].
pub(crate) fn read_beneath(docroot: &Path, name: &str) -> nix::Result<File> {
    // O_NONBLOCK: a fifo without a writer would hold the thread; O_NOCTTY: a terminal is not ours.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_LARGEFILE;
    open_beneath(docroot, name, flags).map(File::from)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::{env, fs, process};

    /// A directory of its own for one test, removed at the end.
    pub(crate) struct Scratch(pub(crate) PathBuf);

    impl Scratch {
        pub(crate) fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("ouistiti-{}-{number}", process::id()));
            fs::create_dir(&path).expect("the temporary directory is writable");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs::set_permissions(&path, mode).expect("our own directory");
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// secret outside; root with a file, a directory, and links inwards and outwards.
    fn tree() -> (Scratch, PathBuf) {
        let scratch = Scratch::new();
        let root = scratch.0.join("root");
        fs::create_dir_all(root.join("sub")).expect("mkdir");
        fs::write(scratch.0.join("secret"), "secret").expect("write");
        fs::write(root.join("sub/page"), "page").expect("write");
        symlink("sub/page", root.join("inward")).expect("link");
        symlink("../secret", root.join("outward")).expect("link");
        symlink(scratch.0.join("secret"), root.join("absolute")).expect("link");
        symlink("..", root.join("up")).expect("link");
        symlink("/proc/self/root", root.join("magic")).expect("link");
        (scratch, root)
    }

    const WAYS_OUT: [&str; 9] = [
        "../secret",
        "sub/../../secret",
        "/etc/passwd",
        "outward",
        "absolute",
        "up/secret",
        "magic/etc/passwd",
        "",
        "nothing",
    ];

    #[test]
    fn a_name_beneath_is_opened() {
        let (_scratch, root) = tree();
        assert!(open_beneath(&root, "sub/page", OFlag::O_RDONLY).is_ok());
        assert!(open_beneath(&root, "sub", OFlag::O_PATH).is_ok());
    }

    #[test]
    fn no_name_and_no_link_leads_out() {
        let (_scratch, root) = tree();
        for name in WAYS_OUT {
            assert!(open_beneath(&root, name, OFlag::O_PATH).is_err(), "{name}");
        }
    }

    #[test]
    fn without_openat2_no_name_and_no_link_leads_out() {
        let (_scratch, root) = tree();
        let open_root = || OwnedFd::from(File::open(&root).expect("it is there"));
        for name in WAYS_OUT
            .into_iter()
            .chain(["inward", "sub/", "./sub", "sub//page"])
        {
            for flags in [OFlag::O_PATH, OFlag::O_RDONLY] {
                assert!(walk(open_root(), name, flags).is_err(), "{name}");
            }
        }
        assert!(walk(open_root(), "sub/page", OFlag::O_RDONLY).is_ok());
        assert!(walk(open_root(), "sub", OFlag::O_PATH).is_ok());
    }

    #[test]
    fn a_nul_in_the_name_is_an_error() {
        let (_scratch, root) = tree();
        assert!(open_beneath(&root, "sub\0/page", OFlag::O_PATH).is_err());
    }
}
