//! The driver: packs keys, then attends, tile by tile.
//!
//! Per block of 64 keys and four query rows: scores by the micro-kernel (already times `scale * log2 e`), hidden ones set
//! to -Infinity, exponentials and their sum, values by the micro-kernel. Every second block's values are merged with the
//! block on its left in the micro-kernel's store. Four rows at a time keep the scores of a block (1 KiB) beside its keys and
//! values (32 KiB at 64 lanes) in the first-level cache.
//!
//! A hidden key takes part with weight +0. That gives the bits of leaving it out unless its value is not finite: rows whose
//! accumulators came out NaN though their sum did not are run again by a path that leaves hidden keys out.

use super::mask::{visible, Columns, Tile, MAX_ROWS};
use super::plan::{Plan, Workspace};
use super::spec::{Outputs, Spec};
use super::state::{Place, Stack};
use super::BLOCK_KV;
use crate::error::{Error, Field, Reason};
use crate::kernel::exp::exp2;
use crate::kernel::gemm_tile::{gemm_tile, Add, AddScale, Epilogue, Merge, Scale, Store, MR, NR, ROW_STRIDE};
use crate::kernel::ln::log_sum_exp;
use crate::kernel::pack::pack_panel;
use crate::kernel::reduce::{exp_and_sum, row_max};
use crate::kernel::{Lanes, Native, CANONICAL_NAN};
use crate::layout::Rows8;
use core::ops::Range;

/// Packs one block of keys of one unit into its place, `[panel][head_dim][8]`.
pub fn pack_block(spec: &Spec<'_>, unit: usize, block: usize, panels: &mut [f32]) {
    let (batch, kv_head) = (unit / spec.sizes.num_kv_heads, unit % spec.sizes.num_kv_heads);
    let end = spec.kv_length(batch).min((block + 1) * BLOCK_KV);
    let keys = block * BLOCK_KV..end;
    for (first, panel) in keys.step_by(NR).zip(panels.chunks_exact_mut(NR * spec.sizes.head_dim)) {
        let mut rows: [&[f32]; NR] = [&[]; NR];
        let n = NR.min(end - first);
        for (r, row) in rows.iter_mut().enumerate().take(n) {
            *row = spec.key.row(batch, first + r, kv_head);
        }
        pack_panel::<Native>(&rows[..n], panel);
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
    let place = |r: usize| ((first + r) / group, kv_head * group + (first + r) % group);
    let tile = Tile::new(n, |r| visible(spec, batch, place(r).0));

    let Workspace { query, scores, value_tail, m, l, o } = Workspace::new(plan, workspace);
    copy_queries(spec, plan, query, batch, n, place);
    let mut run = Run { spec, plan, packed, query, scores, value_tail, batch, kv_head, n, tile: &tile };
    let mut stack = Stack::new(m, l, o, plan.rows_per_tile, plan.value_width);

    let groups = 0..n.div_ceil(MR);
    run.blocks(&mut stack, groups.clone(), Values::All);
    let poisoned = store_rows(&stack, outputs, batch, 0..n, place);
    for g in groups.filter(|g| poisoned >> (g * MR) & 0xf != 0) {
        run.blocks(&mut stack, g..g + 1, Values::VisibleOnly);
        store_rows(&stack, outputs, batch, g * MR..n.min((g + 1) * MR), place);
    }
    if outputs.weights.is_some() {
        run.weights(&stack, outputs, place);
    }
}

/// Attends all rows: the loops a dispatcher runs, on one thread. `scratch` holds [`Plan::scratch`] elements.
pub fn forward(spec: &Spec<'_>, outputs: &mut Outputs<'_>, scratch: &mut [f32]) -> Result<(), Error> {
    spec.expect_outputs(outputs)?;
    let plan = Plan::new(&spec.sizes)?;
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

/// Copies a tile's query rows to `[segment][row][64]`; rows past the end are zero.
fn copy_queries(
    spec: &Spec<'_>,
    plan: &Plan,
    query: &mut [f32],
    batch: usize,
    n: usize,
    place: impl Fn(usize) -> (usize, usize),
) {
    let rows = plan.rows_per_tile;
    for r in 0..n.next_multiple_of(MR) {
        let source = if r < n {
            let (i, h) = place(r);
            spec.query.row(batch, i, h)
        } else {
            &[]
        };
        let mut parts = source.chunks(ROW_STRIDE);
        for segment in 0..plan.segments {
            let to = &mut query[(segment * rows + r) * ROW_STRIDE..][..ROW_STRIDE];
            match parts.next() {
                Some(part) => to[..part.len()].copy_from_slice(part),
                None => to.fill(0.0),
            }
        }
    }
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
struct Run<'a> {
    spec: &'a Spec<'a>,
    plan: &'a Plan,
    packed: &'a [f32],
    query: &'a [f32],
    scores: &'a mut [f32],
    value_tail: &'a mut [f32],
    batch: usize,
    kv_head: usize,
    n: usize,
    tile: &'a Tile,
}

impl Run<'_> {
    /// Brings the states of the row groups to their ends, in slot 0.
    fn blocks(&mut self, stack: &mut Stack<'_>, groups: Range<usize>, values: Values) {
        for block in self.tile.blocks() {
            let place = stack.enter(block, groups.clone());
            self.copy_value_tail(block);
            for group in groups.clone() {
                self.block(stack, place, group, block, values);
            }
        }
        stack.finish(groups);
    }

    /// Adds one block to the states of four rows.
    fn block(&mut self, stack: &mut Stack<'_>, place: Place, group: usize, block: usize, values: Values) {
        let columns = self.tile.columns(group * MR, self.n, block);
        if columns.needed.from >= columns.needed.to {
            if let Place::New(slot) = place {
                stack.set_empty(slot, group);
            }
            return;
        }
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

    /// Panels of 8 columns that hold the needed ones.
    fn panels(columns: Columns) -> Range<usize> {
        columns.needed.from as usize / NR..(columns.needed.to as usize).div_ceil(NR)
    }

    /// Scores of four rows against the needed panels of a block, in base 2; hidden columns of those panels are -Infinity.
    fn score(&mut self, group: usize, block: usize, columns: Columns) {
        let head_dim = self.spec.sizes.head_dim;
        let rows = self.plan.rows_per_tile;
        let factor = self.spec.scale_log2;
        let last = self.plan.segments - 1;
        for panel in Self::panels(columns) {
            let keys = &self.packed[(block * (BLOCK_KV / NR) + panel) * NR * head_dim..][..NR * head_dim];
            let to = &mut self.scores[panel * NR..];
            for (segment, part) in keys.chunks(NR * ROW_STRIDE).enumerate() {
                let a = &self.query[(segment * rows + group * MR) * ROW_STRIDE..][..MR * ROW_STRIDE];
                let b = Rows8::packed(part, part.len() / NR);
                match (segment == 0, segment == last) {
                    (true, true) => gemm_tile::<Native, _>(a, b, to, BLOCK_KV, Scale(factor)),
                    (true, false) => gemm_tile::<Native, _>(a, b, to, BLOCK_KV, Store),
                    (false, false) => gemm_tile::<Native, _>(a, b, to, BLOCK_KV, Add),
                    (false, true) => gemm_tile::<Native, _>(a, b, to, BLOCK_KV, AddScale(factor)),
                }
            }
        }
        self.hide(group, block, columns);
    }

    /// Sets the scores of hidden keys in the needed panels to -Infinity.
    fn hide(&mut self, group: usize, block: usize, columns: Columns) {
        let panels = Self::panels(columns);
        let (from, to) = (panels.start * NR, panels.end * NR);
        let whole = columns.needed.from as usize == from && columns.needed.to as usize == to;
        if columns.full && whole {
            return;
        }
        for (r, row) in self.scores.chunks_exact_mut(BLOCK_KV).enumerate() {
            let seen = self.tile.row(group * MR + r).in_block(block);
            let (seen_from, seen_to) = ((seen.from as usize).clamp(from, to), (seen.to as usize).clamp(from, to));
            row[from..seen_from].fill(f32::NEG_INFINITY);
            row[seen_to..to].fill(f32::NEG_INFINITY);
        }
    }

    /// A bit per column and row: visible, which a score of -Infinity is not.
    fn seen(&self, columns: Columns) -> [u64; MR] {
        let panels = Self::panels(columns);
        core::array::from_fn(|r| {
            let row = &self.scores[r * BLOCK_KV..][..BLOCK_KV];
            let bits = (panels.start * NR..panels.end * NR).filter(|c| row[*c] != f32::NEG_INFINITY);
            bits.fold(0, |bits, c| bits | 1 << c)
        })
    }

    /// Turns four rows of scores into exponentials; gives their `m` and `l`.
    fn exponentials(&mut self, columns: Columns) -> ([f32; MR], [f32; MR]) {
        let panels = Self::panels(columns);
        let (mut m, mut l) = ([0.0; MR], [0.0; MR]);
        for (r, row) in self.scores.chunks_exact_mut(BLOCK_KV).enumerate() {
            let (row, _) = row[panels.start * NR..panels.end * NR].as_chunks_mut::<4>();
            m[r] = row_max::<Native>(row);
            // With nothing to see the base is 0, and every exponential +0.
            let base = if m[r] == f32::NEG_INFINITY { 0.0 } else { m[r] };
            l[r] = exp_and_sum::<Native>(row, base);
        }
        (m, l)
    }

    /// Keeps the last value columns, where they are no whole 8, as a panel padded with zeros.
    fn copy_value_tail(&mut self, block: usize) {
        let lane = self.spec.sizes.value_head_dim / NR * NR;
        if lane == self.spec.sizes.value_head_dim {
            return;
        }
        let end = self.spec.kv_length(self.batch).min((block + 1) * BLOCK_KV);
        for (j, to) in (block * BLOCK_KV..end).zip(self.value_tail.chunks_exact_mut(NR)) {
            let row = &self.spec.value.row(self.batch, j, self.kv_head)[lane..];
            to[..row.len()].copy_from_slice(row);
            to[row.len()..].fill(0.0);
        }
    }

    /// Adds the needed values of a block, weighted, to four rows' accumulators.
    fn values(&self, o: &mut [f32], block: usize, columns: Columns, epilogue: impl Epilogue<Native>) {
        let (from, to) = (columns.needed.from as usize, columns.needed.to as usize);
        let width = self.plan.value_width;
        let a = &self.scores[from..];
        for lane in (0..width).step_by(NR) {
            let b = if lane + NR <= self.spec.sizes.value_head_dim {
                self.spec.value.rows8(self.batch, block * BLOCK_KV + from, self.kv_head, lane, to - from)
            } else {
                Rows8::packed(&self.value_tail[from * NR..], to - from)
            };
            gemm_tile::<Native, _>(a, b, &mut o[lane..], width, epilogue);
        }
    }

    /// The same, leaving hidden keys out whatever their values hold.
    fn visible_values(&self, o: &mut [f32], block: usize, seen: [u64; MR], merge: Option<Merge>) {
        let width = self.plan.value_width;
        for (r, o) in o.chunks_exact_mut(width).enumerate() {
            let p = &self.scores[r * BLOCK_KV..][..BLOCK_KV];
            for lane in (0..self.spec.sizes.value_head_dim).step_by(NR) {
                let mut sum = [0.0f32; NR];
                for c in (0..BLOCK_KV).filter(|c| seen[r] >> c & 1 == 1) {
                    let row = self.spec.value.row(self.batch, block * BLOCK_KV + c, self.kv_head);
                    for (sum, v) in sum.iter_mut().zip(&row[lane..]) {
                        *sum += p[c] * v;
                    }
                }
                for (o, sum) in o[lane..].iter_mut().zip(sum) {
                    *o = merge.map_or(sum, |merge| *o * merge.x[r] + sum * merge.y[r]);
                }
            }
        }
    }

    /// `w = exp2(t - m) / l` with the rows' final m and l; +0 where hidden; a NaN row is NaN.
    fn weights(&mut self, stack: &Stack<'_>, outputs: &mut Outputs<'_>, place: impl Fn(usize) -> (usize, usize)) {
        let Some(weights) = outputs.weights.as_mut() else { return };
        for r in 0..self.n {
            let (i, h) = place(r);
            let fill = if stack.row_scalars(r).1.is_nan() { CANONICAL_NAN } else { 0.0 };
            weights.row(self.batch, i, h).fill(fill);
        }
        for block in self.tile.blocks() {
            for group in 0..self.n.div_ceil(MR) {
                let columns = self.tile.columns(group * MR, self.n, block);
                if columns.needed.from >= columns.needed.to {
                    continue;
                }
                self.score(group, block, columns);
                for r in 0..MR.min(self.n - group * MR) {
                    let (m, l) = stack.row_scalars(group * MR + r);
                    if l == 0.0 || l.is_nan() {
                        continue;
                    }
                    let (row, _) = self.scores[r * BLOCK_KV..][..BLOCK_KV].as_chunks_mut::<4>();
                    for t in row.iter_mut() {
                        exp2(Native::load(t).sub(Native::splat(m))).div(Native::splat(l)).store(t);
                    }
                    let (i, h) = place(group * MR + r);
                    let (from, to) = (columns.needed.from as usize, columns.needed.to as usize);
                    let to_row = weights.row(self.batch, i, h);
                    let start = block * BLOCK_KV;
                    to_row[start + from..start + to].copy_from_slice(&self.scores[r * BLOCK_KV..][from..to]);
                }
            }
        }
    }
}

/// Writes `out = o / l` and lse of the rows; a bit per row whose accumulators hold NaN though its sum does not.
fn store_rows(
    stack: &Stack<'_>,
    outputs: &mut Outputs<'_>,
    batch: usize,
    rows: Range<usize>,
    place: impl Fn(usize) -> (usize, usize),
) -> u64 {
    const { assert!(MAX_ROWS <= 64) };
    let mut poisoned = 0;
    for r in rows {
        let (m, l) = stack.row_scalars(r);
        let (i, h) = place(r);
        if let Some(lse) = outputs.lse.as_mut() {
            lse.row(batch, i, h)[0] = match l {
                l if l.is_nan() => CANONICAL_NAN,
                0.0 => f32::NEG_INFINITY,
                l => log_sum_exp(m, l),
            };
        }
        let out = outputs.out.row(batch, i, h);
        if l == 0.0 {
            out.fill(0.0);
            continue;
        }
        let (o, _) = stack.row(r).as_chunks::<4>();
        let mut sum = Native::splat(0.0);
        for (o, out) in o.iter().zip(out.chunks_mut(4)) {
            let q = Native::load(o).div(Native::splat(l)).canonical();
            // x - x is 0 or NaN: one NaN (or infinity, looked at closer below) in a row marks it.
            sum = sum.add(q.sub(q));
            match <&mut [f32; 4]>::try_from(&mut *out) {
                Ok(out) => q.store(out),
                Err(_) => out.copy_from_slice(&q.to_array()[..out.len()]),
            }
        }
        let marked = sum.to_array().iter().any(|x| x.is_nan());
        if marked && !l.is_nan() && out.iter().any(|x| x.is_nan()) {
            poisoned |= 1 << r;
        }
    }
    poisoned
}
