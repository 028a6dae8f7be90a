//! The key table as the manual page ouistiti.conf(5).

use std::fmt::Write;

use super::keys::ROOT;
use super::keys::foreign::ANYWHERE;
use super::render::inherited;
use super::schema::{Key, Kind, NEEDED, Section};

const HEAD: &str = r#".\" Made from the key table in src/config/keys; 'cargo test' compares.
.TH OUISTITI.CONF 5 2026-11-29 "ouistiti" "File Formats"
.SH NAME
ouistiti.conf \- configuration of the WebSocket gateway ouistiti
.SH DESCRIPTION
.BR ouistiti (8)
reads this file, usually /etc/ouistiti.conf, when it starts and on the signal HUP.
.B ouistiti \-t
checks it and tells every error with its line and column.
.PP
The syntax is that of libconfig: settings
.I name = value;
(also
.I name : value;
the semicolon may be missing), groups { }, lists ( ) of anything and arrays [ ] of one type,
strings in double quotes, whole numbers in decimal or, behind 0x,
hexadecimal,
.B true
and
.BR false .
Strings that follow each other are joined.
In strings \en, \et, \er, \ef, \e\(dq, \e\e and \exNN are escapes.
Comments go from # or // to the end of the line, or from /* to */.
.B @include \(dqFILE\(dq
reads a file in its place; FILE is relative to the directory of the file that includes it,
all other paths to the working directory.
A file has at most 256 KiB, groups and lists nest 32 deep,
files include each other 10 deep, and there are at most 64 servers.
.PP
Lists of words are one string with commas, or an array of strings. A number may stand in quotes.
A size is a number of bytes, or a string of digits with K (1024 bytes) or M (1024 K) behind them.
Globs know *, ?, [abc], [a\-z] and [!a]; they match the whole name, upper and lower case are different.
As in files of the C gateway \e* is *,
and a leading ^ or / and a final $ change nothing.
"#;

const TAIL: &str = r#".SH EXAMPLE
The pages of a router and the WebSockets they use, on all addresses:
.PP
.nf
.RS
user = "nobody";
servers = ({
    document = { docroot = "/srv/www/htdocs"; };
    websocket = { docroot = "/var/run/ouistiti"; deny = "internal*"; };
});
.RE
.fi
.PP
The directory etc/ of the source has files for a local network, TLS, logins, nginx, HAProxy and
Caddy in front, a serial line, a program for each client, VNC, MQTT, SSH, PostgreSQL and a
development server.
.SH SEE ALSO
.BR ouistiti (8),
.BR websocket_echo (1),
.BR websocket_chat (1),
.BR websocket_jsonrpc (1)
"#;

/// Returns the source of the manual page.
pub(crate) fn manual() -> String {
    let mut text = String::from(HEAD);
    section(&mut text, &ROOT, "Settings of the file");
    foreign(&mut text);
    text.push_str(TAIL);
    text
}

/// Writes a section, and after it the sections that it contains.
fn section(text: &mut String, of: &Section, title: &str) {
    let _ = writeln!(text, ".SH {}", title.to_uppercase());
    for key in of.keys {
        entry(text, key);
    }
    if !of.inherited.is_empty() {
        let _ = writeln!(text, ".PP\n{}", escape(&inherited(of)));
    }
    for key in of.keys {
        match key.kind {
            Kind::Group(inner) => section(text, inner, &format!("Settings of {}", inner.name)),
            Kind::List(inner) => {
                section(text, inner, &format!("Settings of each of {}", inner.name));
            }
            _ => {}
        }
    }
}

fn entry(text: &mut String, key: &Key) {
    let value = match key.default() {
        _ if key.kind.section().is_some() => {
            let (open, close) = key.kind.brackets();
            format!(" = {open} ... {close}")
        }
        Some(default) => format!(" = {default}"),
        None => String::new(),
    };
    let value = value.replace('"', "\\(dq");
    let _ = writeln!(text, ".TP\n.BR {} \"{value}\"", escape(key.name));
    let _ = writeln!(text, "{}", escape(key.meaning));
    if let Some(bounds) = key.bounds() {
        let _ = writeln!(text, "{bounds}");
    }
    if let Kind::Choice(_, choices) = key.kind {
        for choice in choices {
            let _ = writeln!(text, ".br\n.BR \\(dq{}\\(dq :", escape(choice.word));
            let _ = writeln!(text, "{}.", escape(choice.meaning));
        }
    }
    if key.absent == NEEDED {
        let _ = writeln!(text, "Needed.");
    } else if !key.absent.is_empty() {
        let _ = writeln!(text, "Without it: {}.", escape(key.absent));
    }
    for former in key.former {
        let _ = writeln!(text, "Former name: {}.", escape(former));
    }
}

/// Writes the settings of the C gateway that have no effect.
fn foreign(text: &mut String) {
    let _ = writeln!(text, ".SH FILES OF THE C GATEWAY");
    let _ = writeln!(
        text,
        "They load. Each of these gets a warning and is otherwise ignored:"
    );
    list(
        text,
        "in any section",
        ANYWHERE.iter().map(|(name, _)| *name),
    );
    foreign_of(text, &ROOT);
    let _ = writeln!(text, ".PP\nAny other unknown setting is an error.");
}

fn foreign_of(text: &mut String, of: &Section) {
    let names = of.foreign.iter().map(|(name, _)| *name);
    list(text, &format!("in {}", of.name), names);
    for inner in of.keys.iter().filter_map(|key| key.kind.section()) {
        foreign_of(text, inner);
    }
}

fn list<'a>(text: &mut String, place: &str, names: impl Iterator<Item = &'a str>) {
    let names: Vec<_> = names.map(escape).collect();
    if !names.is_empty() {
        let _ = writeln!(text, ".TP\n{place}\n{}.", names.join(", "));
    }
}

/// Returns a text with roff's characters escaped, for any place in a line.
fn escape(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('"', "\\(dq");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}
