//! The open file, and the bounds of what a query may do.
//!
//! SQLite asks the authorizer about everything a statement would do while it
//! compiles it: other files (ATTACH, VACUUM), settings, virtual and temporary
//! tables and transactions are refused there. Sizes are SQLite's own limits,
//! time is watched while the statement runs.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rpcplugin::Error;
use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::Value;
use rusqlite::{Batch, Connection, ErrorCode, OpenFlags, Statement};

use crate::clock::{self, Clock};
use crate::functions;
use crate::values::{Row, Rows, Values};

/// Longest run of one request's SQL.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// Most rows of one answer.
pub(crate) const MAX_ROWS: usize = 10_000;
/// Longest answer, counted roughly, in bytes.
const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Longest wait for another program that has locked the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 100;
/// Longest text or blob, in bytes.
pub(crate) const MAX_LENGTH: usize = 1024 * 1024;

/// SQLite's limits (sqlite3_limit). The clock is not looked at within a
/// function, nor before a program jumps back: so that neither takes too long,
/// values, their number and programs are short (an INSERT of 3000 rows of ten
/// columns is not too long).
const LIMITS: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, MAX_LENGTH as i32),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 1024 * 1024),
    (Limit::SQLITE_LIMIT_COLUMN, 200),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 50),
    (Limit::SQLITE_LIMIT_VDBE_OP, 50_000),
    (Limit::SQLITE_LIMIT_FUNCTION_ARG, 100),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 10),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Functions that load code or hand out its addresses, if they are built in.
const FUNCTIONS_REFUSED: [&str; 2] = ["load_extension", "fts3_tokenizer"];

/// Memory: what a query sorts or remembers would otherwise go to temporary
/// files, which on a router lie in memory too. The limit is for all clients
/// together, in bytes; each caches 256 KiB of the file while it runs a query.
const MEMORY: &str = "PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -256;
    PRAGMA hard_heap_limit = 33554432;";

/// Size to which clients can make the file grow, in MiB, if the option does
/// not say (`max`).
const MAX_FILE: u32 = 64;

/// The file.
pub(crate) struct Database {
    sqlite: Connection,
    /// The statement being compiled is ours, not the client's.
    ours: Arc<AtomicBool>,
    clock: Clock,
}

impl Database {
    /// Opens the file of the option `-C`.
    pub(crate) fn open(config: &str) -> Result<Database, Error> {
        let mut parts = config.split(';');
        let file = parts.next().unwrap_or_default();
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut max = MAX_FILE;
        for part in parts {
            match part.split_once('=') {
                None if part == "ro" => flags = OpenFlags::SQLITE_OPEN_READ_ONLY,
                Some(("max", mebibytes)) => {
                    max = mebibytes.parse().map_err(|_| unknown(part))?;
                }
                None | Some(_) => return Err(unknown(part)),
            }
        }
        if file.is_empty() {
            return Err(Error::internal("the option -C of jsonsql names no file"));
        }
        let open = || {
            // An absolute path, since SQLite gives some names a meaning (":memory:").
            let path = std::path::absolute(Path::new(file))
                .map_err(|_| rusqlite::Error::InvalidPath(file.into()))?;
            let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let sqlite = Connection::open_with_flags(path, flags)?;
            let clock = Clock::new(TIME_LIMIT);
            let ours = restrict(&sqlite, max, &clock)?;
            Ok(Database {
                sqlite,
                ours,
                clock,
            })
        };
        open().map_err(|error: rusqlite::Error| {
            Error::internal(&format!("cannot open {file}: {error}"))
        })
    }

    /// Runs the client's SQL, one or several statements: all of it takes
    /// effect or nothing. Returns the rows, or `None` if none of the
    /// statements has columns.
    pub(crate) fn run(&self, sql: &str, values: &Values) -> Result<Option<Rows>, Error> {
        let _request = self.begin();
        let run = || {
            if !self.sqlite.is_autocommit() {
                // What could not be undone before, for want of memory.
                self.our_statement("ROLLBACK")?;
            }
            self.our_statement("BEGIN")?;
            let rows = self.run_all(sql, values)?;
            self.our_statement("COMMIT")?;
            Ok(rows)
        };
        run().inspect_err(|_| {
            // Fails if there is no transaction (any more): then all is well.
            let _ = self.our_statement("ROLLBACK");
        })
    }

    /// Runs SQL of ours that reads.
    pub(crate) fn read(&self, sql: &str, values: &[Value]) -> Result<Rows, Error> {
        let _request = self.begin();
        self.ours.store(true, Ordering::Relaxed);
        let rows = self
            .sqlite
            .prepare(sql)
            .map_err(|error| failed(&error))
            .and_then(|statement| {
                let mut rows = Rows::default();
                let values = Values::Positional(values.to_vec());
                step(statement, &values, &mut rows).map(|()| rows)
            });
        self.ours.store(false, Ordering::Relaxed);
        rows
    }

    fn run_all(&self, sql: &str, values: &Values) -> Result<Option<Rows>, Error> {
        let mut rows: Option<Rows> = None;
        let mut batch = Batch::new(&self.sqlite, sql);
        while let Some(statement) = batch.next().map_err(|error| failed(&error))? {
            if statement.column_count() == 0 {
                step(statement, values, &mut Rows::default())?;
            } else {
                step(statement, values, rows.get_or_insert_default())?;
            }
        }
        Ok(rows)
    }

    fn our_statement(&self, sql: &str) -> Result<(), Error> {
        self.ours.store(true, Ordering::Relaxed);
        let done = self.sqlite.execute_batch(sql);
        self.ours.store(false, Ordering::Relaxed);
        done.map_err(|error| failed(&error))
    }

    fn begin(&self) -> Request<'_> {
        self.clock.start();
        let clock = self.clock.clone();
        self.sqlite
            .progress_handler(STEPS, Some(move || clock.is_over()));
        Request(self)
    }
}

/// The time of one request. When it is over, the memory goes back.
struct Request<'a>(&'a Database);

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.0.sqlite.progress_handler(0, None::<fn() -> bool>);
        // Without it the next request finds a warmer cache; that is all.
        let _ = self.0.sqlite.release_memory();
    }
}

/// Sets the bounds; from here on clients' SQL may run.
fn restrict(sqlite: &Connection, max: u32, clock: &Clock) -> rusqlite::Result<Arc<AtomicBool>> {
    sqlite.busy_timeout(BUSY_TIMEOUT)?;
    sqlite.execute_batch(MEMORY)?;
    functions::replace_slow(sqlite, clock)?;
    // No writing to the tables SQLite itself relies on.
    sqlite.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    for (limit, value) in LIMITS {
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

/// Whether a statement may do this.
fn authorize(context: &AuthContext<'_>, ours: bool) -> Authorization {
    let allowed = match context.action {
        AuthAction::Attach { .. }
        | AuthAction::Detach { .. }
        | AuthAction::CreateVtable { .. }
        | AuthAction::DropVtable { .. }
        | AuthAction::Unknown { .. } => false,
        // Whatever is made there stays in the memory of all until its client leaves.
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
    let names = unique(statement.column_names());
    let mut cursor = statement.raw_query();
    while let Some(row) = cursor.next().map_err(|error| failed(&error))? {
        if rows.0.len() >= MAX_ROWS {
            return Err(Error::failure(format!(
                "more than {MAX_ROWS} rows: ask for fewer with LIMIT"
            )));
        }
        let row = Row::read(row, &names).map_err(|error| failed(&error))?;
        rows.1 += row.size();
        if rows.1 > MAX_ANSWER {
            return Err(Error::failure(
                "an answer of more than 4 MiB: ask for fewer rows",
            ));
        }
        rows.0.push(row);
    }
    Ok(())
}

/// Names for the members of an object: of equal ones all but the first get a
/// number, as SQLite has it in subqueries (`id`, `id:1`).
fn unique(columns: Vec<&str>) -> Arc<[String]> {
    let mut taken = HashSet::new();
    let mut name = |column: &str| {
        let numbered = (1..).map(|number: usize| format!("{column}:{number}"));
        let mut names = std::iter::once(column.to_string()).chain(numbered);
        names
            .find(|name| taken.insert(name.clone()))
            .unwrap_or_default()
    };
    columns.into_iter().map(&mut name).collect()
}

fn unknown(part: &str) -> Error {
    Error::internal(&format!(
        "'{part}' in the option -C of jsonsql is neither ro nor max=MEBIBYTES"
    ))
}

/// What SQLite says, as the answer.
fn failed(error: &rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::SqliteFailure(cause, _)
            if cause.code == ErrorCode::OperationInterrupted =>
        {
            Error::failure(clock::OVER)
        }
        // Without the SQL itself, which the client knows. (The system's SQLite
        // may be too old to tell them apart.)
        #[cfg(feature = "bundled")]
        rusqlite::Error::SqlInputError { msg, .. } => Error::failure(msg.clone()),
        other => Error::failure(other.to_string()),
    }
}
