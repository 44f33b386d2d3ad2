//! The driver: packs keys (and values, where several tiles read them), then attends, tile by tile.
//!
//! Per block of 64 keys and some groups of four query rows ([`super::groups`]): scores by the micro-kernel, hidden ones set to
//! -Infinity, exponentials and their sum, values by the micro-kernel. Every second block's values are merged with the block on
//! its left in the micro-kernel's store.
//!
//! A hidden key takes part with weight +0. That gives the bits of leaving it out unless its value is not finite: rows whose
//! accumulators came out NaN though their sum did not are run again by a path that leaves hidden keys out.

use super::mask::Tile;
use super::operand::Operand;
use super::output::store_rows;
use super::plan::{Plan, Workspace};
use super::run::Run;
use super::spec::{Outputs, Source, Spec};
use super::state::Stack;
use super::values::copy_value_panels;
use super::BLOCK_KV;
use crate::error::{Error, Field, Reason};
use crate::kernel::pack::{pack_panel, touch};
use crate::kernel::Native;
use crate::kernel::{MR, NR};
use core::ops::Range;

/// Elements of a packed key that are converted at a time.
const CONVERTED: usize = 64;

/// Packs one block of one unit into its place: its values if the plan says so, `[lane / 8][64][8]`, then its keys. Blocks
/// count from the first that holds keys.
#[inline(never)]
pub fn pack_block(spec: &Spec<'_>, plan: &Plan, unit: usize, block: usize, packed: &mut [f32]) {
    let (batch, kv_head) = (unit / spec.sizes.num_kv_heads, unit % spec.sizes.num_kv_heads);
    let block = spec.sizes.kv_start / BLOCK_KV + block;
    let (values, panels) = packed.split_at_mut(plan.packed_lanes * BLOCK_KV);
    if plan.packed_lanes > 0 {
        copy_value_panels(spec, batch, kv_head, block, 0, values);
    }
    pack_keys(spec, [batch, block, kv_head], panels);
}

/// Packs the keys of a block, `[panel][head_dim][8]`.
pub(super) fn pack_keys(spec: &Spec<'_>, [batch, block, kv_head]: [usize; 3], panels: &mut [f32]) {
    let Source::Rows { key, .. } = &spec.source else { return };
    // A tap shows the scores of all keys, of those past the valid ones too.
    let start = spec.sizes.kv_start;
    let end = if spec.options.tap.is_some() { spec.sizes.kv_end() } else { spec.keys(batch).end };
    let block_start = block * BLOCK_KV;
    let keys = block_start..end.min(block_start + BLOCK_KV);
    if let (Operand::F32(key), true) = (key, start <= keys.start) {
        touch(key.rows(batch, keys.start - start, kv_head, keys.len()), key.shape().strides[1], spec.sizes.head_dim);
    }
    for (first, panel) in keys.clone().step_by(NR).zip(panels.chunks_exact_mut(NR * spec.sizes.head_dim)) {
        // Lanes of positions before the first key or past the last stay zero.
        let lanes = start.saturating_sub(first).min(NR)..NR.min(keys.end - first);
        if let (Operand::F32(key), true) = (key, lanes.len() == NR) {
            pack_panel::<Native>(&core::array::from_fn(|r| key.row(batch, first + r - start, kv_head)), panel);
            continue;
        }
        for (part, panel) in panel.chunks_mut(NR * CONVERTED).enumerate() {
            let mut rows = [[0.0; CONVERTED]; NR];
            let length = panel.len() / NR;
            for lane in lanes.clone() {
                let index = [batch, first + lane - start, kv_head];
                key.copy(index, part * CONVERTED, &mut rows[lane][..length]);
            }
            pack_panel::<Native>(&rows.each_ref().map(|row| &row[..length]), panel);
        }
    }
}

/// The elements of a unit's packed blocks that one of them takes.
pub fn packed_range(plan: &Plan, block: usize) -> Range<usize> {
    let width = plan.packed_block;
    block * width..((block + 1) * width).min(plan.packed_unit)
}

/// A tile of query rows of one unit, whose packed keys are given, with its queries copied and nothing attended yet.
#[inline(never)]
pub(super) fn begin<'a>(
    spec: &'a Spec<'a>,
    plan: &'a Plan,
    packed: &'a [f32],
    workspace: &'a mut [f32],
    unit: usize,
    row_tile: usize,
) -> (Run<'a>, Tile<'a>, Stack<'a>) {
    let sizes = &spec.sizes;
    let batch = unit / sizes.num_kv_heads;
    let kv_head = unit % sizes.num_kv_heads;
    let group = sizes.group();
    let first = row_tile * plan.rows_per_tile;
    let n = plan.rows_per_tile.min(sizes.q_len * group - first);
    let tile = Tile::new(spec, batch, n, |r| ((first + r) / group, kv_head * group + (first + r) % group));

    let Workspace { query, scores, value_copy, key_copy, m, l, o } = Workspace::new(plan, workspace);
    let mut run = Run { spec, plan, packed, query, scores, at: 0, value_copy, key_copy, batch, kv_head, first, n };
    run.copy_queries();
    let stack = Stack::new(m, l, o, plan.rows_per_tile, n, plan.value_width);
    (run, tile, stack)
}

/// Attends one tile of query rows of one unit, whose packed keys are given.
#[inline(never)]
pub fn attend_tile(
    spec: &Spec<'_>,
    plan: &Plan,
    packed: &[f32],
    workspace: &mut [f32],
    outputs: &mut Outputs<'_>,
    unit: usize,
    row_tile: usize,
) {
    let (mut run, tile, mut stack) = begin(spec, plan, packed, workspace, unit, row_tile);

    if let (Some(shard), Some(partial)) = (&spec.options.shard, outputs.partial.as_mut()) {
        run.partial(&tile, &mut stack, shard, partial);
        return;
    }
    run.attend(&tile, &mut stack, 0..run.n.div_ceil(MR), false);
    let poisoned = store_rows(&run, &stack, outputs, 0..run.n);
    run.attend_poisoned(&tile, &mut stack, outputs, poisoned);
    run.weights(&tile, &stack, outputs);
    run.taps(&tile, outputs);
}

/// Attends all rows: the loops a dispatcher runs, on one thread. `scratch` holds [`Plan::scratch`] elements.
pub fn forward(spec: &Spec<'_>, outputs: &mut Outputs<'_>, scratch: &mut [f32]) -> Result<(), Error> {
    spec.expect_outputs(outputs)?;
    let plan = Plan::new(spec)?;
    if scratch.len() < plan.scratch() {
        return Err(Error::new(Reason::Bounds, Field::Scratch));
    }
    let (packed, workspace) = scratch[..plan.scratch()].split_at_mut(plan.packed);
    let units = spec.sizes.units();
    let packed_blocks = plan.pack_tiles() / plan.units_per_pass;
    for pass in 0..plan.passes {
        let first = pass * plan.units_per_pass;
        for unit in first..units.min(first + plan.units_per_pass) {
            let keys = &mut packed[(unit - first) * plan.packed_unit..][..plan.packed_unit];
            for block in 0..packed_blocks {
                pack_block(spec, &plan, unit, block, &mut keys[packed_range(&plan, block)]);
            }
            for row_tile in 0..plan.row_tiles {
                attend_tile(spec, &plan, keys, workspace, outputs, unit, row_tile);
            }
        }
    }
    Ok(())
}

impl Run<'_> {
    /// Runs the groups of rows again that have a bit set, by the path that leaves hidden keys out.
    pub(super) fn attend_poisoned(
        &mut self,
        tile: &Tile<'_>,
        stack: &mut Stack<'_>,
        outputs: &mut Outputs<'_>,
        poisoned: u64,
    ) {
        for g in (0..self.n.div_ceil(MR)).filter(|g| poisoned >> (g * MR) & 0xf != 0) {
            self.attend(tile, stack, g..g + 1, true);
            store_rows(self, stack, outputs, g * MR..self.n.min((g + 1) * MR));
        }
    }

    /// Brings the states of the row groups to their ends, in slot 0.
    fn attend(&mut self, tile: &Tile<'_>, stack: &mut Stack<'_>, groups: Range<usize>, only_visible: bool) {
        self.accumulate(tile, stack, groups.clone(), 0..usize::MAX, only_visible);
        stack.finish(groups.clone());
        self.add_sinks(stack, groups);
    }

    /// Adds the blocks inside `within` to the states of the row groups.
    pub(super) fn accumulate(
        &mut self,
        tile: &Tile<'_>,
        stack: &mut Stack<'_>,
        groups: Range<usize>,
        within: Range<usize>,
        only_visible: bool,
    ) {
        let decodes = !only_visible && self.decodes();
        for block in tile.blocks().filter(|block| within.contains(block)) {
            let all = tile.sees_all(block) && self.is_present(block);
            let sight = if all { None } else { self.sight(tile, block) };
            if sight.is_none() && !all {
                continue;
            }
            let place = stack.enter(block, groups.clone());
            let decodes = all && decodes;
            // Rows that are decoded are read where they lie.
            if !decodes || self.cached(block).is_some() {
                self.copy_keys(block);
                self.copy_values(block);
            }
            match decodes {
                true => self.decode(stack, place, block),
                false => self.visit(stack, place, groups.clone(), block, sight.as_ref(), only_visible),
            }
        }
    }

    /// Merges each row's sink; padding rows have none.
    pub(super) fn add_sinks(&self, stack: &mut Stack<'_>, groups: Range<usize>) {
        let sinks = self.spec.options.sinks;
        if sinks.is_empty() {
            return;
        }
        for group in groups {
            let mut four = [f32::NEG_INFINITY; MR];
            for (r, sink) in four.iter_mut().enumerate().take(self.n - group * MR) {
                let (i, h) = self.place(group * MR + r);
                if i < self.spec.q_length(self.batch) {
                    *sink = sinks[h];
                }
            }
            stack.add_sinks(group, four);
        }
    }
}
