//! Files of `auth` that only root reads, and a reload by a daemon that has become somebody else.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::daemon::Home;
use crate::gateway::{NO_DETACHING, is_emulated};
use crate::http::Response;
use crate::process::{DEADLINE, is_root, wait_until};

/// "guest:guest" and "other:other" in base64.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";
const OTHER: &str = "b3RoZXI6b3RoZXI=";

/// Whether guest and the other one come in.
fn come_in(home: &Home) -> (bool, bool) {
    (comes_in(home, GUEST), comes_in(home, OTHER))
}

fn comes_in(home: &Home, credentials: &str) -> bool {
    let mut stream = TcpStream::connect(home.address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let status = Response::read_head(&mut stream).expect("an answer").status;
    assert!(matches!(status, 401 | 426), "{status}");
    status == 426
}

/// Writes a file that only root reads.
fn write(home: &Home, name: &str, text: &str) {
    fs::write(home.path("new"), text).unwrap();
    fs::set_permissions(home.path("new"), Permissions::from_mode(0o600)).unwrap();
    fs::rename(home.path("new"), home.path(name)).unwrap();
}

fn reload(home: &Home, wanted: &str) {
    let before = home.read("log").matches(wanted).count();
    let pid = home.read("pid").trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
    wait_until(wanted, || home.read("log").matches(wanted).count() > before);
}

#[test]
fn users_that_only_root_reads_are_read_again_for_a_user_who_may_not() {
    if is_emulated(NO_DETACHING) || !is_root() {
        return;
    }
    let home = Home::new("user = \"nobody\";");
    let auth = |file: &str| {
        let path = home.path(file);
        format!(
            "servers = ( {{ auth = {{ type = \"Basic\"; file = \"{}\"; }};",
            path.display()
        )
    };
    let open = fs::read_to_string(home.path("conf")).unwrap();
    let conf = |file: &str| open.replace("servers = ( {", &auth(file));
    fs::write(home.path("conf"), conf("users")).unwrap();
    write(&home, "users", "guest:guest\n");
    write(&home, "others", "guest:guest\nother:other\n");
    let (code, errors) = home.run(&["-D"]);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(come_in(&home), (true, false));
    write(&home, "users", "other:other\n");
    reload(&home, "configuration read again");
    assert_eq!(come_in(&home), (false, true));
    // A file that the start did not name is nobody's to read: all stays as it was.
    fs::write(home.path("conf"), conf("others")).unwrap();
    reload(
        &home,
        "others, a file of auth: permission denied (whoever starts ouistiti",
    );
    assert_eq!(come_in(&home), (false, true));
}
