//! The one micro-kernel: 4 rows of A times 8 columns of B, for the scores (QKᵀ), for the weighted values (PV) and for
//! the matrix product.
//!
//! A is a block of rows at the constant stride [`super::ROW_STRIDE`], so that its four rows are one moving pointer with fixed
//! offsets; B is any sequence of 8 contiguous lanes at a constant stride. Eight accumulators and the two halves of a B
//! row leave room for the splats in the 15 vector registers of V8 on x64; the inner order is all rows with the first
//! half, then all rows with the second.
//!
//! Order per element: the sum starts at +0 and adds the products in ascending order of the inner index.

use super::{Lanes, MR, NR, ROW_STRIDE};
use crate::layout::{Rows8, Step, TileSteps};

/// What becomes of the 4 x 8 sums.
pub trait Epilogue<L: Lanes>: Copy {
    /// The new value of one half row of C, given its old value, the sums and the row's number.
    fn apply(&self, row: usize, old: impl FnOnce() -> L, sum: L) -> L;
}

/// `C = sum`.
#[derive(Clone, Copy)]
pub struct Store;
/// `C = sum * factor`.
#[derive(Clone, Copy)]
pub struct Scale(pub f32);
/// `C = (C + sum) * factor`; a factor of 1 leaves the sum's bits.
#[derive(Clone, Copy)]
pub struct AddScale(pub f32);
/// `C[row] = C[row] * x[row] + sum * y[row]`: a merge of two attention states.
#[derive(Clone, Copy)]
pub struct Merge {
    /// Factors of the state on the left, which C holds.
    pub x: [f32; MR],
    /// Factors of the new state.
    pub y: [f32; MR],
}

impl Merge {
    /// The factors of one row.
    pub fn of(&self, row: usize) -> [f32; 2] {
        [self.x[row], self.y[row]]
    }
}

impl<L: Lanes> Epilogue<L> for Store {
    #[inline(always)]
    fn apply(&self, _: usize, _: impl FnOnce() -> L, sum: L) -> L {
        sum
    }
}
impl<L: Lanes> Epilogue<L> for Scale {
    #[inline(always)]
    fn apply(&self, _: usize, _: impl FnOnce() -> L, sum: L) -> L {
        sum.mul(L::splat(self.0))
    }
}
impl<L: Lanes> Epilogue<L> for AddScale {
    #[inline(always)]
    fn apply(&self, _: usize, old: impl FnOnce() -> L, sum: L) -> L {
        old().add(sum).mul(L::splat(self.0))
    }
}
/// A merge for each group of four rows.
impl<L: Lanes> Epilogue<L> for &[Merge] {
    #[inline(always)]
    fn apply(&self, row: usize, old: impl FnOnce() -> L, sum: L) -> L {
        let merge = &self[row / MR];
        old().mul(L::splat(merge.x[row % MR])).add(sum.mul(L::splat(merge.y[row % MR])))
    }
}

/// One tile: `a` holds the four rows ([`super::ROW_STRIDE`] apart) from its first element, `b` the inner steps, and the 4 x 8
/// result goes to `c`, whose rows are `c_stride` apart.
#[inline(always)]
pub fn gemm_tile<L: Lanes, E: Epilogue<L>>(a: &[f32], b: Rows8<'_>, c: &mut [f32], c_stride: usize, epilogue: E) {
    gemm_tiles::<L, E>(a, b, c, c_stride, 1, epilogue);
}

/// The same for `groups` blocks of four rows, which lie one behind the other in A and in C: B stays in the first-level cache,
/// and the loop over its 8 columns is entered once.
#[inline(never)]
pub fn gemm_tiles<L: Lanes, E: Epilogue<L>>(
    a: &[f32],
    b: Rows8<'_>,
    c: &mut [f32],
    c_stride: usize,
    groups: usize,
    epilogue: E,
) {
    if b.stride() == NR {
        tiles::<L, E, NR>(a, b, c, c_stride, groups, epilogue);
    } else {
        tiles::<L, E, 0>(a, b, c, c_stride, groups, epilogue);
    }
}

/// The loop over the groups, for one stride of B's rows; 0 is any.
#[inline(always)]
fn tiles<L: Lanes, E: Epilogue<L>, const STRIDE: usize>(
    a: &[f32],
    b: Rows8<'_>,
    c: &mut [f32],
    c_stride: usize,
    groups: usize,
    epilogue: E,
) {
    let step = Step::one();
    for group in 0..groups {
        let [low, high] = tile_sums::<L, STRIDE>(TileSteps::new(&a[group * MR * ROW_STRIDE..], b, step));
        for r in 0..MR {
            let row = group * MR + r;
            let (halves, _) = c[row * c_stride..][..NR].as_chunks_mut::<4>();
            for (half, sum) in halves.iter_mut().zip([low[r], high[r]]) {
                epilogue.apply(row, || L::load(half), sum).store(half);
            }
        }
    }
}

/// The sums of a tile: the four rows' low halves, then their high halves. `STRIDE` is that of B's rows; 0 is any.
#[inline(always)]
pub fn tile_sums<L: Lanes, const STRIDE: usize>(mut steps: TileSteps<'_, STRIDE>) -> [[L; MR]; 2] {
    let mut low = [L::splat(0.0); MR];
    let mut high = low;
    while steps.turn(|a, [b_low, b_high]| {
        let b_low = L::load(b_low);
        let a = a.map(|x| L::splat(*x));
        for r in 0..MR {
            low[r] = a[r].mul_add(b_low, low[r]);
        }
        let b_high = L::load(b_high);
        for r in 0..MR {
            high[r] = a[r].mul_add(b_high, high[r]);
        }
    }) {}
    [low, high]
}
