//! The splitter on streams written out by hand.

use super::*;

/// What the splitter says, as words: a message as it is, faults and ends in angle brackets.
fn split(reads: &[&[u8]]) -> Vec<String> {
    let mut said = Vec::new();
    let budget = Budget::new(crate::budget::BUDGET);
    let mut splitter = Splitter::new(&budget);
    for read in reads {
        splitter.feed(read, &mut |event| said.push(word(event)));
    }
    splitter.end(&mut |event| said.push(word(event)));
    said
}

#[test]
fn a_message_that_is_dropped_in_time_is_skipped_to_its_end() {
    let budget = Budget::new(crate::budget::BUDGET);
    let mut splitter = Splitter::new(&budget);
    let mut said = Vec::new();
    let mut sink = |event: Event<'_>| said.push(word(event));
    splitter.feed(b"[\"", &mut sink);
    splitter.feed(&[b'x'; 20_000], &mut sink);
    assert!(splitter.holds_budget());
    splitter.expire(&mut sink);
    assert!(!splitter.holds_budget());
    splitter.feed(b"]\"]\n{}", &mut sink);
    assert_eq!(said, ["<Late>", "<10>", "{}"]);
}

fn word(event: Event<'_>) -> String {
    match event {
        Event::Message(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Event::Fault(fault) => format!("<{fault:?}>"),
        Event::End(byte) => format!("<{byte}>"),
    }
}

#[test]
fn a_message_ends_with_its_last_bracket() {
    assert_eq!(split(&[b"{\"a\":[1,{}]}"]), ["{\"a\":[1,{}]}"]);
    assert_eq!(
        split(&[b"{}[]\0{}\n {}\r\n"]),
        ["{}", "[]", "<0>", "{}", "<10>", "{}", "<10>"]
    );
}

#[test]
fn brackets_and_quotes_in_strings_end_nothing() {
    let message = br#"{"a":"}]\"}\\","b":"\\"}"#;
    assert_eq!(split(&[message]), [String::from_utf8_lossy(message)]);
}

#[test]
fn messages_come_byte_by_byte_as_well_as_at_once() {
    let stream = b"{\"a\":\"\\\"}\"}\0[1,\n2]\n{\"b\":[[]]}{}";
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(split(&bytes), split(&[stream]));
    assert_eq!(split(&bytes).len(), 6);
}

#[test]
fn a_message_can_be_cut_anywhere() {
    let message = r#"{"é\u00e9\"\\": [-1.5e+3, -0, 2E-7, true, null, "😀\n"], "": {}}"#;
    for first in 1..message.len() {
        for second in first..message.len() {
            let bytes = message.as_bytes();
            let reads = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            assert_eq!(split(&reads), [message], "cut at {first} and {second}");
        }
    }
    let bytes: Vec<&[u8]> = message.as_bytes().chunks(1).collect();
    assert_eq!(split(&bytes), [message]);
}

#[test]
fn a_scalar_ends_with_the_line_the_nul_or_the_read() {
    assert_eq!(
        split(&[b"foo {}\n1\0", b"2"]),
        ["foo {}", "<10>", "1", "<0>", "2"]
    );
}

#[test]
fn an_error_is_reported_before_the_message_ends() {
    assert_eq!(split(&[b"{\"a\" \"b\""]), ["<Syntax>"]);
    assert_eq!(split(&[b"{\"a\" \"b\"", b"{}"]), ["<Syntax>", "{}"]);
}

#[test]
fn a_broken_message_takes_what_came_with_it() {
    assert_eq!(
        split(&[b"{\"a\"\n{}\n", b"{}\n"]),
        ["<Syntax>", "<10>", "{}", "<10>"]
    );
    assert_eq!(split(&[b"[\n{},\n{\"a\"\n]"]), ["<Syntax>"]);
}

#[test]
fn a_string_ends_with_its_line() {
    assert_eq!(split(&[b"{\"a\n{}\n"]), ["<Syntax>", "<10>", "{}", "<10>"]);
}

#[test]
fn a_nul_always_begins_anew() {
    assert_eq!(
        split(&[b"{\"a\":[1\0{}\0"]),
        ["<Syntax>", "<0>", "{}", "<0>"]
    );
    assert_eq!(
        split(&[b"{\"a\":\"b\0{}\0"]),
        ["<Syntax>", "<0>", "{}", "<0>"]
    );
}

#[test]
fn the_end_of_the_stream_breaks_a_message() {
    assert_eq!(split(&[b"{\"a\":"]), ["<Syntax>"]);
}

#[test]
fn the_longest_message_passes_and_a_longer_one_is_passed_over() {
    for (length, said) in [(MAX_MESSAGE, "message"), (MAX_MESSAGE + 1, "<TooLong>")] {
        let mut stream = vec![b' '; length + 2];
        stream[0] = b'[';
        stream[length - 1] = b']';
        stream[length..].copy_from_slice(b"{}");
        let reads: Vec<&[u8]> = stream.chunks(4096).collect();
        let events = split(&reads);
        assert_eq!(events.len(), 2, "{length}");
        assert!(said == "message" && events[0].len() == MAX_MESSAGE || events[0] == said);
        assert_eq!(events[1], "{}");
    }
}

#[test]
fn a_message_that_is_too_long_is_not_kept() {
    let budget = Budget::new(crate::budget::BUDGET);
    let mut splitter = Splitter::new(&budget);
    splitter.feed(b"[\"", &mut |_| {});
    for _ in 0..64 {
        splitter.feed(&[b'x'; 65536], &mut |_| {});
    }
    assert!(splitter.buffer.capacity() <= KEPT_CAPACITY);
}

#[test]
fn nesting_is_limited_and_the_next_message_found() {
    let deep = |depth: usize| format!("{}{}{{}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(split(&[deep(MAX_DEPTH).as_bytes()]).len(), 2);
    assert_eq!(
        split(&[deep(MAX_DEPTH + 1).as_bytes()]),
        ["<TooDeep>", "{}"]
    );
    assert_eq!(split(&[deep(100_000).as_bytes()]), ["<TooDeep>", "{}"]);
}
