//! What the tests share: the library built, servers started, the gateway's part played, and a
//! WebSocket client of bare frames.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// For every single wait. Generous, since the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(120);

const CRATE: &str = env!("CARGO_MANIFEST_DIR");
const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

/// Another kind of machine, by its GNU triplet, whose C servers and library run in an emulator here
/// (`tests/cross TARGET library`).
fn machine() -> Option<String> {
    std::env::var("OUISTITI_MACHINE").ok()
}

/// A program of that machine, to be run here.
fn emulated(command: &Command, machine: &str) -> Command {
    let processor = machine.split('-').next().unwrap_or(machine);
    let mut emulator = Command::new(format!("qemu-{processor}-static"));
    emulator
        .args(["-L", &format!("/usr/{machine}")])
        .arg(command.get_program())
        .args(command.get_args());
    emulator
}

/// libwebsocket.so, built once a test run; that of another machine is there already.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("OUISTITI_LIBRARY") {
            return path.into();
        }
        let target = Path::new(SCRATCH).join("so");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(format!("{CRATE}/so/Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .env_remove("CARGO_BUILD_TARGET")
            .status()
            .unwrap();
        assert!(status.success(), "libwebsocket.so does not build");
        // The name that a linked program asks for, as the packages have it.
        let linked = target.join("release/libwebsocket.so.0");
        let _ = fs::remove_file(&linked);
        std::os::unix::fs::symlink("libwebsocket.so", linked).unwrap();
        target.join("release/libwebsocket.so")
    })
}

/// An empty directory of its own for a test.
pub fn directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("lws-{}-{number}", std::process::id()));
    fs::create_dir(&path).unwrap();
    path
}

/// Compiles a C program; `source` is relative to the crate.
pub fn compile(source: &str, directory: &Path, extra: &[&str]) -> PathBuf {
    let program = directory.join(Path::new(source).file_stem().unwrap());
    let compiler = machine().map_or("cc".to_owned(), |machine| format!("{machine}-gcc"));
    let output = Command::new(compiler)
        .args([
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-D_FORTIFY_SOURCE=2",
            "-pthread",
            "-o",
        ])
        .arg(&program)
        .arg(format!("{CRATE}/{source}"))
        .args(extra)
        .output()
        .expect("cc is installed");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    program
}

/// A running server; ends with the test.
pub struct Server {
    child: Child,
    pub socket: PathBuf,
    directory: PathBuf,
}

impl Server {
    /// Starts what `command` makes of the socket's path, with the library preloaded if `preload`,
    /// and waits until it listens.
    pub fn start(preload: bool, command: impl FnOnce(&Path, &Path) -> Command) -> Server {
        let directory = directory();
        let socket = directory.join("s");
        let mut command = command(&directory, &socket);
        if let Some(machine) = machine() {
            command = emulated(&command, &machine);
        }
        if preload {
            command.env("LD_PRELOAD", library());
        }
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} (do the tests' setup first): {error}"));
        let mut server = Server {
            child,
            socket,
            directory,
        };
        let started = Instant::now();
        while let Err(error) = UnixStream::connect(&server.socket) {
            assert!(started.elapsed() < DEADLINE, "no server: {error}");
            assert!(
                server.child.try_wait().unwrap().is_none(),
                "the server ended"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// Does what the gateway does with a new client, and gives the client.
    pub fn client(&self) -> Client {
        self.client_over(&UnixStream::connect(&self.socket).unwrap())
    }

    /// The same over a connection to the server that is there already.
    pub fn client_over(&self, gateway: &UnixStream) -> Client {
        self.client_told_of(gateway, &[])
    }

    /// The same where the gateway says more than the address.
    pub fn client_told_of(&self, gateway: &UnixStream, told: &[u8]) -> Client {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        hand_over(&theirs, gateway, &stream, told);
        Client::new(stream)
    }

    /// A plain UNIX client.
    pub fn plain(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// True while the server runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until the server has closed every client.
    pub fn wait_until_idle(&self) {
        let started = Instant::now();
        while self.sockets() > 1 {
            assert!(
                started.elapsed() < DEADLINE,
                "the server keeps {} sockets",
                self.sockets()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the server has no child that runs.
    pub fn wait_until_childless(&self) {
        let pid = self.child.id();
        let children = || {
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
                .unwrap()
                .split_whitespace()
                .filter(|child| {
                    let stat = fs::read_to_string(format!("/proc/{child}/stat"));
                    stat.is_ok_and(|stat| !stat.contains(") Z "))
                })
                .count()
        };
        let started = Instant::now();
        while children() > 0 {
            assert!(started.elapsed() < DEADLINE, "the server keeps children");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many sockets the server has open, the listener's included.
    fn sockets(&self) -> usize {
        let is_socket = |path: PathBuf| {
            fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
        };
        let entries = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        entries
            .flatten()
            .filter(|entry| is_socket(entry.path()))
            .count()
    }

    /// What all its threads have taken of a processor (proc(5)).
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: u64 = fields[11..13]
            .iter()
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum();
        // A hundred a second on every Linux with a C library of today (sysconf(3)).
        Duration::from_millis(ticks * 10)
    }

    /// Asks the server to end, and waits; its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        let started = Instant::now();
        while started.elapsed() < DEADLINE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The gateway's one message: the client's address, what else it says, and the descriptor.
pub fn hand_over(theirs: &TcpStream, backend: &UnixStream, client: &TcpStream, told: &[u8]) {
    let mut address = [0; 16];
    let family = nix::libc::AF_INET as u16;
    address[..2].copy_from_slice(&match machine() {
        Some(machine) if machine.starts_with("mips-") => family.to_be_bytes(),
        _ => family.to_ne_bytes(),
    });
    address[2..4].copy_from_slice(&client.local_addr().unwrap().port().to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    let descriptors = [theirs.as_raw_fd()];
    let sent = sendmsg::<()>(
        backend.as_raw_fd(),
        &[IoSlice::new(&address), IoSlice::new(told)],
        &[ControlMessage::ScmRights(&descriptors)],
        MsgFlags::MSG_NOSIGNAL,
        None,
    );
    assert_eq!(sent, Ok(16 + told.len()));
}

/// The frame as a client sends it.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    frame
}

/// A WebSocket client after its handshake.
pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream }
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        let linger = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        nix::sys::socket::setsockopt(&self.stream, nix::sys::socket::sockopt::Linger, &linger)
            .unwrap();
    }

    pub fn send(&mut self, first: u8, payload: &[u8]) {
        self.raw(&masked(first, payload));
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next frame: its first byte and its payload.
    pub fn frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("a frame");
        assert_eq!(head[1] & 0x80, 0, "a server does not mask");
        let len = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.exact())),
            127 => u64::from_be_bytes(self.exact()),
            len => u64::from(len),
        };
        let mut payload = vec![0; len as usize];
        self.stream.read_exact(&mut payload).expect("its payload");
        (head[0], payload)
    }

    fn exact<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).expect("a whole header");
        bytes
    }

    /// The next whole message, its fragments joined: opcode and payload.
    pub fn message(&mut self) -> (u8, Vec<u8>) {
        let (first, mut all) = self.frame();
        let mut last = first;
        while last & 0x80 == 0 {
            let (kind, payload) = self.frame();
            assert_eq!(kind & 0x7f, 0, "a continuation");
            all.extend(payload);
            last = kind;
        }
        (first & 0x0f, all)
    }

    /// Payload of whole messages of this type, until there are `len` bytes.
    pub fn payload(&mut self, first: u8, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            let (kind, payload) = self.frame();
            assert_eq!(kind, first, "after {} bytes", all.len());
            all.extend(payload);
        }
        all
    }

    /// The server's Close, with its code, and then the end of the stream.
    pub fn closed(&mut self) -> Option<u16> {
        let (kind, payload) = self.frame();
        assert_eq!(kind, 0x88, "a Close is due, not {payload:?}");
        let code = payload
            .get(..2)
            .map(|code| u16::from_be_bytes([code[0], code[1]]));
        self.at_end();
        code
    }

    /// The end of the stream.
    pub fn at_end(&mut self) {
        assert_eq!(self.stream.read(&mut [0]).expect("an end, not a reset"), 0);
    }
}
