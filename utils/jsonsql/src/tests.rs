//! The methods on a real file, and attacks on them.

mod functions;
mod limits;

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rpcplugin::{Error, Json, Params, Plugin};
use serde_json::{Value, json};

use crate::JsonSql;

/// A directory with one file in it, gone with the value.
struct File {
    directory: PathBuf,
}

impl File {
    fn new() -> File {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("jsonsql-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).expect("a temporary directory");
        File { directory }
    }

    /// The file with a table of three rows.
    fn with_table() -> File {
        let file = File::new();
        let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, z TEXT, a REAL, b BLOB);
            INSERT INTO t VALUES (1, 'one', 1.5, x'0102'), (2, 'tw\"o', NULL, NULL), (7, '', -1, '');";
        exec(&mut file.connect(), sql).expect("valid SQL");
        file
    }

    fn path(&self) -> String {
        self.directory.join("file.db").display().to_string()
    }

    fn connect(&self) -> JsonSql {
        JsonSql::open(&self.path()).expect("it opens")
    }

    fn dump(&self) -> Vec<u8> {
        std::fs::read(self.directory.join("file.db")).expect("the file")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

type Method = fn(&mut JsonSql, Params<'_>) -> Result<Json, Error>;

/// The answer as text, so that the order of members shows.
fn call(client: &mut JsonSql, method: Method, params: Value) -> Result<String, String> {
    let answer = method(client, Params::new(Some(&params.to_string())));
    let words = |error: Error| match error.data {
        Some(data) => format!("{}: {}", error.message, data.as_str()),
        None => error.message.into_owned(),
    };
    answer.map(|json| json.as_str().to_string()).map_err(words)
}

fn exec(client: &mut JsonSql, query: &str) -> Result<String, String> {
    call(client, JsonSql::exec, json!({ "query": query }))
}

#[test]
fn rows_are_objects_in_the_order_of_the_columns() {
    let file = File::with_table();
    let mut client = file.connect();
    let rows = r#"[{"id":1,"z":"one","a":1.5,"b":[1,2]},{"id":2,"z":"tw\"o","a":null,"b":null},{"id":7,"z":"","a":-1.0,"b":""}]"#;
    assert_eq!(exec(&mut client, "SELECT * FROM t").as_deref(), Ok(rows));
    assert_eq!(
        call(&mut client, JsonSql::list, json!({"table": "t"})).as_deref(),
        Ok(rows)
    );
    let row = r#"{"id":7,"z":"","a":-1.0,"b":""}"#;
    assert_eq!(
        call(&mut client, JsonSql::get, json!({"table": "t", "id": 7})).as_deref(),
        Ok(row)
    );
    let done = Ok(r#"{"message":"Query OK"}"#);
    assert_eq!(exec(&mut client, "SELECT 1 WHERE 0").as_deref(), done);
    assert_eq!(exec(&mut client, "DELETE FROM t").as_deref(), done);
    let rows = call(&mut client, JsonSql::list, json!({"table": "t"}));
    assert_eq!(rows.as_deref(), Ok("[]"));
}

#[test]
fn columns_of_the_same_name_are_told_apart() {
    let file = File::with_table();
    let mut client = file.connect();
    let query =
        "SELECT t.id, u.id, 1 AS 'id:1', 2 AS id FROM t, t AS u WHERE t.id = 1 AND u.id = 2";
    assert_eq!(
        exec(&mut client, query).as_deref(),
        Ok(r#"[{"id":1,"id:1":2,"id:1:1":1,"id:2":2}]"#)
    );
}

#[test]
fn tables_and_their_columns_are_listed() {
    let file = File::with_table();
    let mut client = file.connect();
    let tables = call(&mut client, JsonSql::list, json!({}));
    assert_eq!(tables.as_deref(), Ok(r#"[{"name":"t","type":"table"}]"#));
    let columns = call(&mut client, JsonSql::view, json!({"table": "T"}));
    assert!(
        columns.is_err(),
        "names are compared as they are: {columns:?}"
    );
    let columns = call(&mut client, JsonSql::view, json!({"table": "t"})).expect("a table");
    let first = r#"[{"cid":0,"name":"id","type":"INTEGER","notnull":0,"dflt_value":null,"pk":1},"#;
    assert!(columns.starts_with(first), "{columns}");
}

#[test]
fn values_are_bound() {
    let file = File::with_table();
    let mut client = file.connect();
    let text = "x'); DROP TABLE t; --";
    let insert =
        json!({"query": "INSERT INTO t (z, a, b) VALUES (?, ?, ?)", "values": [text, 2, [0, 255]]});
    call(&mut client, JsonSql::exec, insert).expect("inserted");
    let select = json!({"query": "SELECT z, a, b FROM t WHERE z = :z", "values": {"z": text}});
    let rows = call(&mut client, JsonSql::exec, select).expect("selected");
    assert_eq!(
        rows,
        json!([{"z": text, "a": 2.0, "b": [0, 255]}])
            .to_string()
            .replace(
                r#""a":2.0,"b":[0,255],"z":"x'); DROP TABLE t; --""#,
                r#""z":"x'); DROP TABLE t; --","a":2.0,"b":[0,255]"#
            )
    );
    for values in [
        json!([1]),
        json!([1, 2, 3]),
        json!({"other": 1}),
        json!(7),
        json!([[300], 1]),
        json!([{}, 1]),
    ] {
        let params = json!({"query": "SELECT ?, :x", "values": values});
        let error = call(&mut client, JsonSql::exec, params).expect_err("unfit");
        assert!(error.starts_with("Invalid params"), "{error}");
    }
}

#[test]
fn several_statements_take_effect_together_or_not_at_all() {
    let file = File::with_table();
    let mut client = file.connect();
    let broken = "INSERT INTO t (id) VALUES (8); INSERT INTO t (id) VALUES (9); SELECT absent;";
    assert_eq!(
        exec(&mut client, broken),
        Err("no such column: absent".to_string())
    );
    assert_eq!(
        exec(&mut client, "SELECT count(*) AS n FROM t").as_deref(),
        Ok(r#"[{"n":3}]"#)
    );
    let both = "INSERT INTO t (id) VALUES (8); SELECT id FROM t WHERE id > 2";
    assert_eq!(
        exec(&mut client, both).as_deref(),
        Ok(r#"[{"id":7},{"id":8}]"#)
    );
}

#[test]
fn a_file_opened_to_read_is_not_written() {
    let file = File::with_table();
    let mut client = JsonSql::open(&format!("{};ro", file.path())).expect("it opens");
    exec(&mut client, "SELECT * FROM t").expect("reading");
    for query in [
        "DELETE FROM t",
        "CREATE TABLE u (a)",
        "DROP TABLE t",
        "UPDATE t SET a = 1",
    ] {
        let error = exec(&mut client, query).expect_err("read only");
        assert!(error.contains("readonly"), "{error}");
    }
    for config in [
        "/nowhere/x;ro",
        "/nowhere/x",
        "",
        ";ro",
        "x;rw",
        "x;max=y",
        "x;max",
        "/;ro",
    ] {
        assert!(JsonSql::open(config).is_err(), "{config}");
    }
}

#[test]
fn nothing_but_the_file_can_be_reached() {
    let file = File::with_table();
    let other = file.directory.join("other.db").display().to_string();
    let mut client = file.connect();
    for query in [
        format!("ATTACH '{other}' AS o"),
        format!("VACUUM INTO '{other}'"),
        "VACUUM".to_string(),
        "DETACH main".to_string(),
        format!("SELECT load_extension('{other}')"),
        "SELECT LOAD_EXTENSION('x')".to_string(),
        "PRAGMA journal_mode = WAL".to_string(),
        "PRAGMA writable_schema = 1".to_string(),
        "PRAGMA hard_heap_limit = 0".to_string(),
        format!(
            "PRAGMA temp_store_directory = '{}'",
            file.directory.display()
        ),
        "BEGIN".to_string(),
        "COMMIT".to_string(),
        "SAVEPOINT s".to_string(),
        "CREATE VIRTUAL TABLE v USING fts5(a)".to_string(),
        "UPDATE sqlite_master SET sql = 'x'".to_string(),
        "DELETE FROM sqlite_master".to_string(),
        "SELECT writefile('x', 'y')".to_string(),
        "SELECT readfile('/etc/passwd')".to_string(),
        "SELECT * FROM pragma_database_list".to_string(),
        "SELECT fts3_tokenizer('simple')".to_string(),
        "CREATE TEMP TABLE m AS SELECT 1".to_string(),
        "CREATE TEMP VIEW m AS SELECT 1".to_string(),
        "CREATE TEMP TRIGGER m AFTER INSERT ON t BEGIN SELECT 1; END".to_string(),
        "CREATE TABLE temp.m (a)".to_string(),
        "CREATE VIEW temp.m AS SELECT 1".to_string(),
        "CREATE TRIGGER temp.m AFTER INSERT ON t BEGIN SELECT 1; END".to_string(),
    ] {
        let answer = exec(&mut client, &query);
        assert!(answer.is_err(), "{query}: {answer:?}");
    }
    let names: Vec<String> = std::fs::read_dir(&file.directory)
        .expect("the directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    assert_eq!(names, ["file.db"]);
    assert_eq!(
        exec(&mut client, "SELECT count(*) AS n FROM t").as_deref(),
        Ok(r#"[{"n":3}]"#)
    );
}

#[test]
fn a_missing_file_is_made_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let file = File::new();
    file.connect();
    let metadata = std::fs::metadata(file.path()).expect("it is there");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn five_hundred_injections_through_a_tables_name_change_nothing() {
    let file = File::with_table();
    let before = file.dump();
    let mut client = file.connect();
    let starts = [
        "t",
        "\"t\"",
        "[t]",
        "`t`",
        "'t'",
        "t\"",
        "t'",
        "t]",
        "sqlite_master",
        "main.t",
        "t\u{0}",
        "t)",
    ];
    let tails = [
        "; DROP TABLE t",
        "; DROP TABLE t; --",
        "\"; DELETE FROM t; --",
        "'; DELETE FROM t; --",
        " WHERE 1=1; DELETE FROM t",
        " UNION SELECT * FROM sqlite_master",
        ", sqlite_master",
        "); DROP TABLE t; --",
        "\"); DROP TABLE t; --",
        " --",
        "/*",
        "; ATTACH 'x' AS y",
        "; INSERT INTO t (id) VALUES (99)",
        "; UPDATE t SET z = 'x'",
        "; PRAGMA user_version = 7",
    ];
    let mut count = 0;
    for start in starts {
        for tail in tails {
            let table = format!("{start}{tail}");
            for method in [JsonSql::list as Method, JsonSql::get, JsonSql::view] {
                let answer = call(&mut client, method, json!({"table": table, "id": 1}));
                assert_eq!(answer, Err(format!("no such table: {table}")));
                count += 1;
            }
            let answer = call(
                &mut client,
                JsonSql::get,
                json!({"table": "t", "id": table}),
            );
            assert!(answer.is_err(), "{answer:?}");
        }
    }
    assert!(count >= 500, "{count}");
    assert_eq!(file.dump(), before);
}

#[test]
fn a_table_with_a_hostile_name_is_served_under_it() {
    let file = File::new();
    let mut client = file.connect();
    let name = "x\"; DROP TABLE y; --";
    exec(&mut client, "CREATE TABLE y (a)").expect("created");
    exec(&mut client, "CREATE TABLE \"x\"\"; DROP TABLE y; --\" (a)").expect("created");
    exec(
        &mut client,
        "INSERT INTO \"x\"\"; DROP TABLE y; --\" VALUES (5)",
    )
    .expect("inserted");
    let rows = call(&mut client, JsonSql::list, json!({"table": name}));
    assert_eq!(rows.as_deref(), Ok(r#"[{"a":5}]"#));
    call(&mut client, JsonSql::view, json!({"table": name})).expect("its columns");
    assert_eq!(
        call(&mut client, JsonSql::list, json!({"table": "y"})).as_deref(),
        Ok("[]")
    );
}
