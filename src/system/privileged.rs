//! Ground: what the daemon may no longer do itself after it gave up its privileges.
//!
//! A process that has kept the privileges does it on request. It reads files: only those that were
//! named at the start, one at a time, up to a length. And it starts the daemon's program anew.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::system::passing;
use crate::system::trusted;

/// Bytes of a request.
pub(crate) const REQUEST: usize = 5;
/// The beginning of a request. Its last byte is the number of the file.
const READ: [u8; REQUEST - 1] = *b"read";
/// Longest file, in bytes: a key and its chain take some 10 KiB, 10 000 users a megabyte.
const MAX_LENGTH: u32 = 1024 * 1024;
/// The request to start the daemon's program anew, and the answer to it.
pub(crate) const START: [u8; REQUEST] = *b"start";
/// The length that says that the file cannot be read.
const UNREADABLE: u32 = u32::MAX;
/// Longest wait for an answer.
const WAIT: Duration = Duration::from_secs(5);
/// Most links from one name to the next.
const MAX_LINKS: usize = 8;

/// The socket of the process that reads, and the files it reads.
static READER: Mutex<Option<(UnixStream, Vec<PathBuf>)>> = Mutex::new(None);

/// Has these files read by the process at the other end of the socket.
///
/// # Errors
/// As setsockopt(2).
pub(crate) fn set_reader(socket: UnixStream, files: &[PathBuf]) -> io::Result<()> {
    socket.set_read_timeout(Some(WAIT))?;
    socket.set_write_timeout(Some(WAIT))?;
    let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
    *reader = Some((socket, files.to_owned()));
    Ok(())
}

/// Returns the content of a file, but not more than `limit` bytes. One that this process may not
/// read is read by the other.
///
/// # Errors
/// As open(2) and read(2); `PermissionDenied` if the other process may not read it either, or there
/// is none.
#[cfg(any(feature = "tls", feature = "auth"))]
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            content = ask_for(path)?;
            content.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        opened => drop(opened?.take(limit).read_to_end(&mut content)?),
    }
    Ok(content)
}

/// Has the other process read a file.
#[cfg(any(feature = "tls", feature = "auth"))]
fn ask_for(path: &Path) -> io::Result<Vec<u8>> {
    let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((socket, files)) = &mut *reader else {
        return Err(ErrorKind::PermissionDenied.into());
    };
    let number = files.iter().position(|file| file == path);
    // A request has one byte for the number, so that only the first 256 files can be read.
    let Some(number) = number.and_then(|number| u8::try_from(number).ok()) else {
        return Err(ErrorKind::PermissionDenied.into());
    };
    let answer = ask(socket, number);
    if answer.is_err() {
        // A late answer would be taken for that of the next request.
        *reader = None;
    }
    answer?.ok_or_else(|| ErrorKind::PermissionDenied.into())
}

#[cfg(any(feature = "tls", feature = "auth"))]
fn ask(socket: &mut UnixStream, number: u8) -> io::Result<Option<Vec<u8>>> {
    socket.write_all(&READ)?;
    socket.write_all(&[number])?;
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length == UNREADABLE {
        return Ok(None);
    }
    let mut content = vec![0; length.min(MAX_LENGTH) as usize];
    socket.read_exact(&mut content)?;
    Ok(Some(content))
}

/// Has the daemon's program started anew. Returns the socket that is its standard input; `None` if
/// no other process has kept privileges.
///
/// # Errors
/// If it cannot be started; as read(2) and write(2).
pub(crate) fn start() -> io::Result<Option<UnixStream>> {
    let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((socket, _)) = &mut *reader else {
        return Ok(None);
    };
    socket.write_all(&START)?;
    let (_, passed) = passing::receive(socket, &mut [0; REQUEST])?;
    match passed.into_iter().next() {
        Some(link) => Ok(Some(link.into())),
        None => Err(io::Error::other("the keeper cannot start it")),
    }
}

/// Answers a request, in the process that has the privileges. Returns `None` if it is not a request
/// to read.
///
/// # Errors
/// As write(2).
pub(crate) fn answer(
    to: &mut impl Write,
    request: [u8; REQUEST],
    files: &[PathBuf],
) -> io::Result<Option<()>> {
    let Some(number) = request.strip_prefix(&READ).and_then(|rest| rest.first()) else {
        return Ok(None);
    };
    let content = files.get(usize::from(*number)).map(|path| content(path));
    match content {
        Some(Ok(content)) => {
            let length = u32::try_from(content.len()).unwrap_or(UNREADABLE);
            to.write_all(&length.to_be_bytes())?;
            to.write_all(&content)?;
        }
        _ => to.write_all(&UNREADABLE.to_be_bytes())?,
    }
    Ok(Some(()))
}

/// Reads a file. No directory on the way to it may be one in which others could put a link to
/// another file.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        trusted::check_path(directory)?;
        match fs::read_link(&path) {
            Ok(target) => path = directory.join(target),
            // Not a link.
            Err(error) if error.kind() == ErrorKind::InvalidInput => break,
            Err(error) => return Err(error),
        }
    }
    let file = trusted::open(&path, File::options().read(true), None)?;
    let mut content = Vec::new();
    file.take(u64::from(MAX_LENGTH) + 1)
        .read_to_end(&mut content)?;
    match content.len() > MAX_LENGTH as usize {
        true => Err(ErrorKind::FileTooLarge.into()),
        false => Ok(content),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    use crate::system::beneath::tests::Scratch;

    fn answer_to(request: &[u8; REQUEST], files: &[PathBuf]) -> Option<Vec<u8>> {
        let mut answered = Vec::new();
        let asked = answer(&mut answered, *request, files).expect("a vector");
        asked.map(|()| answered)
    }

    #[test]
    fn only_the_files_of_the_start_are_read_and_only_so_far() {
        let scratch = Scratch::new();
        let [key, other, long] = ["key", "other", "long"].map(|name| scratch.0.join(name));
        fs::write(&key, "secret").expect("a free name");
        fs::write(&long, vec![b'x'; MAX_LENGTH as usize + 1]).expect("a free name");
        symlink(&key, &other).expect("a free name");
        let unreadable = Some(UNREADABLE.to_be_bytes().to_vec());
        let files = [key, other, long];
        let secret = Some(b"\0\0\0\x06secret".to_vec());
        assert_eq!(answer_to(b"read\0", &files), secret);
        assert_eq!(answer_to(b"read\x01", &files), secret, "our own link");
        assert_eq!(answer_to(b"read\x02", &files), unreadable, "too long");
        assert_eq!(answer_to(b"read\x03", &files), unreadable, "not named");
        assert_eq!(answer_to(b"stop\n", &files), None);
    }

    #[test]
    fn a_link_in_a_directory_of_others_is_not_followed() {
        let scratch = Scratch::new();
        let directory = scratch.0.join("theirs");
        fs::create_dir(&directory).expect("a free name");
        fs::write(scratch.0.join("shadow"), "secret").expect("a free name");
        symlink(scratch.0.join("shadow"), directory.join("key")).expect("a free name");
        let files = [directory.join("key")];
        assert!(answer_to(b"read\0", &files).expect("answered").len() > 4);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        fs::set_permissions(&directory, mode).expect("our own");
        assert_eq!(answer_to(b"read\0", &files).expect("answered").len(), 4);
    }
}
