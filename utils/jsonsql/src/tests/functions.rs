//! No call of a function takes longer than a query may, and our functions answer what those of
//! SQLite do.

use std::sync::{Mutex, PoisonError};

use super::*;

/// Nearly the longest text there may be.
const LENGTH: usize = 1_000_000;

/// The answer to `SELECT expression` with these values, which does not take minutes.
fn in_time(expression: &str, values: &[String]) -> Result<String, String> {
    /// One at a time: the memory is for all together.
    static RUNNING: Mutex<()> = Mutex::new(());
    let _running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let file = File::new();
    let start = Instant::now();
    let params = json!({"query": format!("SELECT {expression} AS a"), "values": values});
    let answer = call(&mut file.connect(), JsonSql::exec, params);
    let time = start.elapsed();
    assert!(time < Duration::from_secs(60), "{expression}: {time:?}");
    answer
}

/// A long text, and four that are nearly in it everywhere.
fn long() -> Vec<String> {
    let nearly = (0..4).map(|n| format!("{}{n}", "a".repeat(LENGTH / 2)));
    ["a".repeat(LENGTH)].into_iter().chain(nearly).collect()
}

/// The sum of an expression with each of `count` values in the place of `?N`.
fn sum(expression: &str, count: usize) -> String {
    let terms =
        (0..count).map(|n| format!("({})", expression.replace("?N", &format!("?{}", n + 2))));
    terms.collect::<Vec<_>>().join(" + ")
}

/// As many different characters as there are, and the letter `a` at last.
fn characters() -> String {
    let all = ('\u{e000}'..).take(LENGTH / 4 - 1);
    all.chain(['a']).collect()
}

#[test]
fn trim_is_linear_in_its_characters() {
    for function in ["trim", "ltrim", "rtrim"] {
        let values = ["a".repeat(LENGTH), characters()];
        let answer = in_time(&format!("length({function}(?, ?))"), &values);
        assert_eq!(answer.as_deref(), Ok(r#"[{"a":0}]"#), "{function}");
    }
}

#[test]
fn instr_is_linear() {
    let answer = in_time(&sum("instr(?1, ?N)", 4), &long());
    assert_eq!(answer.as_deref(), Ok(r#"[{"a":0}]"#));
}

#[test]
fn replace_is_linear() {
    let answer = in_time(&sum("length(replace(?1, ?N, 'x'))", 4), &long());
    assert_eq!(answer.as_deref(), Ok(r#"[{"a":4000000}]"#));
    // Its answer is counted before it is made.
    let answer = in_time("length(replace(?, 'a', ?))", &long()[..2]);
    assert_eq!(answer, Err("string or blob too big".to_string()));
}

#[test]
fn unhex_takes_no_characters_to_ignore() {
    let values = ["a".repeat(LENGTH), characters()];
    let answer = in_time("unhex(?, ?)", &values);
    assert_eq!(answer, Err("unhex with 2 arguments is refused".to_string()));
    let answer = in_time("length(unhex(?))", &["a".repeat(LENGTH)]);
    assert_eq!(answer.as_deref(), Ok(r#"[{"a":500000}]"#));
}

#[test]
fn json_patch_is_refused() {
    let object = |letter: char| {
        let members: Vec<String> = (0..70_000).map(|n| format!("\"{letter}{n}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    let objects = [object('a'), object('b')];
    for function in ["json_patch", "jsonb_patch"] {
        let refused = Err(format!("{function} with 2 arguments is refused"));
        let expression = format!("length({function}(?, ?))");
        assert_eq!(in_time(&expression, &objects), refused);
        let rows = format!("1 FROM (VALUES (1), ({expression}))");
        assert_eq!(in_time(&rows, &objects), refused);
    }
}

#[test]
fn like_and_glob_take_short_patterns() {
    for (operator, any) in [("LIKE", '%'), ("GLOB", '*')] {
        let [text, part] = [&long()[0], &long()[1]].map(String::clone);
        let answer = in_time(&format!("? {operator} ?"), &[text, format!("{any}{part}")]);
        let error = answer.expect_err("too long");
        assert!(error.contains("too complex"), "{error}");
    }
}

#[test]
fn many_patterns_end_with_the_time_of_the_query() {
    for (operator, any) in [("LIKE", '%'), ("GLOB", '*')] {
        let patterns = (100..190).map(|n| format!("{any}{}{n}", "a".repeat(90)));
        let values: Vec<String> = [long().remove(0)].into_iter().chain(patterns).collect();
        let answer = in_time(&sum(&format!("?1 {operator} ?N"), 90), &values);
        assert_eq!(answer, Err("the query took longer than 2 s".to_string()));
    }
}

#[test]
fn a_function_takes_only_so_many_arguments() {
    let array = format!("[{}1]", "1,".repeat(LENGTH / 2 - 1));
    let paths = ",'$[499000]',2".repeat(400);
    let answer = in_time(&format!("length(json_set(?{paths}))"), &[array]);
    let error = answer.expect_err("too many");
    assert!(error.contains("too many arguments"), "{error}");
}

#[test]
fn our_functions_answer_what_sqlites_do() {
    let values = [
        "NULL",
        "''",
        "' '",
        "'a'",
        "'ab'",
        "'abcab'",
        "'éxé'",
        "'xéx'",
        "'\u{10ffff}é'",
        "x''",
        "x'6162'",
        "x'ff61'",
        "7",
        "-7",
        "1.5",
        "0.1 + 0.2",
        "1e15",
        "1e14",
        "-1.25e-5",
        "1e-4",
        "123456789012345.6",
        "1e300",
        "9e999",
        "0.0",
        "100.0",
        "'.'",
        "0",
        "1",
    ];
    for (x, y) in values.iter().flat_map(|x| values.map(|y| (x, y))) {
        compare(&[
            format!("instr({x}, {y})"),
            format!("trim({x}, {y})"),
            format!("ltrim({x}, {y})"),
            format!("rtrim({x}, {y})"),
            format!("replace({x}, {y}, 'zz')"),
            format!("replace('abcab', {x}, {y})"),
            format!("{x} LIKE {y}"),
            format!("{x} GLOB {y}"),
        ]);
    }
    compare(&["instr('éxé', x'a9')", "instr(x'c3a9', x'a9')"].map(String::from));
}

#[test]
fn our_patterns_fit_what_sqlites_do() {
    let texts = [
        "", "a", "A", "ab", "aab", "abcab", "é", "É", "a%b", "a_b", "]", "-", "^", "a]b", "0.5",
    ];
    let likes = [
        "", "%", "%%", "_", "__", "a", "A%", "%b", "a%b", "%a%b%", "a_b", "é", "_é", "%\\%%",
        "a\\_b", "a\\", "%ab%ab", "ab%ab", "0.5",
    ];
    let globs = [
        "", "*", "?", "??*", "a", "A", "*b", "a*b", "[a]", "[^a]", "[a-c]*", "[^a-c]", "[]]",
        "[^]]", "[]a]*", "[a", "[a-", "[-a]", "[a-]", "[a-a-z]", "a[]]b", "[^", "[", "*[b]", "[é]",
        "[a-é]", "[^-]", "[a^]",
    ];
    for text in texts {
        let like = |pattern: &&str| {
            [
                format!("'{text}' LIKE '{pattern}'"),
                format!("'{text}' LIKE '{pattern}' ESCAPE '\\'"),
                format!("'{text}' LIKE '{pattern}' ESCAPE '%'"),
            ]
        };
        compare(&likes.iter().flat_map(like).collect::<Vec<_>>());
        compare(&globs.map(|pattern| format!("'{text}' GLOB '{pattern}'")));
    }
    let file = File::new();
    let error = exec(&mut file.connect(), "SELECT 'a' LIKE 'a' ESCAPE 'ab'").expect_err("two");
    assert_eq!(error, "ESCAPE expression must be a single character");
}

/// Each expression is to us what it is to SQLite itself.
fn compare(expressions: &[String]) {
    let file = File::new();
    let client = &mut file.connect();
    let sqlite = rusqlite::Connection::open_in_memory().expect("in memory");
    for expression in expressions {
        let query = format!("SELECT typeof({expression}) || ' ' || ifnull(hex({expression}), '')");
        let theirs = sqlite.query_row(&query, [], |row| row.get::<_, String>(0));
        let ours = exec(client, &format!("{query} AS a"));
        let theirs = json!([{"a": theirs.expect("valid SQL")}]).to_string();
        assert_eq!(ours, Ok(theirs), "{expression}");
    }
}

#[test]
fn an_index_may_use_our_functions() {
    let file = File::with_table();
    let client = &mut file.connect();
    exec(
        client,
        "CREATE INDEX i ON t (replace(z, 'o', '0'), trim(z, 'e'))",
    )
    .expect("an index");
    let query = "SELECT id FROM t WHERE replace(z, 'o', '0') = '0ne'";
    assert_eq!(exec(client, query).as_deref(), Ok(r#"[{"id":1}]"#));
}
