//! What a tile writes: out, lse, weights, taps.

use super::mask::Tile;
use super::operand::Target;
use super::run::Run;
use super::spec::{Outputs, Sizes, Weights};
use super::state::Stack;
use super::BLOCK_KV;
use crate::kernel::exp::exp2;
use crate::kernel::ln::log_sum_exp;
use crate::kernel::MR;
use crate::kernel::{Lanes, Native, CANONICAL_NAN};
use crate::layout::ViewMut;
use core::ops::Range;

/// Lanes of an out row that are written at a time.
const CHUNK: usize = 64;

/// Writes `out = o / l` and lse of the rows; a bit per row whose accumulators hold NaN though its sum does not.
pub(super) fn store_rows(run: &Run<'_>, stack: &Stack<'_>, outputs: &mut Outputs<'_>, rows: Range<usize>) -> u64 {
    const { assert!(super::mask::MAX_ROWS <= 64) };
    let width = run.spec.sizes.value_head_dim;
    let mut poisoned = 0;
    for r in rows {
        if store_row(stack, r, width, run.index(r), &mut outputs.out, outputs.lse.as_mut()) {
            poisoned |= 1 << r;
        }
    }
    poisoned
}

/// Writes one row of the stack; whether its accumulators hold NaN though its sum does not.
#[inline(never)]
pub(super) fn store_row(
    stack: &Stack<'_>,
    row: usize,
    width: usize,
    [batch, i, h]: [usize; 3],
    out: &mut Target<'_>,
    lse: Option<&mut ViewMut<'_>>,
) -> bool {
    let (m, l, o) = stack.state(0, row);
    if let Some(lse) = lse {
        lse.row(batch, i, h)[0] = match l {
            l if l.is_nan() => CANONICAL_NAN,
            0.0 => f32::NEG_INFINITY,
            l => log_sum_exp(m, l),
        };
    }
    if l == 0.0 {
        out.clear([batch, i, h]);
        return false;
    }
    let mut nan = false;
    for (at, o) in (0..width).step_by(CHUNK).zip(o.chunks(CHUNK)) {
        let mut chunk = [0.0; CHUNK];
        let mut marks = Native::splat(0.0);
        for (to, o) in chunk.as_chunks_mut::<4>().0.iter_mut().zip(o.as_chunks::<4>().0) {
            let q = if l.is_nan() { Native::splat(l) } else { Native::load(o).div(Native::splat(l)) };
            // q - q is NaN for what is not finite, which is looked at closer below.
            marks = marks.add(q.sub(q));
            q.canonical().store(to);
        }
        let chunk = &chunk[..CHUNK.min(width - at)];
        nan |= marks.to_array().iter().any(|mark| mark.is_nan()) && chunk.iter().any(|q| q.is_nan());
        out.write([batch, i, h], at, chunk);
    }
    nan && !l.is_nan()
}

impl Run<'_> {
    /// Weights of the rows: `w = exp2(t - m) / l` with their final m and l; +0 where hidden; NaN all along a NaN row.
    #[inline(never)]
    pub(super) fn weights(&mut self, tile: &Tile<'_>, stack: &Stack<'_>, outputs: &mut Outputs<'_>) {
        let Some(weights) = outputs.weights.as_mut() else { return };
        for r in 0..self.n {
            weights.begin(self.index(r), stack.state(0, r).1.is_nan());
        }
        for block in tile.blocks() {
            let Some(sight) = self.sight(tile, block) else { continue };
            self.copy_keys(block);
            for group in 0..self.n.div_ceil(MR) {
                let columns = sight.columns(group);
                if columns.is_empty() {
                    continue;
                }
                self.score(group, block, &columns);
                let seen = self.seen(&columns);
                for (r, seen) in seen.into_iter().enumerate().take(self.n - group * MR) {
                    let (m, l, _) = stack.state(0, group * MR + r);
                    let index = self.index(group * MR + r);
                    if l == 0.0 || l.is_nan() || !weights.wants(index) {
                        continue;
                    }
                    let row = &mut self.scores[r * BLOCK_KV..][..BLOCK_KV];
                    for t in row.as_chunks_mut::<4>().0 {
                        exp2(Native::load(t).sub(Native::splat(m))).div(Native::splat(l)).store(t);
                    }
                    let start = block * BLOCK_KV;
                    weights.block(index, start, self.spec.sizes.kv_start, columns.from..columns.to, row, seen);
                }
            }
        }
        for r in 0..self.n {
            weights.end(self.index(r), self.spec.sizes.num_heads);
        }
    }

    /// The scores of the rows at the stage asked for.
    #[inline(never)]
    pub(super) fn taps(&mut self, tile: &Tile<'_>, outputs: &mut Outputs<'_>) {
        let (Some(stage), Some(view)) = (self.spec.options.tap, outputs.tap.as_mut()) else { return };
        let Sizes { kv_start, .. } = self.spec.sizes;
        let kv_end = self.spec.sizes.kv_end();
        for block in self.plan.first_block..self.plan.first_block + self.plan.blocks {
            let start = block * BLOCK_KV;
            let columns = kv_start.saturating_sub(start)..BLOCK_KV.min(kv_end - start);
            let sight = self.sight(tile, block);
            for group in 0..self.n.div_ceil(MR) {
                let seen = sight.as_ref().map_or([0; MR], |sight| sight.columns(group).rows);
                self.tap(stage, group, block, columns.end, &seen);
                for r in 0..MR.min(self.n - group * MR) {
                    let [batch, i, h] = self.index(group * MR + r);
                    let row = &self.scores[r * BLOCK_KV..][columns.clone()];
                    let to =
                        &mut view.row(batch, i, h)[start + columns.start - kv_start..start + columns.end - kv_start];
                    for (to, t) in to.iter_mut().zip(row) {
                        *to = if t.is_nan() { CANONICAL_NAN } else { *t };
                    }
                }
            }
        }
    }
}

impl Weights<'_> {
    /// The row of a full or chosen-rows output, if this query row has one.
    fn row<'b>(view: &'b mut ViewMut<'_>, slots: Option<&[i32]>, [b, i, h]: [usize; 3]) -> Option<&'b mut [f32]> {
        let i = match slots {
            Some(slots) => usize::try_from(slots[i]).ok()?,
            None => i,
        };
        Some(view.row(b, i, h))
    }

    fn wants(&self, [_, i, _]: [usize; 3]) -> bool {
        !matches!(self, Self::Rows(_, slots) if slots[i] < 0)
    }

    /// Prepares a row: nothing seen yet, or NaN all along.
    fn begin(&mut self, index: [usize; 3], nan: bool) {
        let fill = if nan { CANONICAL_NAN } else { 0.0 };
        let [b, i, h] = index;
        match self {
            Self::Full(view) => view.row(b, i, h).fill(fill),
            Self::Rows(view, slots) => {
                if let Some(row) = Self::row(view, Some(slots), index) {
                    row.fill(fill);
                }
            }
            Self::HeadMean(view) => {
                let row = view.row(b, i, 0);
                if h == 0 {
                    row.fill(0.0);
                }
                if nan {
                    row.fill(fill);
                }
            }
            Self::TopK(values, indices) => {
                values.row(b, i, h).fill(fill);
                indices.row(b, i, h).fill(-1);
            }
        }
    }

    /// Takes a row's weights for the columns of a block that begins at `start`; `seen` has a bit per visible column.
    fn block(
        &mut self,
        index: [usize; 3],
        start: usize,
        kv_start: usize,
        columns: Range<usize>,
        weights: &[f32],
        seen: u64,
    ) {
        let [b, i, h] = index;
        let keys = start + columns.start - kv_start..start + columns.end - kv_start;
        let weights = &weights[columns.clone()];
        match self {
            Self::Full(view) => view.row(b, i, h)[keys].copy_from_slice(weights),
            Self::Rows(view, slots) => {
                if let Some(row) = Self::row(view, Some(slots), index) {
                    row[keys].copy_from_slice(weights);
                }
            }
            Self::HeadMean(view) => {
                for (sum, w) in view.row(b, i, 0)[keys].iter_mut().zip(weights) {
                    *sum += w;
                }
            }
            Self::TopK(values, indices) => {
                let (values, indices) = (values.row(b, i, h), indices.row(b, i, h));
                let visible = columns.zip(weights).filter(|(c, _)| seen >> c & 1 == 1);
                for (c, w) in visible {
                    insert(values, indices, *w, (start + c) as i32);
                }
            }
        }
    }

    /// Finishes a row after its last block; the heads of a query row come ascending.
    fn end(&mut self, [b, i, h]: [usize; 3], num_heads: usize) {
        if let Self::HeadMean(view) = self {
            if h + 1 == num_heads {
                for sum in view.row(b, i, 0) {
                    let mean = *sum / num_heads as f32;
                    *sum = if mean.is_nan() { CANONICAL_NAN } else { mean };
                }
            }
        }
    }
}

/// Keeps the largest values, descending; of equal ones the earlier stays in front.
fn insert(values: &mut [f32], indices: &mut [i32], value: f32, index: i32) {
    let Some(last) = values.len().checked_sub(1) else { return };
    if indices[last] >= 0 && value <= values[last] {
        return;
    }
    let mut at = last;
    while at > 0 && (indices[at - 1] < 0 || values[at - 1] < value) {
        values[at] = values[at - 1];
        indices[at] = indices[at - 1];
        at -= 1;
    }
    values[at] = value;
    indices[at] = index;
}
