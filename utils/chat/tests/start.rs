//! How the built websocket_chat starts and ends.

use servertest::Directory;
use servertest::start::Sample;

/// It starts without any option.
fn needed(_aside: &Directory) -> Vec<String> {
    Vec::new()
}

servertest::start_tests!(Sample {
    program: env!("CARGO_BIN_EXE_websocket_chat"),
    manual: include_str!("../../../man/websocket_chat.1"),
    needed,
});
