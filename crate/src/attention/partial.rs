//! The states of a part: what [`super::shard`] says it can finish, and what it knows of the blocks it shares.

use super::mask::Tile;
use super::run::Run;
use super::shard::Shard;
use super::spec::PartialOutputs;
use super::state::{Place, Stack};
use super::BLOCK_KV;
use crate::kernel::MR;
use crate::layout::ViewMut;
use core::ops::Range;

impl Run<'_> {
    /// Writes the nodes of a tile's rows and, for the first tile of a unit, the values of its edges.
    #[inline(never)]
    pub(super) fn partial(
        &mut self,
        tile: &Tile<'_>,
        stack: &mut Stack<'_>,
        shard: &Shard,
        outputs: &mut PartialOutputs<'_>,
    ) {
        let groups = 0..self.n.div_ceil(MR);
        let can_merge: &dyn Fn(usize, u32) -> bool = &|block, height| shard.holds(block, height);
        for only_visible in [false, true] {
            for block in shard.whole_blocks() {
                let place = stack.enter_within(block, groups.clone(), can_merge);
                let sight = self.sight(tile, block);
                self.copy_values(block);
                match (&sight, place) {
                    (Some(_), _) => self.visit(stack, place, groups.clone(), block, sight.as_ref(), only_visible),
                    (None, Place::New(slot)) => groups.clone().for_each(|group| stack.set_empty(slot, group)),
                    (None, Place::Sibling(_)) => {}
                }
            }
            stack.settle(groups.clone(), can_merge);
            let poisoned = self.write_nodes(stack, outputs);
            stack.clear();
            if !poisoned {
                break;
            }
        }
        for (edge, keys) in outputs.edges.iter_mut().zip(shard.edges()) {
            let Some([scores, values]) = edge else { continue };
            self.write_edge(tile, keys, scores, values);
        }
    }

    /// Copies the stack's states out; whether an accumulator is NaN though its sum is not.
    fn write_nodes(&self, stack: &Stack<'_>, outputs: &mut PartialOutputs<'_>) -> bool {
        let width = self.spec.sizes.value_head_dim;
        let mut poisoned = false;
        for r in 0..self.n {
            let [b, i, h] = self.index(r);
            for node in 0..stack.depth() {
                let (m, l, o) = stack.state(node, r);
                let o = &o[..width];
                poisoned |= !l.is_nan() && o.iter().any(|o| o.is_nan());
                let b = node * self.spec.sizes.batch + b;
                outputs.m.row(b, i, h)[0] = m;
                outputs.l.row(b, i, h)[0] = l;
                outputs.o.row(b, i, h).copy_from_slice(o);
            }
        }
        poisoned
    }

    fn write_edge(&mut self, tile: &Tile<'_>, keys: Range<usize>, scores: &mut ViewMut<'_>, values: &mut ViewMut<'_>) {
        let block = keys.start / BLOCK_KV;
        let columns = keys.start - block * BLOCK_KV..keys.end - block * BLOCK_KV;
        let sight = self.sight(tile, block);
        for group in 0..self.n.div_ceil(MR) {
            let seen = sight.as_ref().map(|sight| sight.columns(group)).filter(|seen| !seen.is_empty());
            if let Some(seen) = &seen {
                self.score(group, block, seen);
            }
            for r in 0..MR.min(self.n - group * MR) {
                let [b, i, h] = self.index(group * MR + r);
                let row = scores.row(b, i, h);
                row.fill(f32::NEG_INFINITY);
                let Some(seen) = &seen else { continue };
                let visible = columns.clone().filter(|c| seen.rows[r] >> c & 1 == 1);
                for c in visible {
                    row[c - columns.start] = self.scores[r * BLOCK_KV + c];
                }
            }
        }
        if self.first == 0 {
            for (at, j) in keys.enumerate() {
                self.spec.value([self.batch, j, self.kv_head], 0, values.row(self.batch, at, self.kv_head));
            }
        }
    }
}
