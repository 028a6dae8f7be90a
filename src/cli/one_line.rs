//! A start without a file: the configuration that `-l` and its companions stand for.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf, absolute};

use super::UsageError;

/// What `-l` and its companions say.
#[derive(Debug, Default)]
pub(super) struct OneLine {
    /// Where to listen: `[ADDR:]PORT` (`-l`).
    pub(super) listen: String,
    /// A program for each client, and its arguments (`--`); empty if there is none.
    pub(super) program: Vec<String>,
    /// The one backend: a path, or a host and a port (`-b`).
    pub(super) backend: Option<String>,
    /// A directory of sockets (`-d`).
    pub(super) directory: Option<String>,
    /// A directory of pages (`-w`).
    pub(super) pages: Option<String>,
    /// More pages that may connect (`-o`).
    pub(super) origins: Vec<String>,
}

/// Pages that may connect to a loopback address: those of a server on another port of this machine,
/// such as one for development.
const LOCAL_ORIGINS: [&str; 4] = ["same-host", "localhost", "127.0.0.1", "[::1]"];

impl OneLine {
    /// Returns the text of the configuration. Its paths are absolute, so that it can be put into a
    /// file anywhere; relative ones begin in `base`.
    ///
    /// # Errors
    /// What cannot be understood.
    pub(super) fn text(&self, base: &Path) -> Result<String, UsageError> {
        let address = address(&self.listen)?;
        let mut text = String::from("# Made by 'ouistiti -t -l'.\nservers = ({\n");
        put(&mut text, 1, "addr", &address);
        if let Some(pages) = &self.pages {
            text.push_str("\n    document = {\n");
            put(&mut text, 2, "docroot", &path(base, pages)?);
            text.push_str("    };\n");
        }
        text.push_str("\n    websocket = {\n");
        let origins = self.all_origins(&address);
        if !origins.is_empty() {
            put(&mut text, 2, "origins", &origins.join(","));
        }
        text.push_str("        list = true;\n");
        if cfg!(feature = "console") {
            text.push_str("        console = true;\n");
        }
        match (&self.directory, &self.backend, &self.program[..]) {
            (Some(directory), None, []) => put(&mut text, 2, "docroot", &path(base, directory)?),
            (None, Some(backend), []) => put_link(&mut text, base, backend)?,
            (None, None, [program, arguments @ ..]) => {
                put_program(&mut text, base, program, arguments)?;
            }
            (None, None, []) => {
                let message = "-l needs one of -b BACKEND, -d DIR and -- PROGRAM";
                return Err(UsageError(message.to_owned()));
            }
            _ => {
                let message = "-b BACKEND, -d DIR and -- PROGRAM exclude each other";
                return Err(UsageError(message.to_owned()));
            }
        }
        text.push_str("    };\n});\n");
        Ok(text)
    }

    fn all_origins(&self, address: &str) -> Vec<&str> {
        let is_local = ["127.", "[::1]:", "unix:"]
            .iter()
            .any(|start| address.starts_with(start));
        let local: &[&str] = if is_local { &LOCAL_ORIGINS } else { &[] };
        let more = self.origins.iter().map(String::as_str);
        local.iter().copied().chain(more).collect()
    }
}

/// Returns the address for `addr`: `PORT` alone is one of 127.0.0.1.
fn address(listen: &str) -> Result<String, UsageError> {
    if listen.starts_with("unix:") {
        return Ok(listen.to_owned());
    }
    let (host, port) = listen.rsplit_once(':').unwrap_or(("127.0.0.1", listen));
    let is_host = !host.is_empty() && (!host.contains(':') || host.ends_with(']'));
    match port.parse::<u16>() {
        Ok(port) if is_host => Ok(format!("{host}:{port}")),
        _ => Err(UsageError(format!(
            "-l takes a port or an address and a port, such as 8080, 192.168.1.1:8080, \
             [::1]:8080 or *:8080, not '{listen}'"
        ))),
    }
}

/// Writes the link to the one backend, for every name.
fn put_link(text: &mut String, base: &Path, backend: &str) -> Result<(), UsageError> {
    text.push_str("        links = ({\n");
    put(text, 3, "origin", "*");
    if backend.contains('/') {
        put(text, 3, "type", "unix");
        put(text, 3, "destination", &path(base, backend)?);
    } else {
        let (host, port) = backend
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| {
                UsageError(format!(
                    "-b takes the path of a UNIX socket, such as ./echo.sock, or HOST:PORT, not \
                     '{backend}'"
                ))
            })?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        put(text, 3, "type", "tcp");
        put(text, 3, "destination", bare.unwrap_or(host));
        let _ = writeln!(text, "            port = {port};");
    }
    text.push_str("        });\n");
    Ok(())
}

/// Writes the links to a program, one for every name and one for none.
fn put_program(
    text: &mut String,
    base: &Path,
    program: &str,
    arguments: &[String],
) -> Result<(), UsageError> {
    let destination = find(base, program)?;
    let arguments: Vec<_> = arguments.iter().map(|text| quoted(text)).collect();
    let mut open = "        links = ({\n";
    for origin in ["", "*"] {
        text.push_str(open);
        put(text, 3, "origin", origin);
        put(text, 3, "type", "exec");
        put(text, 3, "destination", &destination);
        if !arguments.is_empty() {
            let _ = writeln!(text, "            arguments = [{}];", arguments.join(", "));
        }
        put(text, 3, "directory", &path(base, ".")?);
        put(text, 3, "framing", "line");
        open = "        }, {\n";
    }
    text.push_str("        });\n");
    Ok(())
}

/// Returns the absolute path of a program. A name without a slash is looked for in PATH.
fn find(base: &Path, program: &str) -> Result<String, UsageError> {
    let in_path = std::env::var("PATH").unwrap_or_default();
    let (mut found, place) = match program.contains('/') {
        true => (vec![base.join(program)], ""),
        false => (
            in_path
                .split(':')
                .map(|dir| base.join(dir).join(program))
                .collect(),
            " in PATH; one of this directory begins with ./",
        ),
    };
    found.retain(|file| file.exists());
    let is_program = |file: &&PathBuf| {
        let mode = file.metadata().map(|data| data.permissions().mode());
        file.is_file() && mode.is_ok_and(|mode| mode & 0o111 != 0)
    };
    match (found.iter().find(is_program), found.first()) {
        (Some(file), _) => path(base, file),
        (None, Some(directory)) if directory.is_dir() => Err(UsageError(format!(
            "'{program}' is a directory, not a program"
        ))),
        (None, Some(_)) => Err(UsageError(format!(
            "'{program}' may not be executed; 'chmod a+x {program}' lets it"
        ))),
        (None, None) => Err(UsageError(format!(
            "there is no program '{program}'{place}"
        ))),
    }
}

/// Returns an absolute path. It can only be one of UTF-8, as all settings.
fn path(base: &Path, path: impl AsRef<Path>) -> Result<String, UsageError> {
    let path = path.as_ref();
    let absolute = absolute(base.join(path)).ok();
    let text = absolute.and_then(|path| path.into_os_string().into_string().ok());
    text.ok_or_else(|| {
        let path = path.display();
        UsageError(format!("cannot find out the absolute path of '{path}'"))
    })
}

/// Writes a setting with a string.
fn put(text: &mut String, depth: usize, name: &str, value: &str) {
    let value = quoted(value);
    let _ = writeln!(text, "{:1$}{name} = {value};", "", depth * 4);
}

/// Returns a string as it is written in a file.
fn quoted(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace('\n', "\\n").replace('\r', "\\r"))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "exec")]
    use crate::config::Framing;
    use crate::config::{ServerConfig, Target, from_text};

    fn line(listen: &str) -> OneLine {
        OneLine {
            listen: listen.to_owned(),
            directory: Some("/run/x".to_owned()),
            ..OneLine::default()
        }
    }

    /// The server that the configuration of a line has; it must load without a warning.
    fn server(line: &OneLine) -> ServerConfig {
        let text = line.text(Path::new("/base")).expect("a good line");
        let loaded = from_text(Path::new("x"), &text).unwrap_or_else(|e| panic!("{text}\n{e:#?}"));
        loaded.0.servers[0].clone()
    }

    #[test]
    fn a_port_alone_is_one_of_loopback_and_any_address_may_be_given() {
        for (listen, meant) in [
            ("8080", "127.0.0.1:8080"),
            ("192.168.1.1:80", "192.168.1.1:80"),
            ("[::1]:8080", "[::1]:8080"),
            ("*:0", "[::]:0"),
            ("br-lan:80", "br-lan:80"),
            ("unix:/run/w.sock", "unix:/run/w.sock"),
        ] {
            assert_eq!(server(&line(listen)).listen[0].to_string(), meant);
        }
        for listen in ["", "x", "127.0.0.1", "::1", ":80", "1.2.3.4:99999"] {
            let error = line(listen).text(Path::new("/base")).expect_err(listen);
            assert!(error.to_string().starts_with("-l takes a port"), "{error}");
        }
    }

    #[test]
    fn pages_of_this_machine_may_connect_to_loopback() {
        let mut own = line("8080");
        let hosts = |line: &OneLine| {
            let origins = server(line).websocket.expect("a gateway").origins;
            let hosts = origins.hosts.iter().map(ToString::to_string);
            (origins.same_host, origins.file, hosts.collect::<Vec<_>>())
        };
        let local = ["localhost", "127.0.0.1", "[[]::1[]]"].map(str::to_owned);
        assert_eq!(hosts(&own), (true, false, local.to_vec()));
        own.origins = vec!["file".to_owned()];
        assert_eq!(hosts(&own), (true, true, local.to_vec()));
        let mut public = line("*:8080");
        assert_eq!(hosts(&public), (false, false, vec![]));
        public.origins = vec!["www.example.org".to_owned()];
        let listed = vec!["www.example.org".to_owned()];
        assert_eq!(hosts(&public), (false, false, listed));
    }

    #[test]
    fn one_backend_serves_every_name() {
        let target = |backend: &str| {
            let line = OneLine {
                directory: None,
                backend: Some(backend.to_owned()),
                ..line("8080")
            };
            let link = server(&line).websocket.expect("a gateway").links[0].clone();
            assert_eq!(link.origin.as_str(), "*");
            link.target
        };
        assert_eq!(
            target("./a \"b\".sock"),
            Target::Unix("/base/a \"b\".sock".into())
        );
        assert_eq!(target("localhost:22"), Target::Tcp("localhost".into(), 22));
        assert_eq!(target("[::1]:22"), Target::Tcp("::1".into(), 22));
        for backend in ["echo", "host:", ":22", "host:x"] {
            let line = OneLine {
                directory: None,
                backend: Some(backend.to_owned()),
                ..line("8080")
            };
            assert!(line.text(Path::new("/base")).is_err(), "{backend}");
        }
    }

    #[cfg(feature = "exec")]
    #[test]
    fn a_program_runs_where_it_was_started_with_its_arguments_as_they_are() {
        let arguments = ["-c", "echo \"a, b\" \\\n"].map(str::to_owned);
        let line = OneLine {
            directory: None,
            program: [&["sh".to_owned()], &arguments[..]].concat(),
            ..line("8080")
        };
        let links = server(&line).websocket.expect("a gateway").links;
        let origins: Vec<_> = links.iter().map(|link| link.origin.as_str()).collect();
        assert_eq!(origins, ["", "*"]);
        for link in links {
            assert_eq!(link.service.framing, Framing::Line);
            let Target::Exec(program) = link.target else {
                panic!("{link:?}");
            };
            assert!(program.program.is_absolute() && program.program.ends_with("sh"));
            assert_eq!(program.arguments, arguments);
            assert_eq!(program.directory.as_deref(), Some(Path::new("/base/")));
        }
    }

    #[test]
    fn pages_are_a_document_section() {
        let mut own = line("8080");
        assert!(server(&own).document.is_none());
        own.pages = Some("/srv/www".to_owned());
        let document = server(&own).document.expect("pages");
        assert_eq!(document.docroot, Path::new("/srv/www"));
    }
}
