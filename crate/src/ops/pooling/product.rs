//! `out = weights x value` for a tile of four query rows.
//!
//! Order: that of the matrix product over the keys, in segments of 64 at absolute positions. A key of weight 0 is not added. The tile
//! adds it all the same, since the product of 0 and a finite value changes no bit; where it was not finite the row has NaN, and rows
//! with NaN are taken again by a loop that skips.

use crate::kernel::gemm_tile::{gemm_tile, AddScale, Store};
use crate::kernel::{Lanes, Native, MR, NR, ROW_STRIDE};
use crate::layout::{Rows8, View};

/// f32 elements of workspace for values of a width.
pub const fn workspace(width: usize) -> usize {
    MR * ROW_STRIDE + ROW_STRIDE * NR + MR * width.next_multiple_of(NR)
}

/// The value rows of one batch row and head.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// All of them.
    pub view: View<'a>,
    /// Batch row.
    pub batch: usize,
    /// Key head.
    pub head: usize,
}

impl Values<'_> {
    /// Multiplies four rows of `weights`, `stride` apart, by the first `length` values; `give` gets every row of the result.
    #[inline(never)]
    pub fn multiply(
        &self,
        weights: &[f32],
        stride: usize,
        length: usize,
        rows: usize,
        workspace: &mut [f32],
        mut give: impl FnMut(usize, &[f32]),
    ) {
        let width = self.view.shape().width;
        let padded = width.next_multiple_of(NR);
        let (block, rest) = workspace.split_at_mut(MR * ROW_STRIDE);
        let (tail, sums) = rest.split_at_mut(ROW_STRIDE * NR);
        let sums = &mut sums[..MR * padded];
        sums.fill(0.0);
        for from in (0..length).step_by(ROW_STRIDE) {
            let n = ROW_STRIDE.min(length - from);
            for (r, to) in block.chunks_exact_mut(ROW_STRIDE).enumerate() {
                to[..n].copy_from_slice(&weights[r * stride + from..][..n]);
            }
            for lane in (0..width).step_by(NR) {
                let values = if lane + NR <= width {
                    self.view.rows8(self.batch, from, self.head, lane, n)
                } else {
                    for (j, to) in tail.as_chunks_mut::<NR>().0[..n].iter_mut().enumerate() {
                        let row = &self.view.row(self.batch, from + j, self.head)[lane..];
                        to[..row.len()].copy_from_slice(row);
                        to[row.len()..].fill(0.0);
                    }
                    Rows8::packed(tail, n)
                };
                if from == 0 {
                    gemm_tile::<Native, _>(block, values, &mut sums[lane..], padded, Store);
                } else {
                    gemm_tile::<Native, _>(block, values, &mut sums[lane..], padded, AddScale(1.0));
                }
            }
        }
        for (r, row) in sums.chunks_exact_mut(padded).take(rows).enumerate() {
            if row[..width].iter().any(|x| x.is_nan()) {
                self.skip(&weights[r * stride..][..length], &mut tail[..NR], &mut row[..width]);
            }
            row.as_chunks_mut::<4>().0.iter_mut().for_each(|four| Native::load(four).canonical().store(four));
            give(r, &row[..width]);
        }
    }

    /// The same product for one row, keys of weight 0 left out.
    #[inline(never)]
    fn skip(&self, weights: &[f32], sums: &mut [f32], row: &mut [f32]) {
        for (lane, out) in row.chunks_mut(NR).enumerate() {
            out.fill(0.0);
            for (segment, weights) in weights.chunks(ROW_STRIDE).enumerate() {
                sums.fill(0.0);
                for (j, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                    let value = self.view.row(self.batch, segment * ROW_STRIDE + j, self.head);
                    sums.iter_mut().zip(&value[lane * NR..]).for_each(|(sum, v)| *sum += weight * v);
                }
                out.iter_mut().zip(&*sums).for_each(|(out, sum)| *out += sum);
            }
        }
    }
}
