//! Pairs of 16-bit integers in memory of f32.

/// Two neighbours along the inner axis of a product of integers.
pub type Pair = [i16; 2];

/// Memory of f32 as pairs.
pub fn pairs(memory: &[f32]) -> &[Pair] {
    // SAFETY: an f32 and a pair both have four bytes, any of which are valid, and an f32's alignment is a multiple of a pair's.
    unsafe { core::slice::from_raw_parts(memory.as_ptr().cast(), memory.len()) }
}

/// As [`pairs`], to write.
pub fn pairs_mut(memory: &mut [f32]) -> &mut [Pair] {
    // SAFETY: as in `pairs`; the borrow is handed on.
    unsafe { core::slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), memory.len()) }
}
