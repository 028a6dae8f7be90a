//! How the built websocket_echo starts and ends.

use servertest::Directory;
use servertest::start::Sample;

/// It starts without any option.
fn needed(_aside: &Directory) -> Vec<String> {
    Vec::new()
}

servertest::start_tests!(Sample {
    program: env!("CARGO_BIN_EXE_websocket_echo"),
    manual: include_str!("../../../man/websocket_echo.1"),
    needed,
});
