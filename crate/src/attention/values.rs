//! Exponentials of a block's scores and the weighted sum of its values.

use super::cache::CacheDType;
use super::forward::pack_keys;
use super::mask::Columns;
use super::operand::Operand;
use super::run::Run;
use super::spec::{Source, Spec};
use super::BLOCK_KV;
use crate::kernel::exp::Exp2;
use crate::kernel::gemm_tile::{gemm_tiles, Epilogue, Merge};
use crate::kernel::reduce::{exp_and_sum, exp_and_sum_rows, row_max};
use crate::kernel::Native;
use crate::kernel::{MR, NR};
use crate::layout::Rows8;
use core::ops::Range;

impl Run<'_> {
    /// Turns the scores of a group's rows into exponentials; gives their `m` and `l`.
    pub(super) fn exponentials(&mut self, group: usize, columns: &Columns) -> ([f32; MR], [f32; MR]) {
        let panels = columns.panels();
        if self.rows_of(group) > 1 {
            let [m, l] = exp_and_sum_rows::<Native>(self.group_scores(), panels.start * 2..panels.end * 2);
            return (m, l);
        }
        let (row, _) = self.group_scores()[panels.start * NR..panels.end * NR].as_chunks_mut();
        let m = row_max::<Native>(row);
        let l = exp_and_sum(&Exp2::<Native>::new(), row, if m == f32::NEG_INFINITY { 0.0 } else { m });
        let mut state = ([f32::NEG_INFINITY; MR], [0.0; MR]);
        (state.0[0], state.1[0]) = (m, l);
        state
    }

    /// Lanes of the values that the micro-kernel reads where they lie; the rest come from the copy.
    fn lanes_in_place(&self) -> usize {
        match &self.spec.source {
            Source::Rows { value: Operand::F32(_), .. } => self.plan.value_width - self.plan.copied_lanes,
            Source::Cache(cache) if cache.format().dtype == CacheDType::F32 => self.plan.value_width,
            _ => 0,
        }
    }

    /// Copies the keys of a block that were not packed ahead: those of a cache that are not f32, for tiles of more than one row,
    /// and those that one tile alone reads.
    pub(super) fn copy_keys(&mut self, block: usize) {
        if self.key_copy.is_empty() {
            return;
        }
        match self.cached(block) {
            Some(cached) => cached.copy_keys(self.key_copy),
            None => pack_keys(self.spec, [self.batch, block, self.kv_head], self.key_copy),
        }
    }

    /// Copies what cannot be read where it lies, as panels `[lane / 8][64][8]` padded with zeros: the last lanes where
    /// they are no whole 8, and all of them where they are not f32.
    pub(super) fn copy_values(&mut self, block: usize) {
        if self.value_copy.is_empty() {
            return;
        }
        if let Source::Cache(cache) = &self.spec.source {
            return cache.block(self.batch, block, self.kv_head).copy_values(self.value_copy);
        }
        copy_value_panels(self.spec, self.batch, self.kv_head, block, self.lanes_in_place(), self.value_copy);
    }

    /// Adds the values of some columns of a block, weighted, to the accumulators of so many groups, from the one at hand on.
    pub(super) fn values(
        &self,
        o: &mut [f32],
        block: usize,
        columns: Range<usize>,
        groups: usize,
        epilogue: impl Epilogue<Native>,
    ) {
        let (from, n) = (columns.start, columns.len());
        let width = self.plan.value_width;
        let in_place = self.lanes_in_place();
        let cached = self.cached(block);
        let a = &self.scores[self.at + from..];
        for lane in (0..width).step_by(NR) {
            let b = match (&self.spec.source, cached) {
                _ if self.plan.packed_lanes > 0 => {
                    Rows8::packed(&self.packed_of(block)[lane * BLOCK_KV..][..BLOCK_KV * NR][from * NR..], n)
                }
                (Source::Rows { value: Operand::F32(value), .. }, _) if lane < in_place => {
                    let j = block * BLOCK_KV + from - self.spec.sizes.kv_start;
                    value.rows8(self.batch, j, self.kv_head, lane, n)
                }
                (_, Some(cached)) => cached.value_rows8(cached.values_f32(self.value_copy), lane, from, n),
                _ => {
                    let panel = &self.value_copy[(lane - in_place) * BLOCK_KV..][..BLOCK_KV * NR];
                    Rows8::packed(&panel[from * NR..], n)
                }
            };
            gemm_tiles::<Native, _>(a, b, &mut o[lane..], width, groups, epilogue);
        }
    }

    /// The visible columns of four rows: those whose score is not -Infinity.
    pub(super) fn seen(&self, columns: &Columns) -> [u64; MR] {
        core::array::from_fn(|r| {
            let row = &self.scores[r * BLOCK_KV..][..BLOCK_KV];
            let bits = (columns.from..columns.to).filter(|c| row[*c] != f32::NEG_INFINITY);
            bits.fold(0, |bits, c| bits | 1 << c)
        })
    }

    /// As [`Run::values`], leaving hidden keys out whatever their values hold.
    pub(super) fn visible_values(&self, o: &mut [f32], block: usize, seen: [u64; MR], merge: Option<Merge>) {
        let width = self.plan.value_width;
        for (r, o) in o.chunks_exact_mut(width.max(1)).enumerate() {
            let p = &self.scores[r * BLOCK_KV..][..BLOCK_KV];
            for lane in (0..self.spec.sizes.value_head_dim).step_by(NR) {
                let n = NR.min(self.spec.sizes.value_head_dim - lane);
                let mut sum = [0.0f32; NR];
                for c in (0..BLOCK_KV).filter(|c| seen[r] >> c & 1 == 1) {
                    let mut v = [0.0; NR];
                    self.spec.value([self.batch, block * BLOCK_KV + c, self.kv_head], lane, &mut v[..n]);
                    for (sum, v) in sum.iter_mut().zip(v) {
                        *sum += p[c] * v;
                    }
                }
                for (o, sum) in o[lane..].iter_mut().zip(sum) {
                    *o = merge.map_or(sum, |merge| *o * merge.x[r] + sum * merge.y[r]);
                }
            }
        }
    }
}

/// Copies the values of a block from a lane on, as panels `[lane / 8][64][8]` padded with zeros.
#[inline(never)]
pub(super) fn copy_value_panels(
    spec: &Spec<'_>,
    batch: usize,
    kv_head: usize,
    block: usize,
    from: usize,
    panels: &mut [f32],
) {
    let Source::Rows { value, .. } = &spec.source else { return };
    let end = spec.sizes.value_head_dim;
    let valid = spec.keys(batch);
    let start = block * BLOCK_KV;
    let keys = valid.start.max(start)..valid.end.min(start + BLOCK_KV);
    if let (0, Operand::F32(view)) = (from, value) {
        // Row by row: each is read once, from its beginning to its end.
        for j in keys {
            let (eights, rest) = view.row(batch, j - valid.start, kv_head).as_chunks::<NR>();
            let mut at = (j - start) * NR;
            for eight in eights {
                panels[at..at + NR].copy_from_slice(eight);
                at += BLOCK_KV * NR;
            }
            if !rest.is_empty() {
                let to = &mut panels[at..at + NR];
                to.fill(0.0);
                to[..rest.len()].copy_from_slice(rest);
            }
        }
        return;
    }
    for (panel, lane) in panels.chunks_exact_mut(BLOCK_KV * NR).zip((from..end).step_by(NR)) {
        let n = NR.min(end - lane);
        for j in keys.clone() {
            let to = &mut panel[(j - start) * NR..][..NR];
            value.copy([batch, j - valid.start, kv_head], lane, &mut to[..n]);
            to[n..].fill(0.0);
        }
    }
}
