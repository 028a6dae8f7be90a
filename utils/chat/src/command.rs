//! Running: what a message asks of the server itself (`-w`).

/// Longest name, in bytes.
pub(crate) const MAX_NAME: usize = 29;

/// A message that is for the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    /// `WSHello NAME`: call me so.
    Hello(&'a str),
    /// `WSPrivate NAME TEXT`: this to NAME alone.
    Private(&'a str, &'a [u8]),
    /// `WSWhois NAME`: where is NAME?
    Whois(&'a str),
}

/// The command that `message` is; `None` if it is for the other clients.
///
/// A name ends at the first white space; a longer one than [`MAX_NAME`] is cut.
pub(crate) fn parse(message: &[u8]) -> Option<Command<'_>> {
    let (word, rest) = split(message)?;
    match word {
        b"WSHello" => Some(Command::Hello(name(without_ending(rest))?)),
        b"WSWhois" => Some(Command::Whois(name(without_ending(rest))?)),
        b"WSPrivate" => {
            let (to, text) = split(rest)?;
            Some(Command::Private(name(to)?, text))
        }
        _ => None,
    }
}

/// The line end or NUL that a message ends with: an answer to it ends alike, so that a
/// gateway that frames by lines or NULs finds the answer's end.
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

/// What stands before the first space and after it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|&byte| byte == b' ')?;
    Some((&bytes[..space], &bytes[space + 1..]))
}

fn name(bytes: &[u8]) -> Option<&str> {
    let name = std::str::from_utf8(bytes).ok()?.split_whitespace().next()?;
    let fit = !name.chars().any(char::is_control);
    fit.then(|| cut(name, MAX_NAME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_commands_are_read() {
        assert_eq!(parse(b"WSHello ann"), Some(Command::Hello("ann")));
        assert_eq!(parse(b"WSWhois ann"), Some(Command::Whois("ann")));
        assert_eq!(
            parse(b"WSPrivate ann how are you"),
            Some(Command::Private("ann", b"how are you"))
        );
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
    fn other_messages_are_not_commands() {
        for message in [
            "",
            "hello",
            "WSHello",
            "WSHello ",
            "WSHelloann",
            "wshello ann",
            " WSHello ann",
            "WSPrivate ann",
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
            assert_eq!(parse(message.as_bytes()), Some(Command::Hello("ann")));
            assert_eq!(ending(message.as_bytes()), end.as_bytes());
        }
        assert_eq!(ending(b"WSHello ann"), b"");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let long = format!("WSHello {}", "é".repeat(20));
        assert_eq!(
            parse(long.as_bytes()),
            Some(Command::Hello("é".repeat(14).as_str()))
        );
    }
}
