//! The daemon's program: what the command line asks for, and the exit code.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use ouistiti::parts::cli::{self, Command};
use ouistiti::parts::daemon::{self, Error};

fn main() -> ExitCode {
    daemon::close_inherited();
    if let Some(code) = daemon::keep() {
        return code;
    }
    run().unwrap_or_else(|error| {
        eprintln!("ouistiti: {error}");
        error.exit_code()
    })
}

fn run() -> Result<ExitCode, Error> {
    match cli::parse(std::env::args_os().skip(1))? {
        Command::Print(text) => print!("{text}"),
        Command::Test(options) => daemon::test(&options)?,
        Command::Kill(options) => daemon::kill(&options)?,
        Command::Ask(options, words) => return daemon::ask(&options, &words),
        Command::Serve(options) => return daemon::serve(&options),
    }
    Ok(ExitCode::SUCCESS)
}
