//! Few rows over many keys: each tile's keys are cut at aligned blocks, so that threads can share them.
//!
//! A split is a power of two of blocks, at least two, and so a subtree of the merge tree: its state is what the whole
//! tile's stack holds when the first block behind it arrives. Splits are computed apart and entered into a stack of
//! their own in order, which then does what the whole tile's would have done: the bits are the same.

use super::forward::begin;
use super::output::store_rows;
use super::plan::Plan;
use super::spec::{Outputs, Spec};
use super::state::Place;
use crate::kernel::MR;
use core::ops::Range;

/// Elements in front of a split's state: the first says whether any row sees a key of it.
const HEAD: usize = 4;

/// How a call's tiles are split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Splits {
    /// Blocks of a split: a power of two, at least 2.
    pub blocks: usize,
    /// Splits of a tile.
    pub count: usize,
    /// Elements of one split's state.
    pub state: usize,
}

impl Splits {
    /// Splits of `blocks` blocks; `None` where that is no power of two or the call cannot be split.
    pub fn new(spec: &Spec<'_>, plan: &Plan, blocks: usize) -> Option<Self> {
        let whole = spec.sizes().kv_start == 0 && spec.options.shard.is_none() && spec.options.tap.is_none();
        (whole && blocks >= 2 && blocks.is_power_of_two()).then(|| Self {
            blocks,
            count: plan.blocks.div_ceil(blocks),
            state: HEAD + plan.rows_per_tile * (2 + plan.value_width),
        })
    }

    /// Elements of all states of a pass.
    pub fn states(&self, plan: &Plan) -> Option<usize> {
        let tiles = plan.units_per_pass.checked_mul(plan.row_tiles)?;
        tiles.checked_mul(self.count)?.checked_mul(self.state)
    }

    fn range(&self, split: usize) -> Range<usize> {
        split * self.blocks..(split + 1) * self.blocks
    }
}

/// Computes one split of a tile into `state`.
#[inline(never)]
pub fn attend_split(
    spec: &Spec<'_>,
    plan: &Plan,
    splits: &Splits,
    packed: &[f32],
    workspace: &mut [f32],
    state: &mut [f32],
    [unit, row_tile, split]: [usize; 3],
) {
    let (mut run, tile, mut stack) = begin(spec, plan, packed, workspace, unit, row_tile);
    let groups = 0..run.n.div_ceil(MR);
    run.accumulate(&tile, &mut stack, groups.clone(), splits.range(split), false);
    let (head, rest) = state.split_at_mut(HEAD);
    head[0] = if stack.depth() > 0 { 1.0 } else { 0.0 };
    if stack.depth() == 0 {
        return;
    }
    stack.finish(groups);
    let rows = plan.rows_per_tile;
    let (m, rest) = rest.split_at_mut(rows);
    let (l, o) = rest.split_at_mut(rows);
    for (r, (m, l)) in m.iter_mut().zip(l).enumerate().take(run.n.next_multiple_of(MR)) {
        let (row_m, row_l, row_o) = stack.state(0, r);
        (*m, *l) = (row_m, row_l);
        o[r * plan.value_width..][..plan.value_width].copy_from_slice(row_o);
    }
}

/// Merges the splits of a tile and writes its rows.
#[inline(never)]
pub fn merge_splits(
    spec: &Spec<'_>,
    plan: &Plan,
    splits: &Splits,
    packed: &[f32],
    workspace: &mut [f32],
    states: &[f32],
    outputs: &mut Outputs<'_>,
    [unit, row_tile]: [usize; 2],
) {
    let (mut run, tile, mut stack) = begin(spec, plan, packed, workspace, unit, row_tile);
    let groups = 0..run.n.div_ceil(MR);
    let rows = plan.rows_per_tile;
    for (split, state) in states.chunks_exact(splits.state).enumerate() {
        let (head, rest) = state.split_at(HEAD);
        if head[0] == 0.0 {
            continue;
        }
        let (m, rest) = rest.split_at(rows);
        let (l, o) = rest.split_at(rows);
        // Splits are further apart than siblings.
        let (Place::New(slot) | Place::Sibling(slot)) = stack.enter(split * splits.blocks, groups.clone());
        for group in groups.clone() {
            let four = |of: &[f32]| core::array::from_fn(|r| of[group * MR + r]);
            stack.set(slot, group, four(m), four(l));
            let size = MR * plan.value_width;
            stack.o(slot, group).copy_from_slice(&o[group * size..][..size]);
        }
    }
    stack.finish(groups.clone());
    run.add_sinks(&mut stack, groups.clone());
    let poisoned = store_rows(&run, &stack, outputs, 0..run.n);
    run.attend_poisoned(&tile, &mut stack, outputs, poisoned);
    run.weights(&tile, &stack, outputs);
}
