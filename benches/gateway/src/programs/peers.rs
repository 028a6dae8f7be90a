//! Programs of others that do the same, started where this machine has them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CLIENTS, Process, Program, Service, free_port};

/// Starts each of those programs that the machine has; says in a line why one is left out.
pub fn start(starters: &[fn(&Path) -> io::Result<Program>], sockets: &Path) -> Vec<Program> {
    let started = starters.iter().map(|start| start(sockets));
    started
        .filter_map(|program| program.inspect_err(|why| eprintln!("left out: {why}")).ok())
        .collect()
}

/// lighttpd with mod_wstunnel: an event loop, which passes on what arrived together in one write.
pub fn lighttpd(sockets: &Path) -> io::Result<Program> {
    let executable = find("lighttpd")?;
    let port = free_port()?;
    let folder = sockets.display();
    let paths = ["echo", "bulk", "crowd"]
        .map(|name| format!("\"/{name}\" => ((\"socket\" => \"{folder}/{name}\"))"));
    let text = format!(
        "server.document-root = \"{folder}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
         server.modules = (\"mod_wstunnel\")\nserver.max-fds = {}\n\
         server.max-connections = {CLIENTS}\nwstunnel.frame-type = \"binary\"\n\
         wstunnel.server = ({})\n",
        2 * CLIENTS + 1000,
        paths.join(", ")
    );
    let file = sockets.join("lighttpd.conf");
    fs::write(&file, text)?;
    let mut command = Command::new(executable);
    command.arg("-D").arg("-f").arg(&file);
    let process = Process::listening("lighttpd", command, &[port], sockets)?;
    let mut program = Program::of("lighttpd", [port; Service::COUNT], vec![process]);
    program.keeps_apart = false;
    Ok(program)
}

/// websocat, of which one process serves one path.
pub fn websocat(sockets: &Path) -> io::Result<Program> {
    let executable = find("websocat")?;
    let start = |name: &str| {
        let port = free_port()?;
        let mut command = Command::new(&executable);
        command
            .args(["--binary", "--exit-on-eof"])
            .arg(format!("ws-l:127.0.0.1:{port}"))
            .arg(format!("unix:{}/{name}", sockets.display()));
        let process = Process::listening(&format!("websocat-{name}"), command, &[port], sockets)?;
        Ok::<_, io::Error>((port, process))
    };
    let ((echo, one), (bulk, two), (crowd, three)) =
        (start("echo")?, start("bulk")?, start("crowd")?);
    let mut program = Program::of(
        "websocat",
        [echo, echo, bulk, crowd, echo],
        vec![one, two, three],
    );
    program.merges = false;
    Ok(program)
}

/// websocketd, which runs a program for each client; here it is cat.
pub fn websocketd(sockets: &Path) -> io::Result<Program> {
    let port = free_port()?;
    let mut command = Command::new(find("websocketd")?);
    command.args([
        "--address=127.0.0.1",
        "--loglevel=fatal",
        &format!("--port={port}"),
        "cat",
    ]);
    let process = Process::listening("websocketd", command, &[port], sockets)?;
    let mut program = Program::of("websocketd", [port; Service::COUNT], vec![process]);
    program.has_children = true;
    Ok(program)
}

/// Where a program lies: in PATH, where Debian has servers, or where tests/setup builds what Debian
/// does not have.
fn find(name: &str) -> io::Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    std::env::split_paths(&paths)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .chain(cache.map(|cache| cache.join("ouistiti/bin")))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| io::Error::other(format!("there is no {name} (tests/setup bench gets it)")))
}
