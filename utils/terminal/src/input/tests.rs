//! Keys and sizes, whole and cut.

use super::*;

fn keys(text: &str) -> Part {
    Part::Keys(text.as_bytes().to_vec())
}

fn size(rows: u16, columns: u16) -> Part {
    Part::Size { rows, columns }
}

fn split(text: &str) -> Vec<Part> {
    Input::default().split(text.as_bytes())
}

#[test]
fn a_size_is_taken_out_from_among_the_keys() {
    assert_eq!(split("\x1b[8;24;80t"), [size(24, 80)]);
    assert_eq!(
        split("ls\r\x1b[8;1;9999tpwd\x1b[8;5;6t"),
        [keys("ls\r"), size(1, 9999), keys("pwd"), size(5, 6)]
    );
}

#[test]
fn keys_that_send_sequences_stay_as_they_are() {
    for text in [
        "\x1b",
        "\x1b[",
        "\x1b[A",
        "\x1b[8~",
        "\x1b\x1b[B",
        "\x1b[18~",
        "\x1bOP",
        "\x1b[200~x\x1b[201~",
    ] {
        assert_eq!(split(text), [keys(text)], "{text:?}");
    }
}

#[test]
fn what_only_looks_like_a_size_stays_as_it_is() {
    for text in [
        "\x1b[8;0;80t",
        "\x1b[8;24;0t",
        "\x1b[8;24t",
        "\x1b[8;24;80;1t",
        "\x1b[8;12345;1t",
        "\x1b[8;;t",
        "\x1b[8;24;80T",
    ] {
        assert_eq!(split(text), [keys(text)], "{text:?}");
    }
}

#[test]
fn a_size_that_a_read_cuts_is_waited_for() {
    let text = "\x1b[8;1234;5678t";
    for cut in CERTAIN..text.len() {
        let mut input = Input::default();
        assert_eq!(input.split(&text.as_bytes()[..cut]), [], "cut at {cut}");
        assert_eq!(
            input.split(&text.as_bytes()[cut..]),
            [size(1234, 5678)],
            "cut at {cut}"
        );
    }
}

#[test]
fn the_beginning_of_a_size_that_becomes_none_is_not_lost() {
    let mut input = Input::default();
    assert_eq!(input.split(b"a\x1b[8;2"), [keys("a")]);
    assert_eq!(input.split(b"~b"), [keys("\x1b[8;2~b")]);
}
