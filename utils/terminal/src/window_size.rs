//! Running: one call that neither std nor nix has in a safe form.
//!
//! The kernel keeps the size of a terminal's window for the programs in it, and tells them by
//! SIGWINCH when it changes (ioctl_tty(2)).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::pty::Winsize;

mod ioctl {
    use nix::libc::TIOCSWINSZ;
    use nix::pty::Winsize;

    nix::ioctl_write_ptr_bad!(
        /// Sets the window's size.
        set_window_size,
        TIOCSWINSZ,
        Winsize
    );
}

/// Sets the size of a terminal's window.
///
/// # Errors
/// When `terminal` is none.
pub(crate) fn set(terminal: impl AsFd, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel only reads the `Winsize`, which outlives the call; the descriptor is
    // open while it is borrowed.
    unsafe { ioctl::set_window_size(terminal.as_fd().as_raw_fd(), &size) }?;
    Ok(())
}
