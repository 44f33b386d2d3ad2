//! The driver: packs keys, then attends, tile by tile.
//!
//! Per block of 64 keys and four query rows: scores by the micro-kernel, hidden ones set to -Infinity, exponentials and
//! their sum, values by the micro-kernel. Every second block's values are merged with the block on its left in the
//! micro-kernel's store. Four rows at a time keep the scores of a block (1 KiB) beside its keys and values (32 KiB at 64
//! lanes) in the first-level cache.
//!
//! A hidden key takes part with weight +0. That gives the bits of leaving it out unless its value is not finite: rows whose
//! accumulators came out NaN though their sum did not are run again by a path that leaves hidden keys out.

use super::mask::Tile;
use super::output::store_rows;
use super::plan::{Plan, Workspace};
use super::spec::{Outputs, Spec};
use super::state::{Place, Stack};
use super::BLOCK_KV;
use crate::error::{Error, Field, Reason};
use crate::kernel::gemm_tile::{Store, MR, NR, ROW_STRIDE};
use crate::kernel::pack::pack_panel;
use crate::kernel::Native;
use core::ops::Range;

/// Elements of a packed key that are converted at a time.
const CONVERTED: usize = 64;

/// Packs one block of keys of one unit into its place, `[panel][head_dim][8]`. Blocks count from the first that holds keys.
pub fn pack_block(spec: &Spec<'_>, unit: usize, block: usize, panels: &mut [f32]) {
    let (batch, kv_head) = (unit / spec.sizes.num_kv_heads, unit % spec.sizes.num_kv_heads);
    // A tap shows the scores of all keys, of those past the valid ones too.
    let start = spec.sizes.kv_start;
    let end = if spec.options.tap.is_some() { spec.sizes.kv_end() } else { spec.keys(batch).end };
    let block_start = (start / BLOCK_KV + block) * BLOCK_KV;
    let keys = block_start..end.min(block_start + BLOCK_KV);
    for (first, panel) in keys.clone().step_by(NR).zip(panels.chunks_exact_mut(NR * spec.sizes.head_dim)) {
        // Lanes of positions before the first key or past the last stay zero.
        let lanes = start.saturating_sub(first).min(NR)..NR.min(keys.end - first);
        for (part, panel) in panel.chunks_mut(NR * CONVERTED).enumerate() {
            let mut rows = [[0.0; CONVERTED]; NR];
            let length = panel.len() / NR;
            for lane in lanes.clone() {
                let index = [batch, first + lane - start, kv_head];
                spec.key.copy(index, part * CONVERTED, &mut rows[lane][..length]);
            }
            let rows: [&[f32]; NR] = core::array::from_fn(|r| &rows[r][..length]);
            pack_panel::<Native>(&rows, panel);
        }
    }
}

/// The elements of a unit's packed keys that one block takes.
pub fn packed_range(spec: &Spec<'_>, plan: &Plan, block: usize) -> Range<usize> {
    let width = BLOCK_KV * spec.sizes.head_dim;
    block * width..((block + 1) * width).min(plan.packed_unit)
}

/// Attends one tile of query rows of one unit, whose packed keys are given.
pub fn attend_tile(
    spec: &Spec<'_>,
    plan: &Plan,
    packed: &[f32],
    workspace: &mut [f32],
    outputs: &mut Outputs<'_>,
    unit: usize,
    row_tile: usize,
) {
    let sizes = &spec.sizes;
    let batch = unit / sizes.num_kv_heads;
    let kv_head = unit % sizes.num_kv_heads;
    let group = sizes.group();
    let first = row_tile * plan.rows_per_tile;
    let n = plan.rows_per_tile.min(sizes.q_len * group - first);
    let tile = Tile::new(spec, batch, n, |r| (first + r) / group);

    let Workspace { query, scores, value_copy, m, l, o } = Workspace::new(plan, workspace);
    let mut run = Run { spec, plan, packed, query, scores, value_copy, batch, kv_head, first, n };
    run.copy_queries();
    let mut stack = Stack::new(m, l, o, plan.rows_per_tile, plan.value_width);

    let groups = 0..n.div_ceil(MR);
    run.attend(&tile, &mut stack, groups.clone(), Values::All);
    let poisoned = store_rows(&run, &stack, outputs, 0..n);
    for g in groups.filter(|g| poisoned >> (g * MR) & 0xf != 0) {
        run.attend(&tile, &mut stack, g..g + 1, Values::VisibleOnly);
        store_rows(&run, &stack, outputs, g * MR..n.min((g + 1) * MR));
    }
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
    for pass in 0..plan.passes {
        let first = pass * plan.units_per_pass;
        for unit in first..units.min(first + plan.units_per_pass) {
            let keys = &mut packed[(unit - first) * plan.packed_unit..][..plan.packed_unit];
            for block in 0..plan.blocks {
                pack_block(spec, unit, block, &mut keys[packed_range(spec, &plan, block)]);
            }
            for row_tile in 0..plan.row_tiles {
                attend_tile(spec, &plan, keys, workspace, outputs, unit, row_tile);
            }
        }
    }
    Ok(())
}

/// Which values take part in a block's sum.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// All of the block, hidden ones with weight +0.
    All,
    /// Visible ones.
    VisibleOnly,
}

/// One tile's inputs and temporary memory.
pub(super) struct Run<'a> {
    pub(super) spec: &'a Spec<'a>,
    pub(super) plan: &'a Plan,
    pub(super) packed: &'a [f32],
    pub(super) query: &'a mut [f32],
    pub(super) scores: &'a mut [f32],
    pub(super) value_copy: &'a mut [f32],
    pub(super) batch: usize,
    pub(super) kv_head: usize,
    /// The tile's first row in the numbering of its unit.
    pub(super) first: usize,
    /// Its rows.
    pub(super) n: usize,
}

impl Run<'_> {
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

    /// Copies the query rows to `[segment][row][64]`; rows past the end are zero.
    fn copy_queries(&mut self) {
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

    /// Brings the states of the row groups to their ends, in slot 0.
    fn attend(&mut self, tile: &Tile<'_>, stack: &mut Stack<'_>, groups: Range<usize>, values: Values) {
        for block in tile.blocks() {
            let Some(sight) = tile.block(block, |r| self.place(r)) else { continue };
            let place = stack.enter(block, groups.clone());
            self.copy_values(block);
            for group in groups.clone() {
                let columns = sight.columns(group);
                if !columns.is_empty() {
                    self.block(stack, place, group, block, &columns, values);
                } else if let Place::New(slot) = place {
                    stack.set_empty(slot, group);
                }
            }
        }
        stack.finish(groups.clone());
        self.add_sinks(stack, groups);
    }

    /// Adds one block to the states of four rows.
    fn block(
        &mut self,
        stack: &mut Stack<'_>,
        place: Place,
        group: usize,
        block: usize,
        columns: &super::mask::Columns,
        values: Values,
    ) {
        self.score(group, block, columns);
        let seen = if values == Values::All { [0; MR] } else { self.seen(columns) };
        let (m, l) = self.exponentials(columns);
        let merge = match place {
            Place::New(slot) => {
                stack.set(slot, group, m, l);
                None
            }
            Place::Sibling(slot) => Some(stack.join(slot, group, m, l)),
        };
        let (Place::New(slot) | Place::Sibling(slot)) = place;
        let o = stack.o(slot, group);
        match (values, merge) {
            (Values::All, None) => self.values(o, block, columns, Store),
            (Values::All, Some(merge)) => self.values(o, block, columns, merge),
            (Values::VisibleOnly, merge) => self.visible_values(o, block, seen, merge),
        }
    }

    /// Merges each row's sink, the state `(sink * log2e, 1, 0)`, from the right.
    fn add_sinks(&self, stack: &mut Stack<'_>, groups: Range<usize>) {
        let sinks = self.spec.options.sinks;
        if sinks.is_empty() {
            return;
        }
        for group in groups {
            let (mut m, mut l) = ([f32::NEG_INFINITY; MR], [0.0; MR]);
            for r in 0..MR.min(self.n - group * MR) {
                let (i, h) = self.place(group * MR + r);
                let sink = (f64::from(sinks[h]) * core::f64::consts::LOG2_E) as f32;
                // Padding rows have no sink; one that is not a number (or too large for one) makes its rows NaN.
                if i < self.spec.q_length(self.batch) && sink != f32::NEG_INFINITY {
                    (m[r], l[r]) = if sink < f32::INFINITY { (sink, 1.0) } else { (0.0, f32::NAN) };
                }
            }
            let merge = stack.join(0, group, m, l);
            let width = self.plan.value_width;
            for (o, x) in stack.o(0, group).chunks_exact_mut(width.max(1)).zip(merge.x) {
                for o in o {
                    // The sink's own product is +0; adding it turns a -0 into +0.
                    *o = *o * x + 0.0;
                }
            }
        }
    }
}
