//! Running: what a program writes to standard error, line by line into the log.

use std::time::{Duration, Instant};

use crate::logging;

/// Most lines of one program in one `WINDOW`.
const MAX_LINES: u32 = 10;
/// Time over which lines are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// Longest line, in bytes. A longer one is cut into several.
const MAX_LINE: usize = 512;

/// The lines of one program.
pub(super) struct Lines {
    /// The client and the program, as in the log.
    name: String,
    /// A line that has not ended yet.
    begun: Vec<u8>,
    since: Instant,
    count: u32,
}

impl Lines {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            begun: Vec::new(),
            since: Instant::now(),
            count: 0,
        }
    }

    /// Logs the lines that end in `bytes`, within the limit of lines a second.
    pub(super) fn feed(&mut self, bytes: &[u8], now: Instant) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = match part.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (part, false),
            };
            for piece in text.chunks(MAX_LINE) {
                if self.begun.len() + piece.len() > MAX_LINE {
                    self.tell(now);
                }
                self.begun.extend(piece);
            }
            if is_whole {
                self.tell(now);
            }
        }
    }

    /// Logs what is left at the end.
    pub(super) fn finish(&mut self, now: Instant) {
        if !self.begun.is_empty() {
            self.tell(now);
        }
        self.tell_dropped();
    }

    fn tell(&mut self, now: Instant) {
        if now.saturating_duration_since(self.since) >= WINDOW {
            self.tell_dropped();
            (self.since, self.count) = (now, 0);
        }
        // Nothing is kept while nothing is begun: most programs are silent.
        let line = std::mem::take(&mut self.begun);
        self.count = self.count.saturating_add(1);
        if self.count <= MAX_LINES {
            let (name, text) = (&self.name, String::from_utf8_lossy(&line));
            logging::info_unlimited(format_args!("{name}: {}", text.trim_end()));
        }
    }

    fn tell_dropped(&mut self) {
        let dropped = self.count.saturating_sub(MAX_LINES);
        if dropped > 0 {
            let name = &self.name;
            logging::info_unlimited(format_args!(
                "{name}: {dropped} more lines within a second, left out"
            ));
        }
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_come_in_pieces_and_a_long_one_is_cut() {
        let mut lines = Lines::new("x".to_owned());
        let now = Instant::now();
        lines.feed(b"one\ntw", now);
        assert_eq!((lines.count, &lines.begun[..]), (1, &b"tw"[..]));
        lines.feed(b"o\n", now);
        assert_eq!((lines.count, lines.begun.capacity()), (2, 0));
        lines.feed(&[b'a'; 3 * MAX_LINE + 1], now);
        assert_eq!((lines.count, lines.begun.len()), (5, 1));
        lines.finish(now);
        assert_eq!((lines.count, lines.begun.len()), (0, 0));
    }

    #[test]
    fn lines_are_counted_anew_each_second() {
        let mut lines = Lines::new("x".to_owned());
        let now = Instant::now();
        for _ in 0..100 {
            lines.feed(b"a\n", now);
        }
        assert_eq!(lines.count, 100);
        lines.feed(b"a\n", now + WINDOW);
        assert_eq!(lines.count, 1);
    }
}
