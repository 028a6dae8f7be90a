//! Opening: a serial line, raw and at its speed (termios(3)).

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::termios::{self, BaudRate, ControlFlags, InputFlags, SetArg, Termios};
use rustix::termios::{ioctl_tiocexcl, ioctl_tiocnxcl};

use crate::config::{Flow, HangUp, Parity, SerialConfig};

/// A line that other programs cannot open, for as long as this value lives, or the one of the
/// process that it went over to.
#[derive(Debug)]
pub(super) struct Exclusive {
    line: File,
    is_left: AtomicBool,
}

impl Exclusive {
    /// Takes a line. The kernel then refuses whoever opens it without privileges (TIOCEXCL,
    /// ioctl_tty(2)); terminal programs of root look at its lock (flock(2)).
    ///
    /// # Errors
    /// `ResourceBusy` if another program has the lock; as dup(2).
    pub(super) fn take(line: impl AsFd) -> io::Result<Self> {
        let file = File::from(line.as_fd().try_clone_to_owned()?);
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Errno::EBUSY.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        ioctl_tiocexcl(&file)?;
        Ok(Self {
            line: file,
            is_left: AtomicBool::new(false),
        })
    }

    /// Leaves the mark and the lock to the process that has the open file too.
    #[cfg(feature = "share")]
    pub(super) fn leave(&self) {
        self.is_left.store(true, Ordering::Release);
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        if !self.is_left.load(Ordering::Acquire) {
            // The mark would stay if another program has the line open.
            let _ = ioctl_tiocnxcl(&self.line);
        }
    }
}

/// Makes a line raw and sets what `config` says of it. Another device stays as it is, and false is
/// returned.
///
/// # Errors
/// `InvalidInput` for a speed that no line has; as tcsetattr(3).
pub(super) fn set_up(line: impl AsFd, config: &SerialConfig) -> io::Result<bool> {
    let Ok(mut settings) = termios::tcgetattr(&line) else {
        return Ok(false);
    };
    termios::cfmakeraw(&mut settings);
    set_character(&mut settings, config);
    if config.baud != 0 {
        let speed = baud_rate(config.baud).ok_or(io::ErrorKind::InvalidInput)?;
        termios::cfsetspeed(&mut settings, speed)?;
    }
    termios::tcsetattr(&line, SetArg::TCSANOW, &settings)?;
    Ok(true)
}

/// Sets how a character goes over the line, and how the line says that its reader is slow.
fn set_character(settings: &mut Termios, config: &SerialConfig) {
    let size = match config.data_bits {
        5 => ControlFlags::CS5,
        6 => ControlFlags::CS6,
        7 => ControlFlags::CS7,
        _ => ControlFlags::CS8,
    };
    let control = &mut settings.control_flags;
    control.remove(ControlFlags::CSIZE);
    control.insert(size | ControlFlags::CLOCAL | ControlFlags::CREAD);
    control.set(ControlFlags::PARENB, config.parity != Parity::None);
    control.set(ControlFlags::PARODD, config.parity == Parity::Odd);
    control.set(ControlFlags::CSTOPB, config.stop_bits == 2);
    control.set(ControlFlags::CRTSCTS, config.flow == Flow::Hardware);
    match config.hang_up {
        HangUp::AsItIs => {}
        HangUp::Yes => control.insert(ControlFlags::HUPCL),
        HangUp::No => control.remove(ControlFlags::HUPCL),
    }
    let software = InputFlags::IXON | InputFlags::IXOFF;
    settings
        .input_flags
        .set(software, config.flow == Flow::Software);
}

/// The speed of a serial line; each of those that the configuration takes.
fn baud_rate(baud: u32) -> Option<BaudRate> {
    Some(match baud {
        50 => BaudRate::B50,
        75 => BaudRate::B75,
        110 => BaudRate::B110,
        134 => BaudRate::B134,
        150 => BaudRate::B150,
        200 => BaudRate::B200,
        300 => BaudRate::B300,
        600 => BaudRate::B600,
        1200 => BaudRate::B1200,
        1800 => BaudRate::B1800,
        2400 => BaudRate::B2400,
        4800 => BaudRate::B4800,
        9600 => BaudRate::B9600,
        19200 => BaudRate::B19200,
        38400 => BaudRate::B38400,
        57600 => BaudRate::B57600,
        115_200 => BaudRate::B115200,
        230_400 => BaudRate::B230400,
        460_800 => BaudRate::B460800,
        500_000 => BaudRate::B500000,
        576_000 => BaudRate::B576000,
        921_600 => BaudRate::B921600,
        1_000_000 => BaudRate::B1000000,
        1_152_000 => BaudRate::B1152000,
        1_500_000 => BaudRate::B1500000,
        2_000_000 => BaudRate::B2000000,
        2_500_000 => BaudRate::B2500000,
        3_000_000 => BaudRate::B3000000,
        3_500_000 => BaudRate::B3500000,
        4_000_000 => BaudRate::B4000000,
        _ => return None,
    })
}

#[cfg(all(test, feature = "websocket"))]
mod tests {
    use super::*;
    use crate::config::BAUDS;
    use nix::pty::openpty;

    #[test]
    fn every_speed_of_the_configuration_is_one_of_the_line() {
        for baud in BAUDS.map(|baud| u32::try_from(baud).expect("none below 0")) {
            assert_eq!(baud_rate(baud).is_some(), baud != 0, "{baud}");
        }
    }

    #[test]
    fn a_speed_that_a_line_cannot_have_is_refused_and_0_leaves_it_as_it_was() {
        let pty = openpty(None, None).expect("a terminal");
        let speed = || termios::cfgetospeed(&termios::tcgetattr(&pty.master).expect("a terminal"));
        let at = |baud| SerialConfig {
            baud,
            ..SerialConfig::default()
        };
        set_up(&pty.slave, &at(1_500_000)).expect("a speed");
        assert_eq!(speed(), BaudRate::B1500000);
        let error = set_up(&pty.slave, &at(9601)).expect_err("no speed");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        set_up(&pty.slave, &at(0)).expect("a terminal");
        assert_eq!(speed(), BaudRate::B1500000);
    }

    #[test]
    fn a_line_has_the_bits_the_parity_and_the_flow_control_of_its_link() {
        let pty = openpty(None, None).expect("a terminal");
        let config = SerialConfig {
            baud: 9600,
            data_bits: 7,
            parity: Parity::Odd,
            stop_bits: 2,
            flow: Flow::Software,
            hang_up: HangUp::No,
            exclusive: false,
        };
        let mut settings = termios::tcgetattr(&pty.slave).expect("a terminal");
        termios::cfmakeraw(&mut settings);
        set_character(&mut settings, &config);
        let control = settings.control_flags;
        assert_eq!(control & ControlFlags::CSIZE, ControlFlags::CS7);
        let wanted = ControlFlags::PARENB | ControlFlags::PARODD | ControlFlags::CSTOPB;
        assert!(control.contains(wanted) && !control.contains(ControlFlags::CRTSCTS));
        assert!(
            settings
                .input_flags
                .contains(InputFlags::IXON | InputFlags::IXOFF)
        );
        assert!(!control.contains(ControlFlags::HUPCL));
        let hang_up = |hang_up| SerialConfig {
            hang_up,
            ..SerialConfig::default()
        };
        set_character(&mut settings, &hang_up(HangUp::AsItIs));
        assert!(!settings.control_flags.contains(ControlFlags::HUPCL));
        set_character(&mut settings, &hang_up(HangUp::Yes));
        assert!(settings.control_flags.contains(ControlFlags::HUPCL));
        set_character(&mut settings, &SerialConfig::default());
        assert!(settings.control_flags.contains(ControlFlags::HUPCL));
        let control = settings.control_flags;
        assert_eq!(control & ControlFlags::CSIZE, ControlFlags::CS8);
        assert!(!control.intersects(wanted));
        assert!(
            !settings
                .input_flags
                .intersects(InputFlags::IXON | InputFlags::IXOFF)
        );
        // A terminal of no hardware takes what it can.
        set_up(&pty.slave, &config).expect("a terminal");
    }
}
