//! A line as the system's log daemon reads it on its socket (RFC 3164, section 4.1).

use core::fmt::{self, Display, Formatter};

/// Facility "daemon" (RFC 3164, section 4.1.1).
const DAEMON: u8 = 3;

/// Priority, program, process and text. The time is left to the log daemon, which knows the local
/// one.
#[derive(Clone, Copy, Debug)]
pub struct SyslogLine<'a, T> {
    /// How much it matters: 3 error, 4 warning, 5 notice, 6 information, 7 debugging.
    pub severity: u8,
    /// The program's name.
    pub program: &'a str,
    /// The process id.
    pub pid: u32,
    /// One line; the caller has escaped what others put into it.
    pub text: T,
}

impl<T: Display> Display for SyslogLine<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            severity,
            program,
            pid,
            text,
        } = self;
        let priority = DAEMON * 8 + severity;
        write!(f, "<{priority}>{program}[{pid}]: {text}")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::string::ToString;

    #[test]
    fn a_line_has_the_number_of_its_severity_among_those_of_daemons() {
        let line = SyslogLine {
            severity: 4,
            program: "ouistiti",
            pid: 7,
            text: "gone",
        };
        assert_eq!(line.to_string(), "<28>ouistiti[7]: gone");
    }
}
