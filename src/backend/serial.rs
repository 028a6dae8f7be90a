//! Opening: a serial line, raw and at its speed (termios(3)).

use std::io;
use std::os::fd::AsFd;

use nix::sys::termios::{self, BaudRate, ControlFlags, SetArg};

/// Makes a line raw and sets its speed, unless that is 0. Another device stays as it is.
///
/// # Errors
/// `InvalidInput` for a speed that no line has; as tcsetattr(3).
pub(crate) fn set_up(line: impl AsFd, baud: u32) -> io::Result<()> {
    let Ok(mut settings) = termios::tcgetattr(&line) else {
        return Ok(());
    };
    termios::cfmakeraw(&mut settings);
    settings.control_flags |= ControlFlags::CLOCAL | ControlFlags::CREAD;
    if baud != 0 {
        let speed = baud_rate(baud).ok_or(io::ErrorKind::InvalidInput)?;
        termios::cfsetspeed(&mut settings, speed)?;
    }
    Ok(termios::tcsetattr(&line, SetArg::TCSANOW, &settings)?)
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

#[cfg(test)]
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
        set_up(&pty.slave, 1_500_000).expect("a speed");
        assert_eq!(speed(), BaudRate::B1500000);
        let error = set_up(&pty.slave, 9601).expect_err("no speed");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        set_up(&pty.slave, 0).expect("a terminal");
        assert_eq!(speed(), BaudRate::B1500000);
    }
}
