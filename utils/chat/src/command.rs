//! Running: what a message asks the server for (`-w`).

/// Longest name, in bytes.
pub(crate) const MAX_NAME: usize = 29;

/// A message that is for the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// `WSHello NAME` asks for this name; `WSHello` alone for the user's.
    Hello(Option<&'a str>),
    /// `WSPrivate NAME TEXT` sends TEXT to NAME alone.
    Private(&'a str, &'a [u8]),
    /// `WSWhois NAME` asks for the address of NAME.
    Whois(&'a str),
    /// A `WSPrivate` without a usable name: it is not meant for all.
    Nothing,
}

/// The command that `message` is; `None` if it is for the other clients.
///
/// A name ends at the first white space; a longer one than [`MAX_NAME`] is cut.
pub(crate) fn parse(message: &[u8]) -> Option<Command<'_>> {
    if let Some(rest) = message.strip_prefix(b"WSPrivate")
        && begins_with_space(rest)
    {
        return Some(private(rest).unwrap_or(Command::Nothing));
    }
    let line = without_ending(message);
    if line.trim_ascii_end() == b"WSHello" {
        return Some(Command::Hello(None));
    }
    let space = line.iter().position(|&byte| byte == b' ')?;
    let rest = &line[space + 1..];
    match &line[..space] {
        b"WSHello" => Some(Command::Hello(Some(name(rest)?))),
        b"WSWhois" => Some(Command::Whois(name(rest)?)),
        _ => None,
    }
}

/// What follows the word `WSPrivate`: a name, one white space, and the text as it is.
fn private(rest: &[u8]) -> Option<Command<'_>> {
    let rest = rest.trim_ascii_start();
    let end = rest.iter().position(u8::is_ascii_whitespace);
    let (to, text) = match end {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (rest, &[][..]),
    };
    Some(Command::Private(name(to)?, text))
}

/// Whether white space comes first, in ASCII or outside of it.
fn begins_with_space(bytes: &[u8]) -> bool {
    let text = bytes.utf8_chunks().next();
    text.is_some_and(|text| text.valid().starts_with(char::is_whitespace))
}

/// The line end or NUL that a message ends with: an answer to it ends alike, so that a gateway that
/// frames by lines or NULs finds the answer's end.
pub(crate) fn ending(message: &[u8]) -> &[u8] {
    &message[without_ending(message).len()..]
}

/// `name` cut to `max` bytes, between characters.
pub(crate) fn cut(name: &str, max: usize) -> &str {
    let end = (0..=max.min(name.len()))
        .rev()
        .find(|&end| name.is_char_boundary(end));
    &name[..end.unwrap_or(0)]
}

fn without_ending(message: &[u8]) -> &[u8] {
    let end = message.iter().rposition(|byte| !b"\r\n\0".contains(byte));
    &message[..end.map_or(0, |last| last + 1)]
}

/// The first word of `bytes`, cut to [`MAX_NAME`]; `None` for what cannot be a name.
pub(crate) fn name(bytes: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(bytes).ok()?.split_whitespace().next()?;
    let fit = !name.chars().any(char::is_control);
    fit.then(|| cut(name, MAX_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_commands_are_read() {
        assert_eq!(parse(b"WSHello ann"), Some(Command::Hello(Some("ann"))));
        assert_eq!(parse(b"WSWhois ann"), Some(Command::Whois("ann")));
        assert_eq!(
            parse(b"WSPrivate ann how are you"),
            Some(Command::Private("ann", b"how are you"))
        );
    }

    #[test]
    fn a_hello_may_be_without_a_name() {
        for message in ["WSHello", "WSHello ", "WSHello\r\n", "WSHello \0"] {
            let hello = Some(Command::Hello(None));
            assert_eq!(parse(message.as_bytes()), hello, "{message:?}");
        }
    }

    #[test]
    fn a_private_text_is_taken_as_it_is() {
        assert_eq!(
            parse(b"WSPrivate ann  \xff\r\n"),
            Some(Command::Private("ann", b" \xff\r\n"))
        );
        assert_eq!(parse(b"WSPrivate ann "), Some(Command::Private("ann", b"")));
    }

    #[test]
    fn what_begins_as_a_private_message_is_none_for_all() {
        for message in [
            "WSPrivate  ann text",
            "WSPrivate\tann text",
            "WSPrivate\u{a0}ann\ttext",
        ] {
            let private = Some(Command::Private("ann", b"text"));
            assert_eq!(parse(message.as_bytes()), private, "{message:?}");
        }
        assert_eq!(parse(b"WSPrivate ann"), Some(Command::Private("ann", b"")));
        for message in [
            "WSPrivate ",
            "WSPrivate\n",
            "WSPrivate  \r\n",
            "WSPrivate a\x07 text",
        ] {
            let nothing = Some(Command::Nothing);
            assert_eq!(parse(message.as_bytes()), nothing, "{message:?}");
        }
        assert_eq!(parse(b"WSPrivate \xff text"), Some(Command::Nothing));
    }

    #[test]
    fn other_messages_are_not_commands() {
        for message in [
            "",
            "hello",
            "WSHelloann",
            "wshello ann",
            " WSHello ann",
            "WSPrivate",
            "WSPrivateann text",
            "WSHello a\x07",
        ] {
            assert_eq!(parse(message.as_bytes()), None, "{message:?}");
        }
        assert_eq!(parse(b"WSHello \xff\xfe"), None);
    }

    #[test]
    fn line_ends_and_nul_do_not_belong_to_a_name_and_are_given_back() {
        for end in ["\n", "\r\n", "\0"] {
            let message = format!("WSHello ann{end}");
            assert_eq!(parse(message.as_bytes()), Some(Command::Hello(Some("ann"))));
            assert_eq!(ending(message.as_bytes()), end.as_bytes());
        }
        assert_eq!(ending(b"WSHello ann"), b"");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let long = format!("WSHello {}", "é".repeat(20));
        assert_eq!(
            parse(long.as_bytes()),
            Some(Command::Hello(Some("é".repeat(14).as_str())))
        );
    }
}
