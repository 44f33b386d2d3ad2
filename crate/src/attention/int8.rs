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
use crate::kernel::pair_tile::{pair_tile, rounded, steepness};
use crate::kernel::row_tile::COLUMNS;
use crate::kernel::{Lanes, Native, CANONICAL_NAN, MR, NR, ROW_STRIDE};
use crate::layout::pairs::{pairs, pairs_mut};
use core::ops::Range;

/// Panels of eight columns in one of the kernel's.
const EIGHTS: usize = COLUMNS / NR;
/// Fours of columns in one of the kernel's panels.
const QUADS: usize = COLUMNS / 4;

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
            let row = &mut self.query[r * stride..][..stride];
            self.spec.query.copy(index, 0, &mut row[..head_dim]);
            row[head_dim..].fill(0.0);
            let (mut largest, mut marks) = (Native::splat(0.0), Native::splat(0.0));
            for x in row.as_chunks::<4>().0 {
                let x = Native::load(x);
                largest = largest.larger(x.abs());
                // x - x is NaN for what is not finite.
                marks = marks.add(x.sub(x));
            }
            let steepness = steepness(largest);
            // Eight numbers are read before their four words are written, one word further on.
            for at in (0..stride).step_by(8) {
                let integers = rounded(&[row.as_chunks().0[at / 4], row.as_chunks().0[at / 4 + 1]], steepness);
                pairs_mut(row)[1 + at / 2..][..4].copy_from_slice(integers.as_chunks::<2>().0);
            }
            let finite = !marks.to_array().iter().any(|mark| mark.is_nan());
            row[0] = if finite { 1.0 / steepness } else { CANONICAL_NAN };
        }
    }

    /// Scores of a group's rows, times a factor if one is given.
    #[inline(never)]
    pub(super) fn dot_int8(&mut self, block: &Int8Block<'_>, group: usize, panels: &Range<usize>, factor: Option<f32>) {
        let stride = self.query_stride();
        let count = self.spec.sizes.head_dim.div_ceil(2);
        let rows = self.rows_of(group);
        for (r, scores) in self.scores.as_chunks_mut::<BLOCK_KV>().0.iter_mut().enumerate().take(rows) {
            let (scale, row) = self.query[(group * MR + r) * stride..][..stride].split_at(1);
            let scale = Native::splat(scale[0]);
            let row = &pairs(row)[..count];
            for half in panels.start / EIGHTS..panels.end.div_ceil(EIGHTS) {
                let key_scales = &block.key_scales.as_chunks::<4>().0[half * QUADS..][..QUADS];
                let scales = core::array::from_fn(|i| scale.mul(Native::load(&key_scales[i])).to_array());
                let keys = &block.keys[half * count * 2 * COLUMNS..];
                let scores = &mut scores[half * COLUMNS..][..COLUMNS];
                pair_tile(row, keys, 2 * COLUMNS, &scales, None, factor.unwrap_or(1.0), scores);
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
            let p = p.as_chunks_mut::<4>().0;
            let scales = block.value_scales.as_chunks::<4>().0[quads.clone()].iter();
            for (p, scale) in p[quads].iter_mut().zip(scales) {
                let weight = Native::load(p).mul(Native::load(scale));
                weight.store(p);
                largest = largest.larger(weight);
            }
            let steepness = steepness(largest);
            let integers: [_; BLOCK_KV / 8] = core::array::from_fn(|i| rounded(&[p[2 * i], p[2 * i + 1]], steepness));
            let integers = &integers.as_flattened().as_chunks::<2>().0[panels.start * NR / 2..panels.end * NR / 2];
            let scales = [[1.0 / steepness; 4]; QUADS];
            let (x, y) = factors.map_or((None, 1.0), |[x, y]| (Some(x[r]), y[r]));
            for (panel, o) in o.chunks_mut(COLUMNS).enumerate() {
                let lanes = COLUMNS.min(width - panel * COLUMNS);
                let values = &block.values[panel * COLUMNS * BLOCK_KV + panels.start * NR * lanes..];
                pair_tile(integers, values, 2 * lanes, &scales, x, y, o);
            }
        }
    }
}
