//! Reads a link of type exec: the program that is run for each client.

use std::path::PathBuf;
use std::sync::Arc;

use super::endpoint::{ExecConfig, Target};
use super::keys::websocket::{ARGUMENTS, DESTINATION, DIRECTORY, MAXPROCESSES};
use super::reader::Reader;

/// Reads how `program` is run. Warns of a program that is missing, or that the user of the daemon
/// may not execute.
pub(crate) fn read(reader: &Reader, program: PathBuf) -> Option<Target> {
    if !program.is_absolute() {
        let message = "a program is named by its whole path, such as /usr/bin/python3";
        reader.error(&DESTINATION, message);
        return None;
    }
    let arguments = reader.texts(&ARGUMENTS);
    let directory = reader.text(&DIRECTORY).map(PathBuf::from);
    if let Some(trouble) = reader
        .disk
        .and_then(|disk| disk.trouble_of_program(&program))
    {
        let shown = program.display().to_string();
        let hint = match shown.contains(' ') && !program.exists() {
            true => "; what follows the program stands in 'arguments'",
            false => "",
        };
        let message = format!("no client can be served: {shown}: {trouble}{hint}");
        reader.report.warning(reader.span(&DESTINATION), message);
    }
    if let Some(directory) = &directory
        && let Some(trouble) = reader.disk.and_then(|disk| disk.trouble(directory))
    {
        let message = format!(
            "no client can be served: {}: {trouble}",
            directory.display()
        );
        reader.report.warning(reader.span(&DIRECTORY), message);
    }
    Some(Target::Exec(Arc::new(ExecConfig {
        program,
        arguments,
        directory,
        max_processes: usize::try_from(reader.count(&MAXPROCESSES)).unwrap_or(usize::MAX),
    })))
}
