//! Ground: several pieces in one system call (writev(2)).

use std::io::IoSlice;

/// Most pieces that one call gathers.
const MOST: usize = 4;

/// Has `write` write at most four pieces without their first `taken` bytes, and returns what it
/// returns. It gets one slice where one will do, since that is the cheaper call.
pub(crate) fn gather<T>(
    pieces: &[&[u8]],
    taken: usize,
    write: impl FnOnce(&[IoSlice<'_>]) -> T,
) -> T {
    if let [piece] | [piece, []] = pieces {
        return write(&[IoSlice::new(&piece[taken..])]);
    }
    let mut slices = [IoSlice::new(&[]); MOST];
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
    }
    let mut left = &mut slices[..pieces.len()];
    IoSlice::advance_slices(&mut left, taken);
    write(left)
}
