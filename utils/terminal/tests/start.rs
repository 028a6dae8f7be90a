//! How the built websocket_terminal starts and ends.
#![allow(clippy::unwrap_used)]

#[path = "../../unixserver/tests/support/start.rs"]
mod start;
#[path = "../../unixserver/tests/support/mod.rs"]
mod support;

const PROGRAM: &str = env!("CARGO_BIN_EXE_websocket_terminal");
const MANUAL: &str = include_str!("../../../man/websocket_terminal.1");

/// A program.
fn needed(_aside: &support::Directory) -> Vec<String> {
    ["--", "cat"].map(str::to_owned).to_vec()
}
