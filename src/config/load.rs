//! From the path of a file to a [`Config`]: reads the file, the files that it includes, and the
//! servers of `config_d`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::built::{BUILT, Built};
use super::choices::LOG_LEVELS;
use super::keys::{
    CONFIG_D, CONTROL, INIT_D, LANDLOCK, LOG_FILE, LOG_LEVEL, PID_FILE, ROOT, SERVERS, USER,
};
use super::libconfig::diagnostic::{Diagnostic, Report, Severity};
use super::libconfig::parser;
use super::libconfig::source::{Sources, Span};
use super::libconfig::value::Setting;
use super::model::{Config, Listen, ServerConfig};
use super::reader::Reader;
use super::server;
use crate::system::trusted;

/// Most servers. Each has a thread of its own and reserves slots for clients.
const MAX_SERVERS: usize = 64;

/// A configuration and the warnings about it, or its errors and the warnings.
pub type Loaded = Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads and checks a configuration file.
///
/// # Errors
/// Every error and warning, in the order of the text.
pub fn load(path: &Path) -> Loaded {
    load_for(path, BUILT)
}

/// Checks a configuration that is in memory. `path` is its name in messages, and `@include` is
/// relative to its directory.
///
/// # Errors
/// Every error and warning, in the order of the text.
pub fn from_text(path: &Path, text: &str) -> Loaded {
    text_for(path, text, BUILT)
}

/// Returns the settings of a text as libconfig reads them. Their meaning is not checked.
///
/// # Errors
/// The errors of syntax.
#[doc(hidden)]
pub fn tree(path: &Path, text: &str) -> Result<Vec<Setting>, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let report = Report::default();
    let file = sources.add(path, text.to_owned());
    let settings = parser::parse(&mut sources, &report, file);
    match report.has_errors() {
        true => Err(report.finish(&sources)),
        false => Ok(settings),
    }
}

pub(crate) fn load_for(path: &Path, built: Built) -> Loaded {
    let mut sources = Sources::default();
    match sources.read(path) {
        Ok(file) => check(sources, file, built),
        Err(error) => {
            let message = format!("cannot read the configuration: {error}");
            Err(vec![Diagnostic::of_file(path, message)])
        }
    }
}

pub(crate) fn text_for(path: &Path, text: &str, built: Built) -> Loaded {
    let mut sources = Sources::default();
    let file = sources.add(path, text.to_owned());
    check(sources, file, built)
}

fn check(mut sources: Sources, file: usize, built: Built) -> Loaded {
    let report = Report::default();
    let settings = parser::parse(&mut sources, &report, file);
    let root = Reader::root(&settings, start_of(file), &report, built);
    let path = |key| root.text(key).map(PathBuf::from);
    let mut servers = servers(&root, &sources);
    let landlock = root.flag(&LANDLOCK);
    if landlock && !built.landlock {
        root.error(
            &LANDLOCK,
            "this ouistiti was built without Landlock (feature 'landlock')",
        );
    }
    let config_d = path(&CONFIG_D);
    if let Some(directory) = &config_d {
        match more_servers(&mut sources, &report, directory, built) {
            Ok(more) => servers.extend(more),
            Err(error) => {
                let message = format!("cannot read directory {}: {error}", directory.display());
                root.error(&CONFIG_D, message);
            }
        }
    }
    if servers.is_empty() && !report.has_errors() {
        report.error(
            start_of(file),
            "there is no server: servers = ( { websocket = { }; } );",
        );
    }
    match servers.get(MAX_SERVERS) {
        Some((_, span)) => report.error(*span, format!("more than {MAX_SERVERS} servers")),
        None => refuse_same_address(&servers, &report),
    }
    redirect(&mut servers, &report);
    let config = Config {
        user: root.text(&USER),
        pid_file: path(&PID_FILE),
        log_file: path(&LOG_FILE),
        log_level: root.choice(&LOG_LEVEL, &LOG_LEVELS),
        control: path(&CONTROL),
        init_d: path(&INIT_D),
        config_d,
        landlock,
        servers: servers.into_iter().map(|(server, _)| server).collect(),
    };
    let diagnostics = report.finish(&sources);
    match diagnostics.iter().any(|d| d.severity == Severity::Error) {
        true => Err(diagnostics),
        false => Ok((config, diagnostics)),
    }
}

fn start_of(file: usize) -> Span {
    Span {
        file,
        start: 0,
        end: 0,
    }
}

fn servers(root: &Reader, sources: &Sources) -> Vec<(ServerConfig, Span)> {
    let servers = root.list(&SERVERS);
    servers
        .iter()
        .map(|reader| (server::read(reader, sources), reader.here()))
        .collect()
}

/// Reads the servers of the files `*.conf` in a directory, in the order of the files' names.
fn more_servers(
    sources: &mut Sources,
    report: &Report,
    directory: &Path,
    built: Built,
) -> io::Result<Vec<(ServerConfig, Span)>> {
    trusted::check_path(directory)?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "conf")
            && path.is_file()
        {
            paths.push(path);
        }
    }
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let text = trusted::check_path(&path).and_then(|()| sources.read(&path));
        let file = text.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
        let settings = parser::parse(sources, report, file);
        found.extend(servers_alone(&settings, file, sources, report, built));
    }
    Ok(found)
}

/// Reads the servers of a file of `config_d`. Its other settings get a warning.
fn servers_alone(
    settings: &[Setting],
    file: usize,
    sources: &Sources,
    report: &Report,
    built: Built,
) -> Vec<(ServerConfig, Span)> {
    let root = Reader::root(settings, start_of(file), report, built);
    for setting in settings {
        if setting.name != SERVERS.name && ROOT.find(&setting.name).is_some() {
            let message = format!("'{}' has no effect in a file of config_d", setting.name);
            report.warning(setting.name_span, message);
        }
    }
    servers(&root, sources)
}

/// Notes an error for each server that has an address of an earlier one.
fn refuse_same_address(servers: &[(ServerConfig, Span)], report: &Report) {
    for (index, (server, span)) in servers.iter().enumerate() {
        for (number, (earlier, _)) in servers[..index].iter().enumerate() {
            let same = server
                .listen
                .iter()
                .find(|listen| listen.port() != Some(0) && is_taken(listen, earlier));
            if let Some(listen) = same {
                let number = number + 1;
                let message = format!("this server listens on {listen} like server {number}");
                report.error(*span, message);
            }
        }
    }
}

fn is_taken(listen: &Listen, server: &ServerConfig) -> bool {
    server.listen.iter().any(|other| other.is_same(listen))
}

/// Sets the port that `redirect` leads to: that of the first server with tls.
fn redirect(servers: &mut [(ServerConfig, Span)], report: &Report) {
    let port = |server: &ServerConfig| {
        let mut ports = server.listen.iter().filter_map(Listen::port);
        ports.find(|port| *port != 0)
    };
    let with_tls = servers.iter().filter(|(server, _)| server.tls.is_some());
    let https = with_tls.filter_map(|(server, _)| port(server)).next();
    for (server, span) in servers
        .iter_mut()
        .filter(|(server, _)| server.redirect.is_some())
    {
        if server.tls.is_some() {
            report.error(*span, "'redirect' is for a server without tls");
        } else if https.is_none() {
            let message = "'redirect' needs another server, with tls and a TCP port, to lead to";
            report.error(*span, message);
        }
        server.redirect = https;
    }
}
