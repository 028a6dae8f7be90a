//! The limits of queries, and who waits for whom.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::*;

#[test]
fn a_query_ends_after_its_time() {
    let file = File::with_table();
    let mut client = file.connect();
    let start = Instant::now();
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n";
    let error = exec(&mut client, endless).expect_err("endless");
    assert_eq!(error, "the query took longer than 2 s");
    let time = start.elapsed();
    assert!(
        time >= Duration::from_secs(2) && time < Duration::from_secs(60),
        "{time:?}"
    );
    exec(&mut client, "SELECT * FROM t").expect("the next has time again");
}

#[test]
fn an_answer_is_limited_in_rows_and_in_bytes() {
    let file = File::with_table();
    let mut client = file.connect();
    let rows = |count: usize, what: &str| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count})
            SELECT {what} FROM n"
        )
    };
    exec(&mut client, &rows(10_000, "i")).expect("as many as there may be");
    let error = exec(&mut client, &rows(10_001, "i")).expect_err("one more");
    assert!(error.starts_with("more than 10000 rows"), "{error}");
    // In sum, and each alone: a byte of a blob is up to four in JSON, a control character six.
    for (count, what) in [
        (50, "printf('%.*c', 100000, 'x')"),
        (1, "zeroblob(1048576)"),
        (1, "printf('%.*c', 700000, char(1))"),
    ] {
        let error = exec(&mut client, &rows(count, what)).expect_err("more than 4 MiB");
        assert!(error.contains("more than 4 MiB"), "{what}: {error}");
    }
    assert!(exec(&mut client, "SELECT length(zeroblob(1048577))").is_err());
}

#[test]
fn values_are_limited_in_number() {
    let file = File::with_table();
    let mut client = file.connect();
    let mut exec = |count: usize| {
        let params = json!({"query": "SELECT 1", "values": vec![1; count]});
        call(&mut client, JsonSql::exec, params).expect_err("no parameters")
    };
    assert!(exec(32_766).contains("32766 values for 0 parameters"));
    assert!(exec(32_767).contains("more than 32766 values"));
}

#[test]
fn a_long_name_that_is_not_known_is_told_by_its_start() {
    let file = File::with_table();
    let mut client = file.connect();
    let name = "x".repeat(100_000);
    let error = exec(&mut client, &format!("SELECT {name} FROM t")).expect_err("no such column");
    assert!(error.len() < 1000 && error.starts_with("no such column: xxx"));
    let error = call(&mut client, JsonSql::list, json!({"table": name})).expect_err("no table");
    assert!(error.len() < 1000 && error.starts_with("no such table: xxx"));
}

/// Thirteen clients write beside two that write all the time.
#[test]
fn those_who_write_take_turns() {
    let file = File::with_table();
    let long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        INSERT INTO t (a) SELECT i FROM n";
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut client = file.connect();
                while !over.load(Ordering::Relaxed) {
                    let _ = exec(&mut client, long);
                }
            });
        }
        let write = || {
            let mut client = file.connect();
            exec(&mut client, "INSERT INTO t (z) VALUES ('short')")
        };
        let writing: Vec<_> = (0..13).map(|_| scope.spawn(write)).collect();
        let written = writing
            .into_iter()
            .map(|writer| writer.join().expect("an answer"));
        let written: Vec<_> = written.collect();
        over.store(true, Ordering::Relaxed);
        for answer in written {
            assert_eq!(answer.as_deref(), Ok(r#"{"message":"Query OK"}"#));
        }
    });
    let count = exec(
        &mut file.connect(),
        "SELECT count(*) AS n FROM t WHERE z = 'short'",
    );
    assert_eq!(count.as_deref(), Ok(r#"[{"n":13}]"#));
}

#[test]
fn the_file_does_not_grow_beyond_its_limit() {
    let file = File::with_table();
    let mut client = JsonSql::open(&format!("{};max=1", file.path())).expect("it opens");
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20)
        INSERT INTO t (b) SELECT zeroblob(100000) FROM n";
    let error = exec(&mut client, insert).expect_err("two megabytes");
    assert!(error.contains("full"), "{error}");
    assert!(file.dump().len() <= 1024 * 1024);
    exec(&mut client, "INSERT INTO t (b) VALUES (1)").expect("there is room for that");
}
