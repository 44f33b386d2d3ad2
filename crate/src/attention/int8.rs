//! Attending to a cache of int8: scores and weighted values as products of integers, row by row.
//!
//! A query row is kept as 16-bit integers once per call, the weights of a block once per block; the bytes of the cache enter
//! the products as they lie. A row's integers depend on that row alone, so its bits do not depend on the rows beside it; and
//! a block's bytes (8 KiB for keys and values of 64) stay in the first-level cache while the rows of a tile meet them.
//!
//! Order: `S` = the exact sum of a segment of 512 lanes of the head, rounded to f32; segments added ascending;
//! `raw = S * (s_q * s_k)`. Values: `w = p * s_v`, `P` its integer; `o = f32(S) * s_P`.

use super::cache::Int8Block;
use super::run::Run;
use super::BLOCK_KV;
use crate::kernel::pair_tile::{pair_tile, steepness};
use crate::kernel::row_tile::COLUMNS;
use crate::kernel::{Lanes, Native, CANONICAL_NAN, MR, NR, ROW_STRIDE};
use crate::layout::pairs::{pairs, pairs_mut};
use core::ops::Range;

/// Panels of eight columns in one of the kernel's.
const EIGHTS: usize = COLUMNS / NR;

impl<'a> Run<'a> {
    /// A block of an int8 cache, where there is one.
    pub(super) fn int8(&self, block: usize) -> Option<Int8Block<'a>> {
        self.cached(block)?.int8()
    }

    /// Rows of a group that are no padding.
    pub(super) fn rows_of(&self, group: usize) -> usize {
        MR.min(self.n - group * MR)
    }

    /// Elements of the query's memory that a row takes: its scale, then its pairs.
    fn query_stride(&self) -> usize {
        self.plan.segments * ROW_STRIDE
    }

    /// Turns the query rows into integers. A row that holds a NaN or an Infinity has the scale NaN, and so have its scores.
    #[inline(never)]
    pub(super) fn quantise_queries(&mut self) {
        let head_dim = self.spec.sizes.head_dim;
        let stride = self.query_stride();
        for r in 0..self.n {
            let index = self.index(r);
            let mut chunk = [0.0f32; ROW_STRIDE];
            let (mut largest, mut finite) = (0.0f32, true);
            for from in (0..head_dim).step_by(ROW_STRIDE) {
                let chunk = &mut chunk[..ROW_STRIDE.min(head_dim - from)];
                self.spec.query.copy(index, from, chunk);
                for x in chunk {
                    finite &= x.is_finite();
                    largest = largest.max(x.abs());
                }
            }
            let steepness = steepness(largest);
            let (scale, row) = self.query[r * stride..][..stride].split_at_mut(1);
            scale[0] = if finite { 1.0 / steepness } else { CANONICAL_NAN };
            for (to, from) in pairs_mut(row).chunks_mut(ROW_STRIDE / 2).zip((0..head_dim).step_by(ROW_STRIDE)) {
                chunk.fill(0.0);
                if finite {
                    self.spec.query.copy(index, from, &mut chunk[..ROW_STRIDE.min(head_dim - from)]);
                }
                let integers = rounded(&chunk, steepness);
                to.copy_from_slice(&integers.as_flattened().as_chunks::<2>().0[..to.len()]);
            }
        }
    }

    /// Scores of a group's rows, times a factor if one is given.
    #[inline(never)]
    pub(super) fn dot_int8(&mut self, block: &Int8Block<'_>, group: usize, panels: &Range<usize>, factor: Option<f32>) {
        let stride = self.query_stride();
        let count = self.spec.sizes.head_dim.div_ceil(2);
        let factor = Native::splat(factor.unwrap_or(1.0));
        for (r, scores) in self.scores.chunks_exact_mut(BLOCK_KV).enumerate().take(MR.min(self.n - group * MR)) {
            let (scale, row) = self.query[(group * MR + r) * stride..][..stride].split_at(1);
            let scale = Native::splat(scale[0]);
            let row = &pairs(row)[..count];
            for half in panels.start / EIGHTS..panels.end.div_ceil(EIGHTS) {
                let columns = half * COLUMNS..(half + 1) * COLUMNS;
                let sums = pair_tile(row, &block.keys[half * count * 2 * COLUMNS..], 2 * COLUMNS);
                let key_scales = block.key_scales[columns.clone()].as_chunks::<4>().0;
                let scores = scores[columns].as_chunks_mut::<4>().0;
                for ((to, sum), key_scale) in scores.iter_mut().zip(sums.as_flattened()).zip(key_scales) {
                    sum.mul(scale.mul(Native::load(key_scale))).mul(factor).store(to);
                }
            }
        }
    }

    /// Adds the weighted values of the given panels of columns to the accumulators of a group's rows. A hidden key's weight is
    /// the integer 0.
    #[inline(never)]
    pub(super) fn weigh_int8(
        &mut self,
        block: &Int8Block<'_>,
        group: usize,
        panels: &Range<usize>,
        factors: Option<[[f32; MR]; 2]>,
        o: &mut [f32],
    ) {
        let width = self.plan.value_width;
        let rows = self.rows_of(group);
        let scores = self.scores.as_chunks_mut::<BLOCK_KV>().0;
        for (r, (o, p)) in o.chunks_exact_mut(width.max(1)).zip(scores).enumerate().take(rows) {
            let mut largest = Native::splat(0.0);
            let quads = panels.start * 2..panels.end * 2;
            let scales = block.value_scales.as_chunks::<4>().0[quads.clone()].iter();
            for (p, scale) in p.as_chunks_mut::<4>().0[quads].iter_mut().zip(scales) {
                let weight = Native::load(p).mul(Native::load(scale));
                weight.store(p);
                largest = largest.larger(weight);
            }
            let steepness = steepness(largest.to_array().into_iter().fold(0.0, f32::max));
            let scale = Native::splat(1.0 / steepness);
            let integers = rounded(p, steepness);
            let integers = &integers.as_flattened().as_chunks::<2>().0[panels.start * NR / 2..panels.end * NR / 2];
            for (panel, o) in o.chunks_mut(COLUMNS).enumerate() {
                let lanes = COLUMNS.min(width - panel * COLUMNS);
                let values = &block.values[panel * COLUMNS * BLOCK_KV + panels.start * NR * lanes..];
                let sums = pair_tile(integers, values, 2 * lanes);
                let o = o.as_chunks_mut::<4>().0.iter_mut().zip(sums.as_flattened());
                match factors {
                    None => o.for_each(|(o, sum)| sum.mul(scale).store(o)),
                    Some([x, y]) => {
                        let (x, y) = (Native::splat(x[r]), Native::splat(y[r]));
                        o.for_each(|(o, sum)| Native::load(o).mul(x).add(sum.mul(scale).mul(y)).store(o));
                    }
                }
            }
        }
    }
}

/// 64 numbers times `steepness` as the nearest integers, ties to even.
#[inline(always)]
fn rounded(x: &[f32; BLOCK_KV], steepness: f32) -> [[i16; 8]; BLOCK_KV / 8] {
    let steepness = Native::splat(steepness);
    let quads = x.as_chunks::<4>().0;
    core::array::from_fn(|i| {
        let [low, high] = [0, 1].map(|half| Native::load(&quads[2 * i + half]).mul(steepness));
        Native::round(low, high)
    })
}
