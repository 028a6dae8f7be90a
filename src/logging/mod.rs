//! The daemon's log: what becomes a line, behind the `log` facade. Where lines go is `sink`'s.
//!
//! A line is one line whatever a client wrote into it, and one place in the code writes at most ten
//! a second; what comes beyond is counted, and the count said with the next line of any place. With
//! frame headers in the log nothing is left out.

pub(crate) mod sink;

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record, error};
use nix::unistd::Uid;

pub(crate) use crate::logging::sink::Destination;
use crate::logging::sink::Sink;
use common::Escaped;

/// Most lines of one cause in one `WINDOW`.
const MAX_LINES: u32 = 10;
/// Time over which lines are counted.
const WINDOW: Duration = Duration::from_secs(1);
/// Longest line, in bytes: RFC 3164, section 4.1, allows 1024 with its header.
const MAX_LENGTH: usize = 960;

/// The cause of lines that are not counted here.
const UNLIMITED: CallSite = ("unlimited", 0);

/// Name of this crate in the targets of its records.
const OURS: &str = "ouistiti";

/// A log that is open and not used yet.
pub(crate) struct Opened(Sink, LevelFilter);

impl Opened {
    /// Opens a log; a file is opened anew, so that it can be rotated, and becomes that of `owner`
    /// if it has to be made.
    ///
    /// # Errors
    /// As open(2) on the file. That syslog is not there is no error.
    pub(crate) fn new(
        destination: Destination,
        level: LevelFilter,
        owner: Option<Uid>,
    ) -> io::Result<Self> {
        Ok(Self(Sink::open(destination, owner)?, level))
    }

    /// Logs there from now on.
    ///
    /// Other crates are heard only at `Trace`: what they warn about is what clients do wrong.
    pub(crate) fn begin(self) {
        LOGGER.book().sink = self.0;
        // It fails where it has been set before, to the same.
        let _ = log::set_logger(&LOGGER);
        log::set_max_level(self.1);
    }
}

/// Logs a line of this cause: of those that share it, wherever in the code they come from, ten a
/// second are written.
pub(crate) fn info_of(cause: &'static str, line: fmt::Arguments<'_>) {
    let mut record = Record::builder();
    record.level(Level::Info).target(OURS).args(line);
    let record = record.module_path_static(Some(cause)).build();
    log::logger().log(&record);
}

/// Logs a line whose writer limits by itself how many there are.
#[cfg(feature = "exec")]
pub(crate) fn info_unlimited(line: fmt::Arguments<'_>) {
    info_of(UNLIMITED.0, line);
}

/// Has panics logged: a daemon's stderr is /dev/null.
pub(crate) fn tell_of_panics() {
    std::panic::set_hook(Box::new(|panic| error!("{panic}")));
}

static LOGGER: Logger = Logger(Mutex::new(Book {
    sink: Sink::Stderr(None),
    causes: Vec::new(),
    lost: 0,
}));

struct Logger(Mutex<Book>);

impl Logger {
    fn book(&self) -> MutexGuard<'_, Book> {
        // A panic in between leaves at worst a wrong count.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let max = log::max_level();
        metadata.level() <= max
            && (metadata.target().starts_with(OURS) || max == LevelFilter::Trace)
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let site = match log::max_level() {
                // An administrator who traces a client wants all of its lines, the last one above all.
                LevelFilter::Trace => UNLIMITED,
                _ => (
                    record.module_path_static().unwrap_or(""),
                    record.line().unwrap_or(0),
                ),
            };
            let text = one_line(&record.args().to_string());
            self.book().log(record.level(), site, text, Instant::now());
        }
    }

    /// Says the counts that are still to be said.
    fn flush(&self) {
        self.book().say_counts(Instant::now() + WINDOW);
    }
}

/// Escapes what is not one printable line, and cuts what is too long.
fn one_line(text: &str) -> String {
    let mut line = Escaped(text).to_string();
    if line.len() > MAX_LENGTH {
        let end = (0..=MAX_LENGTH).rev().find(|&at| line.is_char_boundary(at));
        line.truncate(end.unwrap_or_default());
        line.push_str(" ...");
    }
    line
}

/// Module and line in the source; a build for a router has no file names.
type CallSite = (&'static str, u32);

/// What one place in the code has said within the last `WINDOW`.
struct Cause {
    level: Level,
    site: CallSite,
    since: Instant,
    lines: u32,
    /// The last line that was not written.
    last: String,
}

struct Book {
    sink: Sink,
    /// At most one for each place that logs.
    causes: Vec<Cause>,
    /// Lines that the sink did not take.
    lost: u32,
}

impl Book {
    fn log(&mut self, level: Level, site: CallSite, text: String, now: Instant) {
        self.say_counts(now);
        if site == UNLIMITED {
            return self.write(level, &text);
        }
        let known = |cause: &&mut Cause| (cause.level, cause.site) == (level, site);
        match self.causes.iter_mut().find(known) {
            Some(cause) => {
                cause.lines = cause.lines.saturating_add(1);
                if cause.lines > MAX_LINES {
                    cause.last = text;
                } else {
                    self.write(level, &text);
                }
            }
            None => {
                self.causes.push(Cause {
                    level,
                    site,
                    since: now,
                    lines: 1,
                    last: String::new(),
                });
                self.write(level, &text);
            }
        }
    }

    /// Forgets the causes whose time is over, and says how many lines were not written.
    fn say_counts(&mut self, now: Instant) {
        let over = |cause: &mut Cause| now.saturating_duration_since(cause.since) >= WINDOW;
        let over: Vec<Cause> = self.causes.extract_if(.., over).collect();
        for cause in over.iter().filter(|cause| cause.lines > MAX_LINES) {
            let count = cause.lines - MAX_LINES;
            let text = format!("{count} more like this: {}", cause.last);
            self.write(cause.level, &text);
        }
    }

    fn write(&mut self, level: Level, text: &str) {
        if self.lost > 0 {
            let lost = format!("{} lines lost: the log did not take them", self.lost);
            if self.sink.write(Level::Warn, &lost).is_ok() {
                self.lost = 0;
            }
        }
        match self.sink.write(level, text) {
            Ok(()) => {}
            // A reader that is slow or a disk that is full.
            Err(_) => self.lost = self.lost.saturating_add(1),
        }
    }
}

/// A duration in the log. Whole numbers: what shows fractions would add a fiftieth to the program.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0.as_secs(), self.0.subsec_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::beneath::tests::Scratch;
    use std::fs;
    use std::path::PathBuf;

    fn book() -> (Scratch, PathBuf, Book) {
        let scratch = Scratch::new();
        let path = scratch.0.join("log");
        let sink = Sink::open(Destination::File(path.clone()), None).expect("it can be made");
        let (causes, lost) = (Vec::new(), 0);
        (scratch, path, Book { sink, causes, lost })
    }

    /// The lines of the file without their times.
    fn lines(path: &PathBuf) -> Vec<String> {
        let text = fs::read_to_string(path).expect("a log");
        let cut = |line: &str| line.split_once(' ').expect("a time").1.to_owned();
        text.lines().map(cut).collect()
    }

    #[test]
    fn ten_lines_of_a_cause_are_written_and_the_others_counted() {
        let (_scratch, path, mut book) = book();
        let now = Instant::now();
        for number in 0..25 {
            book.log(Level::Info, ("a.rs", 1), format!("a {number}"), now);
        }
        book.log(Level::Info, ("a.rs", 2), "b".into(), now);
        assert_eq!(lines(&path).len(), 11);
        book.log(Level::Warn, ("a.rs", 1), "c".into(), now + WINDOW);
        assert_eq!(
            lines(&path)[9..],
            [
                "info a 9",
                "info b",
                "info 15 more like this: a 24",
                "warning c"
            ]
        );
        assert_eq!(book.causes.len(), 1, "what is over is forgotten");
    }

    #[test]
    fn the_next_second_has_ten_lines_again() {
        let (_scratch, path, mut book) = book();
        let start = Instant::now();
        for second in 0..3 {
            for _ in 0..10 {
                book.log(
                    Level::Debug,
                    ("a.rs", 1),
                    "a".into(),
                    start + WINDOW * second,
                );
            }
        }
        assert_eq!(lines(&path).len(), 30);
    }

    #[test]
    fn lines_without_a_limit_are_not_counted() {
        let (_scratch, path, mut book) = book();
        for _ in 0..100 {
            book.log(Level::Info, UNLIMITED, "a".into(), Instant::now());
        }
        assert_eq!(lines(&path).len(), 100);
    }

    #[test]
    fn a_line_is_one_line_and_not_endless() {
        assert_eq!(one_line("a\nb\u{1b}[m"), "a\\u{a}b\\u{1b}[m");
        let long = one_line(&"é".repeat(5000));
        assert!(long.len() <= MAX_LENGTH + 4, "{}", long.len());
        assert!(long.ends_with("é ..."));
    }

    #[test]
    fn a_million_hostile_lines_stay_one_line_each() {
        const COUNT: usize = 1_000_000;
        let hostile = [
            "\n",
            "\r\n<0>forged",
            "\u{1b}[2J",
            "\u{85}",
            "\u{2028}",
            "\u{202e}",
            "\0",
        ];
        let (_scratch, path, mut book) = book();
        for number in 0..COUNT {
            let text = hostile[number % hostile.len()].repeat(1 + number % 7);
            let line = one_line(&format!("a{text}{number}"));
            book.log(Level::Trace, UNLIMITED, line, Instant::now());
        }
        let text = fs::read_to_string(&path).expect("a log");
        assert_eq!(text.lines().count(), COUNT);
        let is_bad = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
        assert!(!text.lines().any(|line| line.contains(is_bad)));
    }

    #[test]
    fn lost_lines_are_counted_and_said() {
        let (scratch, path, mut book) = book();
        let full = Sink::open(Destination::File("/dev/full".into()), None).expect("Linux has it");
        let sink = std::mem::replace(&mut book.sink, full);
        for line in 0..3 {
            book.log(Level::Info, ("a.rs", line), "a".into(), Instant::now());
        }
        book.sink = sink;
        book.log(Level::Info, ("a.rs", 4), "b".into(), Instant::now());
        assert_eq!(
            lines(&path),
            ["warning 3 lines lost: the log did not take them", "info b"]
        );
        drop(scratch);
    }

    #[test]
    fn the_facade_writes_to_a_file_and_changes_it() {
        let scratch = Scratch::new();
        for name in ["one", "two"] {
            let path = scratch.0.join(name);
            let destination = Destination::File(path.clone());
            let opened = Opened::new(destination, LevelFilter::Info, None);
            opened.expect("it can be made").begin();
            log::info!("{name}");
            log::debug!("not wanted");
            log::warn!(target: "rustls", "not ours");
            // Other tests may log at the same time.
            let lines = lines(&path);
            assert!(lines.contains(&format!("info {name}")), "{lines:?}");
            assert!(!lines.iter().any(|line| line.contains("not ")), "{lines:?}");
        }
        let destination = Destination::File(scratch.0.join("no/such/directory"));
        assert!(Opened::new(destination, LevelFilter::Info, None).is_err());
        let opened = Opened::new(Destination::Stderr, LevelFilter::Off, None);
        opened.expect("always").begin();
    }
}
