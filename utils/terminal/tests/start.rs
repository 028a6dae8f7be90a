//! How the built websocket_terminal starts and ends.

use servertest::Directory;
use servertest::start::Sample;

/// A program.
fn needed(_aside: &Directory) -> Vec<String> {
    ["--", "cat"].map(str::to_owned).to_vec()
}

servertest::start_tests!(Sample {
    program: env!("CARGO_BIN_EXE_websocket_terminal"),
    manual: include_str!("../../../man/websocket_terminal.1"),
    needed,
});
