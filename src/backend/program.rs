//! Opening and running: a backend that is a program, or is not.

#[cfg(feature = "exec")]
use std::io;
#[cfg(feature = "exec")]
use std::os::fd::AsFd;
#[cfg(feature = "exec")]
use std::sync::Arc;
#[cfg(feature = "exec")]
use std::time::Duration;

use super::Backend;
#[cfg(feature = "exec")]
use super::{Kind, WRITE_WAIT, connect::set_limit, exec};
#[cfg(feature = "exec")]
use crate::config::ExecConfig;

impl Backend {
    /// Runs a program of its own for a client. `limit` bounds its start.
    ///
    /// # Errors
    /// What is wrong, on which program, and what helps.
    #[cfg(feature = "exec")]
    pub(crate) fn run(
        config: &Arc<ExecConfig>,
        run: exec::Run,
        limit: Duration,
    ) -> io::Result<Self> {
        let (socket, program) = exec::start(config, run, limit)?;
        set_limit(socket.as_fd(), WRITE_WAIT);
        Ok(Self {
            program: Some(Box::new(program)),
            ..Self::new(socket, Kind::Stream)
        })
    }

    /// Whether what stands behind it has ended its stream because it failed. Waits up to a second
    /// for a program to end.
    pub(crate) fn has_failed(&self) -> bool {
        #[cfg(feature = "exec")]
        if let Some(program) = &self.program {
            return program.has_failed();
        }
        false
    }

    /// Whether it is a program. One that ends with bytes unread has not failed for that.
    pub(crate) fn is_program(&self) -> bool {
        #[cfg(feature = "exec")]
        return self.program.is_some();
        #[cfg(not(feature = "exec"))]
        false
    }
}
