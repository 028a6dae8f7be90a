//! The open file, and the bounds of what a query may do.
//!
//! SQLite asks the authorizer about everything a statement would do while it compiles it: other
//! files (ATTACH, VACUUM), settings, virtual and temporary tables and transactions are refused
//! there. Sizes are SQLite's own limits, time is watched while the statement runs.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rpcplugin::{Error, is_wanted};
use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::types::Value;
use rusqlite::{Batch, Connection, ErrorCode, OpenFlags, OptionalExtension, Statement};

use crate::clock::{self, Clock};
use crate::functions;
use crate::limits;
use crate::rows::{Names, Rows};
use crate::settings::Settings;
use crate::values::Values;
use crate::writers::Turn;

/// Pause between two tries to lock a file that another program has locked.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Functions that load code or hand out its addresses, if they are built in.
const FUNCTIONS_REFUSED: [&str; 2] = ["load_extension", "fts3_tokenizer"];

/// The file.
pub(crate) struct Database {
    sqlite: Connection,
    /// The statement being compiled is ours, not the client's.
    ours: Arc<AtomicBool>,
    clock: Clock,
}

/// Why the SQL of a request did not run to its end.
enum Stop {
    /// It would write, and was only to read.
    Writes,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl Database {
    /// Opens the file, and makes it if it is missing.
    pub(crate) fn open(settings: &Settings) -> Result<Database, Error> {
        let file = &settings.file;
        let named = |error: &dyn std::fmt::Display| {
            Error::cannot(&format!("cannot open {}", file.display()), error)
        };
        let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if settings.read_only {
            flags |= OpenFlags::SQLITE_OPEN_READ_ONLY;
        } else {
            make(file).map_err(|error| named(&error))?;
            flags |= OpenFlags::SQLITE_OPEN_READ_WRITE;
        }
        // An absolute path, since SQLite gives some names a meaning (":memory:").
        let path = std::path::absolute(file).map_err(|error| named(&error))?;
        let open = || {
            let sqlite = Connection::open_with_flags(path, flags)?;
            let clock = Clock::new(limits::TIME);
            let ours = restrict(&sqlite, settings.max, &clock)?;
            Ok(Database {
                sqlite,
                ours,
                clock,
            })
        };
        open().map_err(|error: rusqlite::Error| named(&error))
    }

    /// Runs the client's SQL, one or several statements: all of it takes effect or nothing.
    pub(crate) fn run(&self, sql: &str, values: &Values) -> Result<Rows, Error> {
        let stopped = match self.transaction("BEGIN", sql, values) {
            // All again, so that no other writes between what this one reads and writes.
            Err(Stop::Writes) => {
                let _turn = Turn::wait()?;
                self.transaction("BEGIN IMMEDIATE", sql, values)
            }
            other => other,
        };
        stopped.map_err(|stop| match stop {
            Stop::Failed(error) => error,
            Stop::Writes => Error::internal("a transaction that writes was only to read"),
        })
    }

    /// Runs SQL of ours that reads.
    pub(crate) fn read(&self, sql: &str, values: &[Value]) -> Result<Rows, Error> {
        let _request = self.begin();
        self.as_ours(|sqlite| {
            let mut rows = Rows::default();
            let statement = sqlite.prepare(sql).map_err(|error| failed(&error))?;
            step(statement, &Values::Positional(values.to_vec()), &mut rows)?;
            Ok(rows)
        })
    }

    /// The name of a table or view as the schema has it.
    pub(crate) fn find_table(&self, name: &str) -> Result<Option<String>, Error> {
        let _request = self.begin();
        let query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name = ?1";
        self.as_ours(|sqlite| {
            let found = sqlite.query_row(query, [name], |row| row.get(0));
            found.optional().map_err(|error| failed(&error))
        })
    }

    fn transaction(&self, begin: &str, sql: &str, values: &Values) -> Result<Rows, Stop> {
        let _request = self.begin();
        let run = || {
            if !self.sqlite.is_autocommit() {
                // An earlier rollback may have failed for lack of memory.
                self.our_statement("ROLLBACK")?;
            }
            self.our_statement(begin)?;
            // The wait for others is not the client's.
            self.clock.start();
            let rows = self.run_all(sql, values, begin == "BEGIN")?;
            self.our_statement("COMMIT")?;
            Ok(rows)
        };
        run().inspect_err(|_| {
            // Fails if there is no transaction (any more): then all is well.
            let _ = self.our_statement("ROLLBACK");
        })
    }

    fn run_all(&self, sql: &str, values: &Values, only_reads: bool) -> Result<Rows, Stop> {
        let mut rows = Rows::default();
        let mut batch = Batch::new(&self.sqlite, sql);
        while let Some(statement) = batch.next().map_err(|error| failed(&error))? {
            if only_reads && !statement.readonly() {
                return Err(Stop::Writes);
            }
            step(statement, values, &mut rows)?;
        }
        Ok(rows)
    }

    fn our_statement(&self, sql: &str) -> Result<(), Error> {
        self.as_ours(|sqlite| sqlite.execute_batch(sql).map_err(|error| failed(&error)))
    }

    /// What `act` compiles is ours, and may do more.
    fn as_ours<T>(&self, act: impl FnOnce(&Connection) -> T) -> T {
        self.ours.store(true, Ordering::Relaxed);
        let done = act(&self.sqlite);
        self.ours.store(false, Ordering::Relaxed);
        done
    }

    fn begin(&self) -> Request<'_> {
        self.clock.start();
        let clock = self.clock.clone();
        self.sqlite
            .progress_handler(limits::STEPS, Some(move || clock.is_over()));
        Request(self)
    }
}

/// The time of one request. Dropping it gives SQLite's memory back.
struct Request<'a>(&'a Database);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.0.sqlite.progress_handler(0, None::<fn() -> bool>);
        // If it fails, the cache stays until the next request.
        let _ = self.0.sqlite.release_memory();
    }
}

/// Makes a missing file, which only its owner may read.
fn make(file: &Path) -> std::io::Result<()> {
    let made = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Sets the bounds; from here on clients' SQL may run.
fn restrict(sqlite: &Connection, max: u32, clock: &Clock) -> rusqlite::Result<Arc<AtomicBool>> {
    sqlite.busy_handler(Some(wait_for_lock))?;
    sqlite.execute_batch(limits::MEMORY)?;
    functions::replace_slow(sqlite, clock)?;
    // No writing to the tables SQLite itself relies on.
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    for (limit, value) in limits::SQLITE {
        sqlite.set_limit(limit, value)?;
    }
    // Reads the file: what is no database is found out now.
    sqlite.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(()))?;
    let page: u32 = sqlite.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let pages = u64::from(max) * 1024 * 1024 / u64::from(page.max(512));
    sqlite.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    let ours = Arc::new(AtomicBool::new(false));
    let allowed = Arc::clone(&ours);
    sqlite.authorizer(Some(move |context: AuthContext<'_>| {
        authorize(&context, allowed.load(Ordering::Relaxed))
    }));
    Ok(ours)
}

/// Waits for a lock that another has, `tries` times so far; whether to try again.
fn wait_for_lock(tries: i32) -> bool {
    let waited = LOCK_PAUSE.saturating_mul(tries.unsigned_abs());
    if waited >= limits::LOCK_TIME || !is_wanted() {
        return false;
    }
    std::thread::sleep(LOCK_PAUSE);
    true
}

/// Whether a statement may do this.
fn authorize(context: &AuthContext<'_>, ours: bool) -> Authorization {
    let allowed = match context.action {
        AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::CreateVtable { .. }
        | AuthAction::DropVtable { .. }
        | AuthAction::Unknown { .. } => false,
        // Temporary tables would stay in memory until their client leaves.
        AuthAction::Insert { .. } => context.database_name != Some("temp"),
        AuthAction::Transaction { .. } | AuthAction::Savepoint { .. } => ours,
        AuthAction::Pragma { pragma_name, .. } => pragma_name.eq_ignore_ascii_case("table_info"),
        AuthAction::Function { function_name } => !FUNCTIONS_REFUSED
            .iter()
            .any(|refused| refused.eq_ignore_ascii_case(function_name)),
        _ => true,
    };
    if allowed {
        Authorization::Allow
    } else {
        Authorization::Deny
    }
}

/// Runs one statement and collects its rows.
fn step(mut statement: Statement<'_>, values: &Values, rows: &mut Rows) -> Result<(), Error> {
    values.bind(&mut statement)?;
    let names = Names::of(statement.column_names());
    let mut cursor = statement.raw_query();
    while let Some(row) = cursor.next().map_err(|error| failed(&error))? {
        rows.push(row, &names)?;
    }
    Ok(())
}

/// What SQLite says, as the answer.
fn failed(error: &rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(cause, _)
            if cause.code == ErrorCode::OperationInterrupted =>
        {
            Error::failure(clock::OVER)
        }
        // Without the SQL itself, which the client knows. (The system's SQLite may be too old to
        // tell them apart.)
        #[cfg(feature = "bundled")]
        rusqlite::Error::SqlInputError { msg, .. } => Error::failure(shorten(msg)),
        other => Error::failure(shorten(&other.to_string())),
    }
}

/// The start of a message, if it is long.
pub(crate) fn shorten(message: &str) -> String {
    match message.char_indices().nth(limits::MESSAGE) {
        Some((end, _)) => format!("{}...", &message[..end]),
        None => message.to_string(),
    }
}
