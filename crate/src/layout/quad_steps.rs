//! The walk of one row along four rows of B that lie as they were given, several segments side by side.

use crate::kernel::ROW_STRIDE;
use core::marker::PhantomData;

/// Rows of B that are walked together.
const ROWS: usize = 4;

/// Elements of a cache line.
const LINE: usize = 16;

/// Four inner steps of each of `SEGMENTS` segments at a time: four elements of A, and of each of four rows of B.
///
/// Segments lie too near to each other for the hardware to see where they lead, so each step also touches as many elements of what
/// comes next, from first to last: 512 x 512 take a quarter less time.
pub struct QuadSteps<'a, const SEGMENTS: usize> {
    a: *const f32,
    a_end: *const f32,
    /// No step's: as in [`super::row_steps::RowSteps`], an exit before each segment but the first keeps V8 from loading for all of
    /// them at once. Each asks for another row, or they would be one.
    nowhere: *const f32,
    b: [*const f32; ROWS],
    ahead: *const f32,
    ahead_step: usize,
    life: PhantomData<&'a [f32]>,
}

impl<'a, const SEGMENTS: usize> QuadSteps<'a, SEGMENTS> {
    /// Pairs `SEGMENTS` segments of a row with the same of four rows, all from their first elements on; of a single one the first
    /// `n` elements, a multiple of 4. What is touched is `ahead`, if it has as many elements as the segments of B.
    #[inline(always)]
    pub fn new(a: &'a [f32], b: [&'a [f32]; ROWS], n: usize, ahead: &'a [f32]) -> Self {
        let all = (SEGMENTS - 1) * ROW_STRIDE + n;
        assert!(n.is_multiple_of(4) && n <= ROW_STRIDE && all <= a.len());
        let range = a[..n].as_ptr_range();
        let nowhere = core::hint::black_box(core::ptr::null());
        // One place, again and again, where there is nothing to touch.
        let ahead_step = if ahead.len() < ROWS * all { 0 } else { SEGMENTS * LINE };
        let ahead = if ahead_step == 0 { a } else { ahead }.as_ptr();
        let b = b.map(|row| row[..all].as_ptr());
        Self { a: range.start, a_end: range.end, nowhere, b, ahead, ahead_step, life: PhantomData }
    }

    /// Does four steps of each segment, if there are any left; whether there were.
    #[inline(always)]
    pub fn step(&mut self, mut with: impl FnMut(usize, &'a [f32; 4], [&'a [f32; 4]; ROWS])) -> bool {
        if self.a == self.a_end {
            return false;
        }
        for segment in 0..SEGMENTS {
            if segment > 0 && self.b[segment % ROWS] == self.nowhere {
                return false;
            }
            let at = segment * ROW_STRIDE;
            // SAFETY: `new` proved n elements of each segment in A and in all rows of B, and that fours end where they do.
            unsafe { with(segment, &*self.a.add(at).cast(), self.b.map(|row| &*row.add(at).cast())) }
            if SEGMENTS > 1 {
                // SAFETY: as many elements lie there as in B's segments, or the segments of A, which are longer than a step's lines.
                unsafe { self.ahead.add(segment * LINE).read_volatile() };
            }
        }
        // SAFETY: a four was left, so none of these is past the end.
        unsafe {
            self.a = self.a.add(4);
            self.b = self.b.map(|row| row.add(4));
            self.ahead = self.ahead.add(self.ahead_step);
        }
        true
    }
}
