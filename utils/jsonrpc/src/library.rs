//! The plugin of the option `-L`: found fit to load, loaded, and opened for each client.

use std::fs::File;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::O_NONBLOCK;
use rpcplugin::Error;

use crate::budget::Budget;
use crate::gateway::GatewayPlugin;
pub use crate::link::LoadError;
use crate::link::link;
use crate::methods::Methods;
use crate::native::NativePlugin;

/// Permission bits that let others than the owner change a file.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// A loaded plugin. It is never unloaded.
#[derive(Debug)]
pub struct Library(Plugin);

#[derive(Debug)]
enum Plugin {
    Native(NativePlugin),
    Gateway(GatewayPlugin),
}

impl Library {
    /// Checks and loads the plugin at `path`. Its constructors run with the rights that this
    /// program has now.
    ///
    /// # Errors
    /// Why it is not fit, or what the dynamic linker says.
    pub fn load(path: &Path) -> Result<Library, LoadError> {
        // Without O_NONBLOCK opening a pipe would wait for its writer.
        let file = File::options()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(path)
            .map_err(LoadError::Open)?;
        check(&file)?;
        let checked = checked_path(&file, path);
        let library = link(&checked).map_err(|error| {
            // The linker names the path it was given: /proc/self/fd/N.
            let named = |text: String| text.replace(&format!("{}: ", checked.display()), "");
            match error {
                LoadError::Link(text) => LoadError::Link(named(text)),
                other => other,
            }
        })?;
        let plugin = if let Some(plugin) = NativePlugin::find(&library)? {
            Plugin::Native(plugin)
        } else if let Some(plugin) = GatewayPlugin::find(&library)? {
            Plugin::Gateway(plugin)
        } else {
            return Err(LoadError::NotAPlugin);
        };
        Ok(Library(plugin))
    }

    /// Opens the plugin for one client, with the network address it is known to have; what the
    /// plugin asks for meanwhile comes from `budget`.
    ///
    /// # Errors
    /// What the plugin says.
    pub fn open(
        &self,
        config: &str,
        client: Option<IpAddr>,
        budget: &Budget,
    ) -> Result<Box<dyn Methods + '_>, Error> {
        match &self.0 {
            Plugin::Native(plugin) => Ok(Box::new(plugin.open(config, client, budget)?)),
            Plugin::Gateway(plugin) => Ok(Box::new(plugin.open(config)?)),
        }
    }
}

fn check(file: &File) -> Result<(), LoadError> {
    let metadata = file.metadata().map_err(LoadError::Open)?;
    if !metadata.is_file() {
        return Err(LoadError::NotAFile);
    }
    let owner = metadata.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Err(LoadError::Owner(owner));
    }
    if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(LoadError::WritableByOthers(metadata.mode() & 0o7777));
    }
    Ok(())
}

/// A name under which the linker opens the very file that was checked, even if another has
/// meanwhile taken its place; the plain path without /proc.
fn checked_path(file: &File, path: &Path) -> PathBuf {
    use std::os::fd::AsRawFd;
    let checked = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    if checked.exists() {
        return checked;
    }
    // The linker searches its own directories for a name without a slash.
    path.canonicalize().unwrap_or_else(|_| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_plugin_is_a_file_that_nobody_else_can_change() {
        let path = std::env::temp_dir().join(format!("jsonrpc-library-{}", std::process::id()));
        std::fs::write(&path, "no library").expect("a temporary file");
        let load = |mode: u32| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).expect("its mode");
            Library::load(&path).expect_err("no library").to_string()
        };
        assert!(load(0o666).contains("0666"), "{}", load(0o666));
        assert!(load(0o620).contains("chmod go-w"));
        // The dynamic linker's words, which are for its own name of the file.
        let words = load(0o600);
        assert!(
            !words.contains("chmod") && !words.contains("/proc"),
            "{words}"
        );
        assert!(words.contains("too short"), "{words}");
        std::fs::remove_file(&path).expect("it is there");
    }

    #[test]
    fn a_directory_and_a_missing_file_are_not_plugins() {
        let load = |path: &str| Library::load(Path::new(path)).expect_err("no plugin");
        assert!(matches!(load("/"), LoadError::NotAFile));
        assert!(matches!(load("/dev/null"), LoadError::NotAFile));
        assert!(matches!(load("/nowhere/at.all"), LoadError::Open(_)));
    }
}
