//! Pairs of 16-bit integers in memory of f32, and the walk of one row of them past bytes.

use core::marker::PhantomData;

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

/// The inner steps of one row: a pair of A, and the pairs of 32 columns of B that lie side by side.
pub struct PairSteps<'a> {
    a: *const Pair,
    a_end: *const Pair,
    b: *const i8,
    stride: usize,
    life: PhantomData<&'a [i8]>,
}

impl<'a> PairSteps<'a> {
    /// Pairs a row with the rows of B, `stride` bytes apart.
    #[inline(always)]
    pub fn new(a: &'a [Pair], b: &'a [i8], stride: usize) -> Self {
        assert!(a.is_empty() || (a.len() - 1) * stride + 64 <= b.len());
        let range = a.as_ptr_range();
        Self { a: range.start, a_end: range.end, b: b.as_ptr(), stride, life: PhantomData }
    }
}

impl<'a> Iterator for PairSteps<'a> {
    type Item = (&'a Pair, &'a [[i8; 16]; 4]);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.a == self.a_end {
            return None;
        }
        // SAFETY: `new` proved that B has 64 bytes at each of A's steps; the end pointer stops after them. The step past the
        // last is computed wrapping and never read.
        unsafe {
            let steps = (&*self.a, &*self.b.cast());
            self.a = self.a.add(1);
            self.b = self.b.wrapping_add(self.stride);
            Some(steps)
        }
    }
}
