//! Decoding: one row, or a few, meet the blocks of a cache one by one, reading them where they lie.
//!
//! Between two blocks lies nothing but what the contract asks for: at 64 lanes a block's keys and values are 32 KiB, which a
//! core reads in half a microsecond, and the checks that a masked or partly visible block needs took a quarter of that.

use super::cache::{CacheDType, HeadBlock};
use super::cache_rows::{rows_one_by_one, RowValues};
use super::mask::Columns;
use super::operand::Operand;
use super::run::Run;
use super::spec::{ScoreScale, Source};
use super::state::{Place, Stack};
use super::BLOCK_KV;
use crate::kernel::gemm_block::row_by_rows;
use crate::kernel::pack::touch;
use crate::kernel::reduce::row_max;
use crate::kernel::row_tile::{Elements, COLUMNS};
use crate::kernel::{Lanes, Native, MR, ROW_STRIDE};
use crate::layout::View;

/// Rows up to which each meets keys and values where they lie; more go through panels, four at a time.
const ROWS_AS_THEY_LIE: usize = 2;

impl<'a> Run<'a> {
    /// A block of the cache, where its rows are taken one by one: one or two are decoded faster so than as a tile of four (two rows
    /// in 0.70 of its time, three in as much, four in 1.2 times as much).
    #[inline(always)]
    pub(super) fn cached_by_row(&self, block: usize) -> Option<HeadBlock<'a>> {
        self.cached(block).filter(|cached| self.n <= rows_one_by_one(cached.format().dtype))
    }

    /// Whether [`Run::decode`] serves the rows of the tile, which are then one group.
    pub(super) fn decodes(&self) -> bool {
        let sizes = &self.spec.sizes;
        if sizes.value_head_dim < COLUMNS {
            return false;
        }
        match &self.spec.source {
            Source::Cache(cache) => {
                let dtype = cache.format().dtype;
                let in_place = dtype == CacheDType::F32 || dtype == CacheDType::Bf16;
                self.n <= rows_one_by_one(dtype) && (in_place || !self.value_copy.is_empty())
            }
            // Whole fours of a key and whole panels of a value.
            Source::Rows { key: Operand::F32(_), value: Operand::F32(_) } => {
                let whole = sizes.head_dim.is_multiple_of(4) && sizes.value_head_dim.is_multiple_of(COLUMNS);
                self.n <= ROWS_AS_THEY_LIE && self.plan.packed == 0 && whole
            }
            Source::Rows { .. } => false,
        }
    }

    /// Adds a block that all rows see all of to their states, its exponentials taken while its values are read.
    #[inline(never)]
    pub(super) fn decode(&mut self, stack: &mut Stack<'_>, place: Place, block: usize) {
        let (ScoreScale::Plain(factor) | ScoreScale::Capped(factor, _)) = self.spec.score_scale;
        let cached = self.cached(block);
        match (&cached, &self.spec.source) {
            (Some(cached), _) => self.dot_rows(cached, 0, factor),
            (None, Source::Rows { key: Operand::F32(key), .. }) => self.dot_keys(key, block, factor),
            _ => return,
        }
        if let (None, Source::Rows { value: Operand::F32(value), .. }) = (&cached, &self.spec.source) {
            touch(
                value.rows(self.batch, self.first_of(block), self.kv_head, BLOCK_KV),
                value.shape().strides[1],
                self.plan.value_width,
            );
        }
        self.finish_scores(0, block, &Columns::ALL);
        let values = match (&cached, &self.spec.source) {
            (Some(cached), _) => cached.values_in(self.value_copy),
            (None, Source::Rows { value: Operand::F32(value), .. }) => RowValues {
                elements: Elements::F32(value.rows(self.batch, self.first_of(block), self.kv_head, BLOCK_KV)),
                width: self.plan.value_width,
                stride: Some(value.shape().strides[1]),
            },
            _ => return,
        };
        let rows = self.rows_of(0);
        let width = self.plan.value_width;
        let scores = self.scores.as_chunks_mut::<BLOCK_KV>().0;
        let mut m = [f32::NEG_INFINITY; MR];
        for (m, t) in m.iter_mut().zip(&*scores).take(rows) {
            *m = row_max::<Native>(t.as_chunks::<4>().0);
        }
        let (slot, merge) = match place {
            Place::New(slot) => (slot, None),
            // The sums follow: a state without a sum gives the same factors.
            Place::Sibling(slot) => (slot, Some(stack.join(slot, 0, m, [0.0; MR]))),
        };
        let mut l = [0.0; MR];
        let o = stack.o(slot, 0).chunks_exact_mut(width);
        for (r, (o, t)) in o.zip(scores).enumerate().take(rows) {
            let base = if m[r] == f32::NEG_INFINITY { 0.0 } else { m[r] };
            l[r] = values.exp_and_weigh(t, base, merge.map(|merge| merge.of(r)), o);
        }
        match merge {
            None => stack.set(slot, 0, m, l),
            Some(merge) => stack.add_sums(slot, 0, l, merge.y),
        }
    }

    /// Dot products of a group's rows with the keys of a block, times a factor.
    #[inline(always)]
    pub(super) fn dot_rows(&mut self, cached: &HeadBlock<'_>, group: usize, factor: f32) {
        let keys = cached.keys_in(self.key_copy);
        let stride = self.plan.rows_per_tile * ROW_STRIDE;
        let rows = self.rows_of(group);
        for (r, scores) in self.scores.as_chunks_mut().0.iter_mut().enumerate().take(rows) {
            cached.dot(keys, &self.query[(group * MR + r) * ROW_STRIDE..], stride, factor, scores);
        }
    }

    /// Dot products of the rows with the keys of a whole block where they lie, times a factor.
    #[inline(always)]
    fn dot_keys(&mut self, key: &View<'_>, block: usize, factor: f32) {
        let keys = key.rows(self.batch, self.first_of(block), self.kv_head, BLOCK_KV);
        let (head_dim, stride) = (self.spec.sizes.head_dim, key.shape().strides[1]);
        touch(keys, stride, head_dim);
        let segment_stride = self.plan.rows_per_tile * ROW_STRIDE;
        let factor = Native::splat(factor);
        let rows = self.rows_of(0);
        for (r, scores) in self.scores.as_chunks_mut::<BLOCK_KV>().0.iter_mut().enumerate().take(rows) {
            let query = &self.query[r * ROW_STRIDE..];
            for (half, scores) in scores.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
                for from in (0..head_dim).step_by(ROW_STRIDE) {
                    let a = &query[from / ROW_STRIDE * segment_stride..][..ROW_STRIDE.min(head_dim - from)];
                    row_by_rows::<Native>(a, &keys[half * COLUMNS * stride + from..], stride, scores, from > 0);
                }
                for t in scores.as_chunks_mut::<4>().0 {
                    Native::load(t).mul(factor).store(t);
                }
            }
        }
    }

    /// The place of a block's first key among all of them; the block begins with a key.
    fn first_of(&self, block: usize) -> usize {
        block * BLOCK_KV - self.spec.sizes.kv_start
    }
}
