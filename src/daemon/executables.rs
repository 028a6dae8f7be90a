//! Confinement: which files the kernel executes when a program is run (execve(2)).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How much of a file is looked at for the name of what executes it.
const BEGINNING: u64 = 4096;

/// Most files that execute each other: the kernel takes five scripts.
const DEPTH: usize = 6;

/// Where `env` looks for a program, if the daemon was not told.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns a program, what its first line names, and the loaders of these.
pub(crate) fn of(program: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut next = vec![program.to_owned()];
    for _ in 0..DEPTH {
        let named = next.iter().flat_map(|file| named_by(file)).collect();
        files.extend(std::mem::replace(&mut next, named));
    }
    files
}

/// Returns what a file names as what executes it.
fn named_by(file: &Path) -> Vec<PathBuf> {
    let mut start = Vec::new();
    let read = File::open(file).and_then(|file| file.take(BEGINNING).read_to_end(&mut start));
    if read.is_err() {
        return Vec::new();
    }
    match start.strip_prefix(b"#!") {
        Some(line) => of_script(line),
        None if start.starts_with(b"\x7fELF") => of_program(&start).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The interpreter of a script, and the program that `env` finds for it.
fn of_script(text: &[u8]) -> Vec<PathBuf> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).into_owned();
    let mut words = line.split_whitespace();
    let Some(interpreter) = words.next() else {
        return Vec::new();
    };
    let found = words
        .find(|word| !word.starts_with('-'))
        .filter(|_| interpreter.ends_with("/env"))
        .and_then(find);
    [PathBuf::from(interpreter)]
        .into_iter()
        .chain(found)
        .collect()
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
    let mut files = path
        .split(':')
        .map(|directory| Path::new(directory).join(name));
    files.find(|file| file.is_file())
}

/// The loader that an ELF file names near its beginning (elf(5), PT_INTERP): a path that ends with
/// a NUL and whose last part begins with `ld`.
fn of_program(start: &[u8]) -> Option<PathBuf> {
    let mut texts = start.split(|byte| *byte == 0);
    texts.find_map(|text| {
        let path = Path::new(str::from_utf8(text).ok()?);
        let name = path.file_name()?.to_str()?;
        (path.is_absolute() && name.starts_with("ld")).then(|| path.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::beneath::tests::Scratch;

    #[test]
    fn a_script_brings_its_interpreter_and_that_one_its_loader() {
        let scratch = Scratch::new();
        let script = scratch.0.join("script");
        std::fs::write(&script, "#!/usr/bin/env -S sh\necho\n").expect("a free name");
        let files = of(&script);
        assert_eq!(files[..2], [script, "/usr/bin/env".into()]);
        assert!(files.iter().any(|file| file.ends_with("sh")), "{files:?}");
        assert!(of(&scratch.0.join("missing")).len() == 1);
    }
}
