//! Running: reads the backend and sends to the client until the backend's direction is over.

use std::sync::atomic::Ordering;

use log::{debug, warn};

use super::ending::BackendEnd;
use super::patience::Patience;
use super::{Leave, Pump, is_silence};
use crate::backend::{Backend, Input};
use crate::client::frames::SendError;
use crate::frame::CloseCode;
use crate::system::reason::reason;
use crate::websocket::framing::{Forward, ToClient};

impl Pump {
    /// Copies until the direction is over and the client has taken all, or until the thread leaves.
    pub(super) fn copy_to(
        &self,
        out: &mut ToClient<'_>,
        patience: &mut Patience<'_>,
    ) -> Leave<BackendEnd> {
        if out.is_stuck() {
            match out.send_kept() {
                Ok(true) => self.from_backend.moved(),
                Ok(false) => {}
                Err(error) => return Leave::Over(self.unforwarded(error.into())),
            }
            if out.is_stuck() {
                return Leave::Silent;
            }
        }
        let leave = self.read_backend(out, patience);
        match leave {
            // There is no client any more.
            Leave::Silent | Leave::Over(BackendEnd::Client) => leave,
            Leave::Over(end) => match out.send_all_kept() {
                Ok(()) => Leave::Over(end),
                Err(error) => Leave::Over(self.unforwarded(error.into())),
            },
        }
    }

    fn read_backend(
        &self,
        out: &mut ToClient<'_>,
        patience: &mut Patience<'_>,
    ) -> Leave<BackendEnd> {
        loop {
            if !out.is_filling()
                && !patience.may_read(|| out.is_empty(), || self.backend.is_readable())
            {
                return Leave::Silent;
            }
            let input = match out.is_filling() {
                true => self.backend.read_now(out.space()),
                false => self.backend.read(out.space()).map(Some),
            };
            patience.has_read();
            let forwarded = match input {
                Ok(Some(Input::Bytes(count))) => out.forward(count),
                Ok(None) => out.forward(0),
                Ok(Some(Input::End)) => match out.end() {
                    Ok(()) => return Leave::Over(self.ended()),
                    Err(forward) => Err(forward),
                },
                Err(error) if is_silence(&error) => match patience.is_over(|| out.is_empty()) {
                    true => return Leave::Silent,
                    false => continue,
                },
                Err(error) => {
                    debug!(
                        "{:#}: the backend failed: {}",
                        self.writer.client(),
                        reason(&error)
                    );
                    let _ = out.end();
                    return Leave::Over(BackendEnd::Failed(match Backend::is_gone(&error) {
                        true => CloseCode::Away,
                        false => CloseCode::Error,
                    }));
                }
            };
            self.from_backend.moved();
            self.writer.client().traffic().to_client.set(out.count());
            if let Err(forward) = forwarded {
                return Leave::Over(self.unforwarded(forward));
            }
            if out.is_stuck() {
                return Leave::Silent;
            }
        }
    }

    /// The backend has ended its stream: in order, unless the client still needs it and it failed.
    fn ended(&self) -> BackendEnd {
        match !self.client_over.load(Ordering::Acquire) && self.backend.has_failed() {
            true => BackendEnd::Failed(CloseCode::Error),
            false => BackendEnd::Ended,
        }
    }

    fn unforwarded(&self, forward: Forward) -> BackendEnd {
        match forward {
            Forward::Send(SendError::Closed | SendError::Gone) => BackendEnd::Client,
            Forward::BadText => BackendEnd::Failed(CloseCode::Invalid),
            Forward::TooBig => BackendEnd::Failed(CloseCode::Size),
            Forward::NoMemory => BackendEnd::Failed(CloseCode::Again),
            Forward::BadOpcode(opcode) => {
                warn!(
                    "{}: the backend sent opcode byte {opcode}, which framing = \"length\" has not",
                    self.writer.client()
                );
                BackendEnd::Failed(CloseCode::Error)
            }
            Forward::Cut => {
                warn!(
                    "{}: the backend ended within a message of framing = \"length\"",
                    self.writer.client()
                );
                BackendEnd::Failed(CloseCode::Error)
            }
        }
    }
}
