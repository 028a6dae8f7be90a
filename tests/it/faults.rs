//! A daemon that meets a fault: a library, which `cc` makes from faults.c, is preloaded before
//! libc.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::gateway::daemon;

/// Why these tests are left out in an emulator.
pub(crate) const NO_FAULTS: &str = "the library of faults is for another processor";

/// Starts a daemon with the fault of this name. faults.c says what each `value` means.
pub(crate) fn daemon_with(fault: &str, value: impl AsRef<OsStr>) -> Command {
    let mut command = daemon();
    command.env("LD_PRELOAD", library()).env(fault, value);
    command
}

/// The library, made once in each run.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.so");
        // Made under another name and renamed: another run may have loaded the old one.
        let new = library.with_extension(std::process::id().to_string());
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .args([new.as_path(), &source])
            .status();
        assert!(
            made.expect("a C compiler, which Rust needs to link")
                .success()
        );
        std::fs::rename(new, &library).expect("our own directory");
        library
    })
}
