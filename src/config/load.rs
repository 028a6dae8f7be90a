//! From the path of a file to a [`Config`]: reads the file, the files that it includes, and the
//! servers of `config_d`.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::ptr;
use std::time::Duration;

use super::built::{BUILT, Built};
use super::choices::LOG_LEVELS;
use super::disk::Disk;
use super::keys::{
    CONFIG_D, CONTROL, INIT_D, LANDLOCK, LOG_FILE, LOG_LEVEL, METRICS, PID_FILE, ROOT, SERVERS,
    UPGRADE_LIMIT, USER,
};
use super::libconfig::diagnostic::{Diagnostic, Report, Severity};
use super::libconfig::parser;
use super::libconfig::source::{Sources, Span};
use super::libconfig::value::{Setting, Value};
use super::model::{Config, Listen, MAX_SOCKET_PATH, ServerConfig};
use super::reader::{Context, Reader};
use super::schema::Key;
use super::server;
use crate::system::reason::reason;
use crate::system::trusted;

/// Permissions of a UNIX socket for metrics: for the group of the starting user too.
const METRICS_MODE: u32 = 0o660;

/// Most servers. Each has a thread of its own and reserves slots for clients.
const MAX_SERVERS: usize = 64;

/// A configuration and the warnings about it, or its errors and the warnings.
pub(crate) type Loaded = Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>>;

/// Reads and checks a configuration file, and looks for the directories that it serves.
///
/// # Errors
/// Every error and warning, in the order of the text.
pub(crate) fn load(path: &Path) -> Loaded {
    let mut sources = Sources::default();
    let file = read(&mut sources, path)?;
    check(sources, file, BUILT, true)
}

/// Checks a configuration that is in memory, as [`load`] does.
///
/// # Errors
/// Every error and warning, in the order of the text.
pub(crate) fn load_text(path: &Path, text: &str) -> Loaded {
    let mut sources = Sources::default();
    let file = sources.add(path, text.to_owned());
    check(sources, file, BUILT, true)
}

/// Checks a configuration that is in memory, without a look at its directories. `path` is its name
/// in messages, and `@include` is relative to its directory.
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

/// Reads a file for a program with these features. The disk is not looked at.
#[cfg(test)]
pub(crate) fn load_for(path: &Path, built: Built) -> Loaded {
    let mut sources = Sources::default();
    let file = read(&mut sources, path)?;
    check(sources, file, built, false)
}

/// Checks a text for a program with these features. The disk is not looked at.
pub(crate) fn text_for(path: &Path, text: &str, built: Built) -> Loaded {
    let mut sources = Sources::default();
    let file = sources.add(path, text.to_owned());
    check(sources, file, built, false)
}

fn read(sources: &mut Sources, path: &Path) -> Result<usize, Vec<Diagnostic>> {
    sources.read(path).map_err(|error| {
        let cure = match error.kind() {
            ErrorKind::NotFound => "; -f names another file, and -l serves without one",
            _ => "",
        };
        let message = format!("cannot read the configuration: {}{cure}", reason(&error));
        vec![Diagnostic::of_file(path, message)]
    })
}

fn check(mut sources: Sources, file: usize, built: Built, look: bool) -> Loaded {
    let report = Report::default();
    let settings = parser::parse(&mut sources, &report, file);
    let disk = look.then(|| Disk::new(text_of(&settings, &USER)));
    let context = Context {
        report: &report,
        built,
        disk: disk.as_ref(),
    };
    let root = Reader::root(&settings, start_of(file), context);
    let path = |key| root.text(key).map(PathBuf::from);
    let servers = all_servers(&root, &mut sources, context);
    let config = Config {
        user: root.text(&USER),
        pid_file: path(&PID_FILE),
        log_file: path(&LOG_FILE),
        log_level: root.choice(&LOG_LEVEL, &LOG_LEVELS),
        control: control(&root),
        metrics: metrics(&root),
        init_d: path(&INIT_D),
        config_d: path(&CONFIG_D),
        landlock: landlock(&root),
        upgrade_limit: match root.count(&UPGRADE_LIMIT) {
            0 => None,
            seconds => Some(Duration::from_secs(seconds.into())),
        },
        servers,
    };
    let diagnostics = report.finish(&sources);
    match diagnostics.iter().any(|d| d.severity == Severity::Error) {
        true => Err(diagnostics),
        false => Ok((config, diagnostics)),
    }
}

/// Reads the servers of the file and those of `config_d`, and checks them together.
fn all_servers(root: &Reader, sources: &mut Sources, context: Context) -> Vec<ServerConfig> {
    let report = context.report;
    let mut servers = servers(root, sources);
    if let Some(path) = root.text(&CONFIG_D) {
        match more_servers(sources, context, Path::new(&path)) {
            Ok(more) => servers.extend(more),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = format!("no servers are read: {path}: {}", reason(&error));
                report.warning(root.span(&CONFIG_D), message);
            }
            Err(error) => root.error(&CONFIG_D, format!("cannot read {path}: {}", reason(&error))),
        }
    }
    if servers.is_empty() && !report.has_errors() {
        let message = "there is no server: servers = ( { websocket = { }; } );";
        report.error(root.here(), message);
    }
    match servers.get(MAX_SERVERS) {
        Some((_, span)) => report.error(*span, format!("more than {MAX_SERVERS} servers")),
        None => refuse_same_address(&servers, report),
    }
    redirect(&mut servers, report);
    servers.into_iter().map(|(server, _)| server).collect()
}

fn control(root: &Reader) -> Option<PathBuf> {
    let path = PathBuf::from(root.text(&CONTROL)?);
    refuse_unbuilt(root, &CONTROL);
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        root.error(
            &CONTROL,
            "the path is longer than the 107 bytes of a socket's",
        );
    }
    Some(path)
}

/// Reads where metrics are served: nowhere but on this machine, since they have no login.
fn metrics(root: &Reader) -> Option<Listen> {
    let word = root.text(&METRICS)?;
    refuse_unbuilt(root, &METRICS);
    if let Some(path) = word.strip_prefix("unix:")
        && path.len() <= MAX_SOCKET_PATH
    {
        let (path, mode, group) = (PathBuf::from(path), METRICS_MODE, None);
        return Some(Listen::Unix { path, mode, group });
    }
    match word.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Some(Listen::Tcp(address)),
        Ok(_) => {
            let message = "metrics have no login: a loopback address such as 127.0.0.1:9180, \
                 or 'unix:/PATH'";
            root.error(&METRICS, message);
            None
        }
        Err(_) => {
            let message = format!("'{word}' is neither 127.0.0.1:PORT, [::1]:PORT nor unix:/PATH");
            root.error(&METRICS, message);
            None
        }
    }
}

fn refuse_unbuilt(root: &Reader, key: &'static Key) {
    if !root.built.state {
        let message = "this ouistiti was built without it (feature 'state')";
        root.error(key, message);
    }
}

fn landlock(root: &Reader) -> bool {
    let landlock = root.flag(&LANDLOCK);
    if landlock && !root.built.landlock {
        let message = "this ouistiti was built without Landlock (feature 'landlock')";
        root.error(&LANDLOCK, message);
    }
    landlock
}

/// Returns the text of a key at the top of a file, unchecked.
fn text_of<'a>(settings: &'a [Setting], key: &Key) -> Option<&'a str> {
    let setting = settings.iter().find(|setting| setting.name == key.name)?;
    match &setting.node.value {
        Value::Text(text) => Some(text),
        _ => None,
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

/// Reads the servers of the files `*.conf` in a directory, in the order of the files' names, or
/// those of a file.
fn more_servers(
    sources: &mut Sources,
    context: Context,
    path: &Path,
) -> io::Result<Vec<(ServerConfig, Span)>> {
    let mut found = Vec::new();
    for path in files(path)? {
        let text = trusted::check_path(&path).and_then(|()| sources.read(&path));
        let file = text.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("{}: {}", path.display(), reason(&error)),
            )
        })?;
        let settings = parser::parse(sources, context.report, file);
        let root = Reader::root(&settings, start_of(file), context);
        warn_of_others(&settings, context.report);
        found.extend(servers(&root, sources));
    }
    Ok(found)
}

/// Returns the files that `config_d` stands for.
///
/// # Errors
/// As readdir(3); that others may write to the directory.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    trusted::check_path(path)?;
    if fs::metadata(path)?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let is_conf = path.extension().is_some_and(|end| end == "conf");
        if is_conf && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Warns of the settings of a file of `config_d` that are not servers.
fn warn_of_others(settings: &[Setting], report: &Report) {
    for setting in settings {
        let key = ROOT.find(&setting.name);
        if key.is_some_and(|key| !ptr::eq(key, &SERVERS)) {
            let message = format!("'{}' has no effect in a file of config_d", setting.name);
            report.warning(setting.name_span, message);
        }
    }
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
