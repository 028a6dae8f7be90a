//! Where a program is that the gateway connects to, as plain data.

use std::path::PathBuf;
#[cfg(feature = "exec")]
use std::sync::Arc;

/// Where a backend is, or a program that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A UNIX socket, stream or SEQPACKET.
    Unix(PathBuf),
    /// A TCP server: host and port.
    Tcp(String, u16),
    /// A serial line or another character device.
    Tty(PathBuf, SerialConfig),
    /// A named pipe that is written, or read where it has only a writer.
    Fifo(PathBuf),
    /// Named pipes: one that is held open and read, and one that is written, if there is one.
    Fifos {
        /// The one that is read.
        source: PathBuf,
        /// The one that is written.
        destination: Option<PathBuf>,
    },
    /// The built-in service that tells what the daemon does, as JSON; no connection is made.
    Status,
    /// A program, run for each client.
    #[cfg(feature = "exec")]
    Exec(Arc<ExecConfig>),
}

/// A program that is run for each client.
#[cfg(feature = "exec")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecConfig {
    /// Its absolute path (`destination`).
    pub program: PathBuf,
    /// Its arguments (`arguments`).
    pub arguments: Vec<String>,
    /// Its working directory; `None` is that of the daemon (`directory`).
    pub directory: Option<PathBuf>,
    /// Most runs of it at a time (`maxprocesses`).
    pub max_processes: usize,
}

/// How a serial line is set up: raw, and with these settings (termios(3)). A device that is not a
/// terminal has none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialConfig {
    /// Speed, in baud; 0 leaves it as it is (`baud`).
    pub baud: u32,
    /// Bits of a character: 5 to 8 (`databits`).
    pub data_bits: u8,
    /// The parity bit of a character (`parity`).
    pub parity: Parity,
    /// Stop bits of a character: 1 or 2 (`stopbits`).
    pub stop_bits: u8,
    /// How a slow reader stops the writer (`flow`).
    pub flow: Flow,
    /// Whether the line hangs up when it is closed (`hangup`).
    pub hang_up: HangUp,
    /// Other programs cannot open the line (`exclusive`).
    pub exclusive: bool,
}

impl Default for SerialConfig {
    /// 8N1 without flow control, at the speed that the line has: what a device beneath `docroot`
    /// gets.
    fn default() -> Self {
        Self {
            baud: 0,
            data_bits: 8,
            parity: Parity::None,
            stop_bits: 1,
            flow: Flow::None,
            hang_up: HangUp::AsItIs,
            exclusive: false,
        }
    }
}

/// The parity bit of a character on a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// There is none.
    None,
    /// It makes the number of ones even.
    Even,
    /// It makes the number of ones odd.
    Odd,
}

/// Flow control of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// There is none.
    None,
    /// By the lines RTS and CTS.
    Hardware,
    /// By the characters XON and XOFF, which the data then cannot contain.
    Software,
}

/// Whether a serial line hangs up, by the line DTR, when the last program closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangUp {
    /// As the line is set.
    AsItIs,
    /// It does.
    Yes,
    /// It does not.
    No,
}
