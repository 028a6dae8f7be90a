//! How the built websocket_jsonrpc starts and ends, with a plugin that is fit.

mod plugins;

use servertest::Directory;
use servertest::start::Sample;

/// The example plugin.
fn needed(aside: &Directory) -> Vec<String> {
    let plugin = plugins::compile(aside, plugins::COUNTER, &[]);
    vec!["-L".to_string(), plugin.display().to_string()]
}

servertest::start_tests!(Sample {
    program: plugins::PROGRAM,
    manual: include_str!("../../../man/websocket_jsonrpc.1"),
    needed,
});
