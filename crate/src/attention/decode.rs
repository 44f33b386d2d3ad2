//! Decoding: one row, or a few, meet the blocks of a cache one by one, reading them where they lie.
//!
//! Between two blocks lies nothing but what the contract asks for: at 64 lanes a block's keys and values are 32 KiB, which a
//! core reads in half a microsecond, and the checks that a masked or partly visible block needs took a quarter of that.

use super::cache::HeadBlock;
use super::mask::Columns;
use super::run::Run;
use super::spec::{ScoreScale, Source};
use super::state::{Place, Stack};
use super::BLOCK_KV;
use crate::kernel::reduce::row_max;
use crate::kernel::{Native, MR, ROW_STRIDE};

impl<'a> Run<'a> {
    /// A block of the cache, where its rows are taken one by one: one or two are decoded faster so than as a tile of four (two rows
    /// in 0.70 of its time, three in as much, four in 1.2 times as much).
    #[inline(always)]
    pub(super) fn cached_by_row(&self, block: usize) -> Option<HeadBlock<'a>> {
        self.cached(block).filter(|cached| self.n <= cached.rows_one_by_one())
    }

    /// Whether [`Run::decode`] serves the rows of the tile, which are then one group.
    pub(super) fn decodes(&self) -> bool {
        let Source::Cache(cache) = &self.spec.source else { return false };
        let block = cache.block(self.batch, 0, self.kv_head);
        self.n <= block.rows_one_by_one() && block.can_overlap(self.value_copy)
    }

    /// Adds a block that all rows see all of to their states, its exponentials taken while its values are read.
    #[inline(never)]
    pub(super) fn decode(&mut self, stack: &mut Stack<'_>, place: Place, block: usize) {
        let Some(cached) = self.cached(block) else { return };
        let (ScoreScale::Plain(factor) | ScoreScale::Capped(factor, _)) = self.spec.score_scale;
        self.dot_rows(&cached, 0, factor);
        self.finish_scores(0, block, &Columns::ALL);
        let values = cached.values_in(self.value_copy);
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
            l[r] = cached.exp_and_weigh(values, t, base, merge.map(|merge| merge.of(r)), o);
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
}
