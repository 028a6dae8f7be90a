//! The memory of all queries together is limited: a test alone in its process, since those beside
//! it would feel the limit too.

use jsonsql::JsonSql;
use rpcplugin::{Params, Plugin};

#[test]
fn a_greedy_query_runs_out_of_its_memory_not_of_the_machines() {
    let name = format!("jsonsql-memory-{}.db", std::process::id());
    let file = std::env::temp_dir().join(name);
    let mut client = JsonSql::open(&file.display().to_string()).expect("it opens");
    // A gigabyte, if it could.
    let greedy = r#"{"query": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000)
        SELECT count(DISTINCT randomblob(1000000 + i)) FROM n"}"#;
    let greedy = greedy.replace('\n', " ");
    let error = client
        .exec(Params::new(Some(&greedy)))
        .expect_err("too much");
    assert_eq!(error.message, "out of memory");
    let modest = r#"{"query": "SELECT 1"}"#;
    client
        .exec(Params::new(Some(modest)))
        .expect("the next has memory again");
    // What many idle clients have read is not kept for them.
    let fill = r#"{"query": "CREATE TABLE t (b); WITH RECURSIVE n(i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000) INSERT INTO t SELECT zeroblob(1000) FROM n"}"#;
    let fill = fill.replace('\n', " ");
    client
        .exec(Params::new(Some(&fill)))
        .expect("two megabytes");
    let mut others: Vec<JsonSql> = (0..100)
        .map(|_| JsonSql::open(&file.display().to_string()).expect("it opens"))
        .collect();
    for other in &mut others {
        let sum = r#"{"query": "SELECT sum(length(b)) FROM t"}"#;
        other.exec(Params::new(Some(sum))).expect("memory for all");
    }
    std::fs::remove_file(file).expect("the file");
}
