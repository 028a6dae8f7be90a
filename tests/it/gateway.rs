//! A gateway of one's own: a temporary directory, a configuration, the daemon.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::backend::Backend;
use crate::client::Client;
use crate::process::{DEADLINE, Process, TempDir};

/// A running gateway; it ends with the value.
pub(crate) struct Gateway {
    // Declared before the directory, so that the process ends first.
    pub(crate) process: Process,
    address: SocketAddr,
    directory: TempDir,
}

impl Gateway {
    /// Starts one with these settings in its `websocket` section.
    pub(crate) fn start(websocket: &str) -> Gateway {
        Gateway::with("", websocket)
    }

    /// Starts one with these settings in the server, and these in its `websocket` section. `DIR`
    /// stands for the temporary directory.
    pub(crate) fn with(server: &str, websocket: &str) -> Gateway {
        Gateway::run(&mut daemon(), free_address(), server, websocket)
    }

    /// The same, at this address and by this command, which takes the daemon's options.
    pub(crate) fn run(
        command: &mut Command,
        address: SocketAddr,
        server: &str,
        websocket: &str,
    ) -> Gateway {
        Gateway::run_with(command, address, "", server, websocket)
    }

    /// The same, with these settings at the top of the file.
    pub(crate) fn run_with(
        command: &mut Command,
        address: SocketAddr,
        top: &str,
        server: &str,
        websocket: &str,
    ) -> Gateway {
        let directory = TempDir::new();
        std::fs::create_dir(directory.path().join("run")).expect("a docroot");
        std::fs::create_dir(directory.path().join("www")).expect("a document root");
        let (ip, port) = (address.ip(), address.port());
        // Most clients here answer no ping, and a slow machine may take minutes for a test.
        let ping = match websocket.contains("ping = ") {
            true => "",
            false => "ping = 3600;",
        };
        let text = format!(
            "{top}servers = ( {{\n    addr = \"{ip}\";\n    port = {port};\n    {server}\n    \
             websocket = {{\n        docroot = \"DIR/run\";\n        {websocket} {ping}\n    }};\n}} );\n"
        );
        let text = text.replace("DIR", directory.path().to_str().expect("a UTF-8 path"));
        let text = with_few_threads(text);
        let file = directory.path().join("ouistiti.conf");
        std::fs::write(&file, text).expect("a configuration file");
        let process = Process::start(command.arg("-f").arg(&file));
        let wanted = address.to_string();
        if process.find_line(|line| line.contains(&wanted)).is_none() {
            panic!("the gateway ended at its start:\n{}", process.log());
        }
        Gateway {
            process,
            address,
            directory,
        }
    }

    /// Starts one with this configuration. `ADDRESS` stands for the address of this test, and `DIR`
    /// for the temporary directory, which has a directory `run` and a directory `www`.
    pub(crate) fn of_file(text: &str) -> Gateway {
        let address = free_address().to_string();
        Gateway::serving(&address, |directory| {
            let path = directory.to_str().expect("a UTF-8 path");
            let text = text.replace("DIR", path).replace("ADDRESS", &address);
            let text = with_few_threads(text);
            let file = directory.join("ouistiti.conf");
            std::fs::write(&file, text).expect("a configuration file");
            vec!["-f".to_owned(), file.display().to_string()]
        })
    }

    /// Starts one without a file: `-l` and its address, and these options. `DIR` stands for the
    /// temporary directory.
    pub(crate) fn one_line(options: &[&str]) -> Gateway {
        let address = free_address().to_string();
        Gateway::serving(&address, |directory| {
            let path = directory.to_str().expect("a UTF-8 path");
            let options = options.iter().map(|option| option.replace("DIR", path));
            ["-l".to_owned(), address.clone()]
                .into_iter()
                .chain(options)
                .collect()
        })
    }

    /// Starts one with the options that `options` makes for a temporary directory, and waits until
    /// it serves at this address.
    fn serving(address: &str, options: impl Fn(&Path) -> Vec<String>) -> Gateway {
        let directory = TempDir::new();
        for name in ["run", "www"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let process = Process::start(daemon().args(options(directory.path())));
        if process.find_line(|line| line.contains(address)).is_none() {
            panic!("the gateway ended at its start:\n{}", process.log());
        }
        Gateway {
            process,
            address: address.parse().expect("a socket address"),
            directory,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A path in its temporary directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A stream backend that serves `name`.
    pub(crate) fn backend(&self, name: &str) -> Backend {
        Backend::listen(&self.path("run").join(name))
    }

    /// A SEQPACKET backend that serves `name`.
    pub(crate) fn packet_backend(&self, name: &str) -> Backend {
        Backend::listen_packets(&self.path("run").join(name))
    }

    /// A bare TCP connection to it.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the gateway listens");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a timeout above zero");
        stream
            .set_write_timeout(Some(DEADLINE))
            .expect("a timeout above zero");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    }

    /// A client of the service `name`, past its handshake.
    pub(crate) fn open(&self, name: &str) -> Client {
        Client::open(self, name, "")
    }
}

/// The daemon's binary; or the words of `OUISTITI_GATEWAY`, an emulator and a binary for another
/// processor.
pub(crate) fn daemon() -> Command {
    let words = emulation().unwrap_or_default();
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or(env!("CARGO_BIN_EXE_ouistiti")));
    command.args(words).stdin(Stdio::null());
    command
}

/// Why -D is not tested in an emulator.
pub(crate) const NO_DETACHING: &str =
    "-D starts the daemon's own file, which this processor cannot run";

/// Whether the daemon runs in an emulator. If so, prints on the terminal that the rest of the test
/// is left out, and why.
pub(crate) fn is_emulated(why: &str) -> bool {
    let Some(_) = emulation() else { return false };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    // Written to the terminal itself: the output of a passing test is not shown.
    let _ = writeln!(std::io::stderr(), "unfit for emulation: {test}: {why}");
    true
}

fn emulation() -> Option<String> {
    std::env::var("OUISTITI_GATEWAY").ok()
}

/// An address nobody else uses: all of 127.0.0.0/8 is the loopback, so each gateway gets an address
/// of its own, and a port free there stays free.
pub(crate) fn free_address() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(1);
    // There are more gateways in a run than an octet has numbers.
    let [high, low] = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let run = (1 + std::process::id() % 250) as u8;
    let ip = Ipv4Addr::new(127, run, high, low);
    let listener = TcpListener::bind((IpAddr::V4(ip), 0)).expect("a loopback address");
    listener.local_addr().expect("a bound socket")
}

/// With FEW_THREADS in the environment, has each server that does not say otherwise park directions
/// after a second and copy with eight threads.
fn with_few_threads(text: String) -> String {
    let says = ["park = ", "maxthreads = "]
        .iter()
        .any(|key| text.contains(key));
    if says || std::env::var_os("FEW_THREADS").is_none() {
        return text;
    }
    text.replace("websocket = {", "maxthreads = 8; websocket = { park = 1;")
}
