//! Running: what signals do to a program that is about to begin.

use nix::sys::signal::{SigHandler, Signal, signal};

/// What keys of a terminal and its end send (termios(3), tty(4)).
const OF_TERMINALS: [Signal; 6] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// Lets the signals of a terminal do what they usually do. A shell script that starts the server
/// with `&` has SIGINT and SIGQUIT ignored; a program would inherit that, and a shell could not even
/// change it (POSIX, sh, trap).
///
/// # Errors
/// As sigaction(2).
pub(crate) fn reset() -> nix::Result<()> {
    for number in OF_TERMINALS {
        // SAFETY: the usual effect is set, and no function of ours that a signal could interrupt.
        unsafe { signal(number, SigHandler::SigDfl) }?;
    }
    Ok(())
}
