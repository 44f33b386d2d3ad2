//! The walk of one row past the rows of B.

use super::blocks::Stored;
use core::marker::PhantomData;

/// The inner steps of one row: an element of A and four times N contiguous elements of B at a time. `STRIDE` is that of B's rows,
/// or 0 where it is known at run time only: a known one is an offset in the load itself.
pub struct RowSteps<'a, A, E, const N: usize, const STRIDE: usize> {
    a: *const A,
    a_end: *const A,
    /// No step's; see [`RowSteps::step`].
    nowhere: *const A,
    b: *const E,
    stride: usize,
    life: PhantomData<(&'a [A], &'a [E])>,
}

/// Steps of a turn.
const TURN: usize = 4;

impl<'a, A, E: Stored, const N: usize, const STRIDE: usize> RowSteps<'a, A, E, N, STRIDE> {
    /// Pairs a row with the rows of B, `stride` elements apart.
    #[inline(always)]
    pub fn new(a: &'a [A], b: &'a [E], stride: usize) -> Self {
        assert!(STRIDE == 0 || STRIDE == stride);
        assert!(a.is_empty() || (a.len() - 1) * stride + 4 * N <= b.len());
        let range = a.as_ptr_range();
        let nowhere = core::hint::black_box(core::ptr::null());
        Self { a: range.start, a_end: range.end, nowhere, b: b.as_ptr(), stride, life: PhantomData }
    }

    /// Does the steps of a turn, or those that are left, half by half; whether there may be more.
    #[inline(always)]
    pub fn turn(&mut self, mut with: impl FnMut(usize, &'a A, &'a [[E; N]; 2])) -> bool {
        let with = &mut with;
        if STRIDE == 0 {
            return self.step(0, with);
        }
        let more = self.step(0, with) && self.step(1, with) && self.step(2, with) && self.step(3, with);
        self.b = self.b.wrapping_add(TURN * STRIDE);
        more
    }

    /// Does step `i` of a turn, if one is left; whether there was one.
    ///
    /// Between the halves lies an exit that is never taken. V8 moves all loads of a stretch of code without branches to its top:
    /// eight loads beside eight sums are more than its 15 registers, and two of the sums lay in memory (38 GB/s; so 68).
    #[inline(always)]
    fn step(&mut self, i: usize, with: &mut impl FnMut(usize, &'a A, &'a [[E; N]; 2])) -> bool {
        if self.a == self.a_end {
            return false;
        }
        // SAFETY: `new` proved that B has as many elements at each of A's steps; the end pointer stops after them. The step past the
        // last is computed wrapping and never read.
        unsafe {
            let (a, b) = (&*self.a, &*self.b.wrapping_add(i * STRIDE).cast::<[[[E; N]; 2]; 2]>());
            with(0, a, &b[0]);
            if self.a == self.nowhere {
                return false;
            }
            with(1, a, &b[1]);
            self.a = self.a.add(1);
            if STRIDE == 0 {
                self.b = self.b.wrapping_add(self.stride);
            }
        }
        true
    }
}
