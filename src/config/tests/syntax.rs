//! The syntax of libconfig, and what is said of text that is not.

use std::fs;

use libconfig::{Config as OracleConfig, Value as Oracle};

use super::super::libconfig::value::{Node, Setting, Value};
use super::parse;

/// Texts that libconfig accepts.
const VALID: &[&str] = &[
    "",
    "# only a comment",
    "a = 1; b : 2, c = 3",
    "a = 1 b = 2 c = 3",
    "a=1;// one\nb=2;/* two\nlines */c=3;# three\n",
    "name-with_all*1 = true; * = 1;",
    "t = true; T = TRUE; f = False;",
    "s = \"one\" \"two\"\n  /* between */ \"three\";",
    "s = \"line\none\";",
    r#"s = "q\"b\\n\nt\tr\rf\fx\x41 ws_\* end";"#,
    "i = -5; j = +7; h = 0xFF; H = 0Xff; l = 10L; hl = 0x7FFFFFFFFFL; b = 0b101; o = 0o17;",
    "big = 5000000000; small = -5000000000;",
    "f = 1.5; g = .5; h = -1.; i = 2.5e3; j = 1e3; k = -1.5E-3;",
    "empty = { }; list = ( ); array = [ ];",
    "nested = { a = { b = { c = ( [ 1, 2 ], { d = \"e\"; } ); }; }; };",
    "list = ( 1, \"two\", true, 4.0, ( 5 ), [ 6 ], { seven = 7; } );",
    "array = [ \"a\", \"b\", ];\nlist = ( 1, 2, );",
    "group = { a = 1, b = 2 }",
    "servers = ({ port = 80; websocket = { docroot = \"/run\"; }; },\n{ port = 443 });",
];

fn same(ours: &Value, oracle: &Oracle) -> bool {
    match (ours, oracle) {
        (Value::Bool(a), Oracle::Bool(b)) => a == b,
        (Value::Int(a), Oracle::Integer(b)) => *a == i64::from(*b),
        (Value::Int(a), Oracle::Integer64(b)) => a == b,
        (Value::Float(a), Oracle::Float(b)) => a.parse() == Ok(*b),
        (Value::Text(a), Oracle::String(b)) => a == b,
        (Value::Array(a), Oracle::Array(b)) | (Value::List(a), Oracle::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.value, b))
        }
        (Value::Group(a), Oracle::Group(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, (name, b))| a.name == *name && same(&a.node.value, b))
        }
        _ => false,
    }
}

/// The oracle refuses the escape `\*`, which C libconfig takes literally.
fn agrees_with_oracle(text: &str) {
    let oracle_text = text.replace("\\*", "\\\\*");
    let ours = Value::Group(parse(text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}")));
    let oracle = OracleConfig::from_str(&oracle_text)
        .unwrap_or_else(|error| panic!("{text}\n{error}"))
        .into_value();
    assert!(same(&ours, &oracle), "{text}\n{ours:#?}\n{:#?}", oracle);
}

#[test]
fn every_text_libconfig_accepts_is_read_as_libconfig_reads_it() {
    VALID.iter().for_each(|text| agrees_with_oracle(text));
}

#[test]
fn the_sample_files_are_read_as_libconfig_reads_them() {
    for directory in ["etc", "tests/data"] {
        let path = super::files::project().join(directory);
        for entry in fs::read_dir(path).expect("the directory is part of the project") {
            let path = entry.expect("an entry").path();
            if path
                .extension()
                .is_some_and(|extension| extension == "conf")
            {
                agrees_with_oracle(&fs::read_to_string(path).expect("a text file"));
            }
        }
    }
}

#[test]
fn what_libconfig_refuses_is_refused() {
    for text in [
        "a",
        "a =",
        "a = ;",
        "= 1;",
        "a = 1; a = 2;",
        "a = [ 1, \"b\" ];",
        "a = [ { } ];",
        "a = ( 1 2 );",
        "a = { b = 1",
        "a = ( 1",
        "a = \"open",
        "/* open",
        "a = 1 }",
        "1 = 2;",
        "a = 12x;",
        "true = 1;",
        "a = @;",
        "a = ( , );",
        "@include 5",
    ] {
        assert!(parse(text).is_err(), "{text} was accepted");
    }
}

fn messages(text: &str) -> Vec<String> {
    parse(text).expect_err(text)
}

#[test]
fn one_run_finds_every_syntax_error() {
    let text = "a = ;\nb 1;\nc = { d = [ 1, true ]; e = };\nf = 0xZ;\nok = 1;\n; g = \"x\n";
    assert_eq!(
        messages(text),
        [
            "1:5 expected a value, found ';'",
            "2:3 expected '=' after 'b', found a number",
            "3:16 a boolean beside a whole number: an array holds one type",
            "3:28 expected a value, found '}'",
            "4:5 '0xZ' is not a number",
            "6:7 this string is never closed with '\"'",
        ]
    );
}

#[test]
fn what_is_no_word_is_shown_as_libconfig_would_write_it() {
    assert_eq!(messages("a = 1; §$;")[0], "1:8 unexpected '§$'");
    assert_eq!(messages("\x1b\x7f")[0], "1:1 unexpected '\\x1b\\x7f'");
}

#[test]
fn a_value_without_its_quotes_is_told_how_to_write_it() {
    let string = |text| format!("1:5 a string stands in double quotes: \"{text}\"");
    for (value, message) in [
        ("/run/x; b = 1;", string("/run/x")),
        ("'/run/x';", string("/run/x")),
        ("'open;", string("open;")),
        ("“/run/x”;", string("/run/x")),
        ("‘x’;", string("x")),
        (
            "192.168.1.1;",
            "1:5 '192.168.1.1' is not a number; a string stands in double quotes: \"192.168.1.1\""
                .to_owned(),
        ),
        (
            "16M;",
            "1:5 '16M' is not a number; a string stands in double quotes: \"16M\"".to_owned(),
        ),
        (
            "yes;",
            "1:5 expected a value, such as true, found 'yes'".to_owned(),
        ),
        (
            "Off;",
            "1:5 expected a value, such as false, found 'Off'".to_owned(),
        ),
        (
            "line;",
            "1:5 expected a value, such as the string \"line\" in its double quotes, found 'line'"
                .to_owned(),
        ),
    ] {
        assert_eq!(
            messages(&format!("a = {value}\nc = 1;")),
            [message],
            "{value}"
        );
    }
}

#[test]
fn a_bracket_left_open_is_shown_where_it_opened() {
    assert_eq!(
        messages("a = {\n b = ( 1,\n"),
        [
            "1:5 this '{' is never closed with '}'",
            "2:6 this '(' is never closed with ')'"
        ]
    );
    assert_eq!(
        messages("a = {\n b = 1;\n);\nc = 2;"),
        [
            "3:1 expected '}' for the '{' of line 1, found ')'",
            "3:1 no bracket is open that this could close, found ')'"
        ]
    );
}

#[test]
fn a_string_or_comment_without_end_is_the_only_error_it_causes() {
    assert_eq!(
        messages("a = {\n b = \"x;\n};"),
        ["2:6 this string is never closed with '\"'"]
    );
    assert_eq!(
        messages("a = ( {\n /* b = 1;\n} );"),
        ["2:2 this comment is never closed with '*/'"]
    );
}

#[test]
fn an_error_after_a_string_over_several_lines_asks_for_the_quote() {
    let found = messages("a = \"one;\nb = \"two\";\nc = \"x\";");
    assert!(
        found[0].starts_with("2:9 expected '=' after 'two', found a string"),
        "{found:?}"
    );
    assert!(
        found[0].ends_with("(the string before reaches from line 1 to 2: is a '\"' missing?)"),
        "{found:?}"
    );
}

#[test]
fn a_name_set_twice_tells_where_it_was_set_first() {
    assert_eq!(
        messages("a = 1;\n\nb = { a = 1; };\n  a = 2;"),
        ["4:3 'a' is set twice (first in line 1)"]
    );
}

#[test]
fn nesting_has_a_limit_and_no_stack_overflows() {
    for open in ["a=(", "(", "[", "a={"] {
        let text = "a = ".to_owned() + &open.repeat(50_000);
        assert!(
            messages(&text)
                .iter()
                .any(|message| message.contains("nested more than 32 deep")
                    || message.contains("expected"))
        );
    }
    let deep = |n| "a = ".to_owned() + &"(".repeat(n) + &")".repeat(n) + ";";
    assert!(parse(&deep(32)).is_ok());
    assert!(parse(&deep(33)).is_err());
}

#[test]
fn many_syntax_errors_end_the_reading() {
    let count = messages(&"= ;".repeat(10_000)).len();
    assert!((10..=50).contains(&count), "{count}");
}

#[test]
fn the_place_of_a_value_is_its_text() {
    let text = "a = \"x\" \"y\"; b = { c = 12; };";
    let settings = parse(text).expect(text);
    let shown = |setting: &Setting| {
        let Node { span, .. } = &setting.node;
        (
            &text[setting.name_span.start..setting.name_span.end],
            &text[span.start..span.end],
        )
    };
    assert_eq!(shown(&settings[0]).1, "\"x\" \"y\"");
    assert_eq!(shown(&settings[1]), ("b", "{"));
    let Value::Group(inner) = &settings[1].node.value else {
        panic!("b is a group");
    };
    assert_eq!(shown(&inner[0]), ("c", "12"));
}
