//! How the built websocket_chat starts and ends.
#![allow(clippy::unwrap_used)]

#[path = "../../unixserver/tests/support/start.rs"]
mod start;
#[path = "../../unixserver/tests/support/mod.rs"]
mod support;

const PROGRAM: &str = env!("CARGO_BIN_EXE_websocket_chat");
const MANUAL: &str = include_str!("../../../man/websocket_chat.1");

/// It starts without any option.
fn needed(_aside: &support::Directory) -> Vec<String> {
    Vec::new()
}
