//! One tile at work: its inputs, its temporary memory, and the step from one block of keys to the next.

use super::cache::{CacheDType, HeadBlock};
use super::mask::{BlockSight, Columns, Tile};
use super::plan::Plan;
use super::spec::{Source, Spec};
use super::state::{Place, Stack};
use super::BLOCK_KV;
use crate::kernel::gemm_tile::Store;
use crate::kernel::{MR, ROW_STRIDE};
use core::slice;

/// One tile's inputs and temporary memory.
pub(super) struct Run<'a> {
    pub(super) spec: &'a Spec<'a>,
    pub(super) plan: &'a Plan,
    pub(super) packed: &'a [f32],
    pub(super) query: &'a mut [f32],
    pub(super) scores: &'a mut [f32],
    /// Where in `scores` those of the group at hand begin.
    pub(super) at: usize,
    pub(super) value_copy: &'a mut [f32],
    pub(super) key_copy: &'a mut [f32],
    pub(super) batch: usize,
    pub(super) kv_head: usize,
    /// The tile's first row in the numbering of its unit.
    pub(super) first: usize,
    /// Its rows.
    pub(super) n: usize,
}

impl<'a> Run<'a> {
    /// The query row and head of a row of the tile.
    pub(super) fn place(&self, r: usize) -> (usize, usize) {
        let group = self.spec.sizes.group();
        ((self.first + r) / group, self.kv_head * group + (self.first + r) % group)
    }

    /// The index of a row of the tile in `[batch, q_len, num_heads]`.
    pub(super) fn index(&self, r: usize) -> [usize; 3] {
        let (i, h) = self.place(r);
        [self.batch, i, h]
    }

    /// The packed values and keys from a block on.
    #[inline(always)]
    pub(super) fn packed_of(&self, block: usize) -> &'a [f32] {
        &self.packed[(block - self.plan.first_block) * self.plan.packed_block..]
    }

    /// A block of the cache, where there is one.
    #[inline(always)]
    pub(super) fn cached(&self, block: usize) -> Option<HeadBlock<'a>> {
        match &self.spec.source {
            Source::Rows { .. } => None,
            Source::Cache(cache) => Some(cache.block(self.batch, block, self.kv_head)),
        }
    }

    /// Whether there are keys at a block's place: a cache may have forgotten them.
    pub(super) fn is_present(&self, block: usize) -> bool {
        self.cached(block).is_none_or(|block| block.is_present())
    }

    /// What the rows of the tile see of a block.
    #[inline(never)]
    pub(super) fn sight(&self, tile: &Tile<'_>, block: usize) -> Option<BlockSight> {
        if !self.is_present(block) {
            return None;
        }
        tile.block(block)
    }

    /// Copies the query rows to `[segment][row][64]`; rows past the end are zero.
    pub(super) fn copy_queries(&mut self) {
        if matches!(&self.spec.source, Source::Cache(cache) if cache.format().dtype == CacheDType::Int8) {
            return self.quantise_queries();
        }
        let rows = self.plan.rows_per_tile;
        let head_dim = self.spec.sizes.head_dim;
        for r in 0..self.n.next_multiple_of(MR) {
            for segment in 0..self.plan.segments {
                let from = segment * ROW_STRIDE;
                let length = if r < self.n { ROW_STRIDE.min(head_dim - from) } else { 0 };
                let index = if r < self.n { self.index(r) } else { [0; 3] };
                let to = &mut self.query[(segment * rows + r) * ROW_STRIDE..][..ROW_STRIDE];
                if length > 0 {
                    self.spec.query.copy(index, from, &mut to[..length]);
                }
                to[length..].fill(0.0);
            }
        }
    }

    /// Adds one block to the states of four rows.
    ///
    /// With `only_visible` hidden keys are left out whatever their values hold; else they take part with weight +0.
    pub(super) fn block(
        &mut self,
        stack: &mut Stack<'_>,
        place: Place,
        group: usize,
        block: usize,
        columns: &Columns,
        only_visible: bool,
    ) {
        if columns.all() && !only_visible && self.decodes() {
            return self.decode(stack, place, block);
        }
        self.score(group, block, columns);
        let seen = if only_visible { self.seen(columns) } else { [0; MR] };
        let (m, l) = self.exponentials(group, columns);
        let merge = match place {
            Place::New(slot) => {
                stack.set(slot, group, m, l);
                None
            }
            Place::Sibling(slot) => Some(stack.join(slot, group, m, l)),
        };
        let (Place::New(slot) | Place::Sibling(slot)) = place;
        let o = stack.o(slot, group);
        if let Some(int8) = self.int8(block) {
            return self.weigh_int8(&int8, group, &columns.panels(), merge.map(|merge| [merge.x, merge.y]), o);
        }
        if let (Some(cached), false) = (self.cached_by_row(block), only_visible) {
            let values = cached.values_in(self.value_copy);
            let width = self.plan.value_width;
            for r in 0..self.rows_of(group) {
                let p = &self.scores[r * BLOCK_KV..][columns.from..columns.to];
                values.weigh(p, columns.from, merge.map(|merge| merge.of(r)), &mut o[r * width..][..width]);
            }
            return;
        }
        match (only_visible, merge) {
            (false, None) => self.values(o, block, columns.from..columns.to, 1, Store),
            (false, Some(merge)) => self.values(o, block, columns.from..columns.to, 1, slice::from_ref(&merge)),
            (true, merge) => self.visible_values(o, block, seen, merge),
        }
    }
}
