//! The limits of what a query may do, take and answer.

use std::time::Duration;

use rusqlite::limits::Limit;

/// Longest run of one request's SQL.
pub(crate) const TIME: Duration = Duration::from_secs(2);

/// Longest wait of a request that writes, for those of this process that write before it: each of
/// them may take [`TIME`].
pub(crate) const QUEUE_TIME: Duration = Duration::from_secs(10);

/// Longest wait for another program that has locked the file: longer than one request of another
/// process (`-F`) may hold it.
pub(crate) const LOCK_TIME: Duration = Duration::from_secs(5);

/// Most rows of one answer.
pub(crate) const ROWS: usize = 10_000;

/// Longest answer, in bytes of JSON, counted generously.
pub(crate) const ANSWER: usize = 4 * 1024 * 1024;

/// Longest text or blob, in bytes.
pub(crate) const LENGTH: usize = 1024 * 1024;

/// Most values of one request: as many parameters as SQLite takes.
pub(crate) const VALUES: usize = 32_766;

/// Longest pattern of LIKE and GLOB, in bytes.
pub(crate) const PATTERN: usize = 100;

/// Longest message of an error, in characters: SQLite repeats what it does not know, however long.
pub(crate) const MESSAGE: usize = 500;

/// Steps of SQLite's machine between two looks at the clock.
pub(crate) const STEPS: i32 = 100;

/// SQLite's limits (sqlite3_limit). SQLite looks at the clock neither within a function nor before
/// its program jumps back, so values, their number and programs are limited (an INSERT of 3000 rows
/// of ten columns is possible).
pub(crate) const SQLITE: [(Limit, i32); 10] = [
    (Limit::SQLITE_LIMIT_LENGTH, LENGTH as i32),
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

/// Memory of SQLite. Sorted and temporary rows stay in memory, since temporary files of a router
/// lie in memory too. The limit is for all clients together, in bytes; each caches 256 KiB of the
/// file while it runs a query.
pub(crate) const MEMORY: &str = "PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -256;
    PRAGMA hard_heap_limit = 33554432;";

/// Size to which clients can make the file grow, in MiB, if the option does not say (`max`).
pub(crate) const FILE: u32 = 64;
