//! Tests: how little is kept of a connection while both of its directions are silent.

use std::mem::size_of;

use super::Pump;
use super::side::Side;
use crate::client::frames::FrameWriter;
use crate::server::slot::Slot;

/// Most bytes of it on the heap, but for the name of its service and its places in two tables.
const MOST: usize = 576;

#[test]
fn a_silent_connection_keeps_a_few_hundred_bytes() {
    let shared = size_of::<FrameWriter>() + size_of::<Pump>();
    let kept = shared + size_of::<Slot>() + 2 * size_of::<Side>();
    assert!(kept <= MOST, "{kept} bytes");
}
