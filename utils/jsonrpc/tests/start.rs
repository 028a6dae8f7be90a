//! How the built websocket_jsonrpc starts and ends, with a plugin that is fit.

mod plugins;
#[allow(clippy::unwrap_used)]
#[path = "../../unixserver/tests/support/start.rs"]
mod start;
#[path = "../../unixserver/tests/support/mod.rs"]
mod support;

use plugins::PROGRAM;

const MANUAL: &str = include_str!("../../../man/websocket_jsonrpc.1");

/// The example plugin.
fn needed(aside: &support::Directory) -> Vec<String> {
    let plugin = plugins::compile(aside, plugins::COUNTER, &[]);
    vec!["-L".to_string(), plugin.display().to_string()]
}
