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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_not_written_again() {
        let split: [&[&[u8]]; 5] = [
            &[b"gather"],
            &[b"gather", b""],
            &[b"ga", b"ther"],
            &[b"", b"gat", b"her"],
            &[b"g", b"a", b"the", b"r"],
        ];
        for pieces in split {
            for taken in 0..6 {
                let written: Vec<u8> = gather(pieces, taken, |slices| {
                    slices.iter().flat_map(|slice| slice.to_vec()).collect()
                });
                assert_eq!(written, b"gather"[taken..], "{taken} of {pieces:?}");
            }
        }
        assert_eq!(gather(&[b"one", b""], 1, |slices| slices.len()), 1);
    }
}
