//! libwebsocket.so is made for small flash.
#![cfg(target_arch = "x86_64")]

mod support;

/// Bytes the library may have. Two thirds of it are code; 10 KB are the tables by which debuggers
/// and pthread_cancel(3) find their way through it.
const BUDGET: u64 = 60 << 10;

#[test]
fn the_library_is_at_most_60_kb() {
    let library = support::library();
    let size = library.metadata().expect("it has just been built").len();
    assert!(size <= BUDGET, "{}: {size} bytes", library.display());
}
