//! Scores of four query rows against one block of keys, in base 2.
//!
//! Order: dot product (the micro-kernel, segments of 64), scale or softcap, bias, ALiBi, then -Infinity where hidden.

use super::mask::Columns;
use super::operand::Operand;
use super::run::Run;
use super::spec::{ScoreScale, Source, Spec, Tap};
use super::BLOCK_KV;
use crate::kernel::gemm_tile::{gemm_tiles, AddScale, Scale, Store};
use crate::kernel::tanh::Tanh;
use crate::kernel::{Lanes, Native};
use crate::kernel::{MR, NR, ROW_STRIDE};
use crate::layout::Rows8;
use core::ops::Range;

/// `f32(log2 e)`.
const LOG2_E: f32 = core::f32::consts::LOG2_E;

impl Run<'_> {
    /// Scores of the needed panels; hidden columns of those panels become -Infinity.
    pub(super) fn score(&mut self, group: usize, block: usize, columns: &Columns) {
        let (ScoreScale::Plain(factor) | ScoreScale::Capped(factor, _)) = self.spec.score_scale;
        self.dot(group, block, columns.panels(), Some(factor));
        self.finish_scores(group, block, columns);
    }

    /// What follows the dot products.
    pub(super) fn finish_scores(&mut self, group: usize, block: usize, columns: &Columns) {
        let panels = columns.panels();
        if let ScoreScale::Capped(_, factor) = self.spec.score_scale {
            self.cap(panels.clone(), factor);
        }
        self.shift(group, block, panels.clone(), LOG2_E);
        if !columns.whole {
            self.hide(panels, &columns.rows);
        }
    }

    /// Scores at a stage, in natural units, of all panels of a block that holds `n` keys.
    pub(super) fn tap(&mut self, stage: Tap, group: usize, block: usize, n: usize, seen: &[u64; MR]) {
        let panels = 0..n.div_ceil(NR);
        match (stage, self.spec.score_scale) {
            (Tap::Raw, _) => self.dot(group, block, panels.clone(), None),
            (Tap::Scaled, _) | (_, ScoreScale::Plain(_)) => {
                self.dot(group, block, panels.clone(), Some(self.spec.scale as f32));
            }
            (_, ScoreScale::Capped(c1, _)) => {
                self.dot(group, block, panels.clone(), Some(c1));
                let cap = self.spec.options.softcap.map_or(0.0, |cap| cap as f32);
                self.cap(panels.clone(), cap);
            }
        }
        if stage == Tap::Biased {
            self.shift(group, block, panels.clone(), 1.0);
            self.hide(panels, seen);
        }
    }

    /// Dot products, times a factor if one is given.
    fn dot(&mut self, group: usize, block: usize, panels: Range<usize>, factor: Option<f32>) {
        if let Source::Cache(cache) = &self.spec.source {
            let cached = cache.block(self.batch, block, self.kv_head);
            if let Some(int8) = cached.int8() {
                return self.dot_int8(&int8, group, &panels, factor);
            }
            if let Some(cached) = self.cached_by_row(block) {
                self.dot_rows(&cached, group, factor.unwrap_or(1.0));
                return;
            }
        }
        self.dot_panels(group, block, panels, factor);
    }

    fn dot_panels(&mut self, group: usize, block: usize, panels: Range<usize>, factor: Option<f32>) {
        for panel in panels {
            self.dot_panel(group..group + 1, block, panel, factor);
        }
    }

    /// Dot products of groups, whose scores lie one behind the other, with one panel of 8 keys.
    pub(super) fn dot_panel(&mut self, groups: Range<usize>, block: usize, panel: usize, factor: Option<f32>) {
        let head_dim = self.spec.sizes.head_dim;
        let rows = self.plan.rows_per_tile;
        let last = self.plan.segments - 1;
        let cached = self.cached(block);
        let keys = match &cached {
            None if self.plan.packed == 0 => self.key_copy,
            None => &self.packed_of(block)[self.plan.packed_lanes * BLOCK_KV..],
            Some(cached) => cached.keys_f32(self.key_copy),
        };
        let to = &mut self.scores[self.at + panel * NR..];
        let count = groups.len();
        for segment in 0..=last {
            let from = segment * ROW_STRIDE;
            let n = ROW_STRIDE.min(head_dim - from);
            let a = &self.query[(segment * rows + groups.start * MR) * ROW_STRIDE..][..count * MR * ROW_STRIDE];
            let b = match &cached {
                None => Rows8::packed(&keys[(panel * head_dim + from) * NR..], n),
                Some(cached) => cached.key_rows8(keys, panel, from, n),
            };
            match (segment, factor.filter(|_| segment == last)) {
                (0, Some(factor)) => gemm_tiles::<Native, _>(a, b, to, BLOCK_KV, count, Scale(factor)),
                (0, None) => gemm_tiles::<Native, _>(a, b, to, BLOCK_KV, count, Store),
                (_, factor) => gemm_tiles::<Native, _>(a, b, to, BLOCK_KV, count, AddScale(factor.unwrap_or(1.0))),
            }
        }
    }

    /// The scores of the group at hand.
    pub(super) fn group_scores(&mut self) -> &mut [f32] {
        &mut self.scores[self.at..self.at + MR * BLOCK_KV]
    }

    /// `t = factor * tanh(t)`.
    #[inline(never)]
    fn cap(&mut self, panels: Range<usize>, factor: f32) {
        let tanh = Tanh::<Native>::new();
        let factor = Native::splat(factor);
        for row in self.group_scores().chunks_exact_mut(BLOCK_KV) {
            for t in row[panels.start * NR..panels.end * NR].as_chunks_mut::<4>().0 {
                factor.mul(tanh.apply(Native::load(t))).store(t);
            }
        }
    }

    /// Adds bias and ALiBi, in units of `1 / log2e` of the natural ones.
    fn shift(&mut self, group: usize, block: usize, panels: Range<usize>, log2e: f32) {
        let options = &self.spec.options;
        if options.bias.is_none() && options.alibi_slopes.is_empty() {
            return;
        }
        let columns = panels.start * NR..panels.end * NR;
        let mut copy = [0.0; BLOCK_KV];
        for r in 0..MR.min(self.n - group * MR) {
            let (i, h) = self.place(group * MR + r);
            let row = &mut self.scores[self.at + r * BLOCK_KV..][columns.clone()];
            if options.bias.is_some() {
                add_bias(row, &bias_row(self.spec, [self.batch, i, h], block, &mut copy)[columns.clone()], log2e);
            }
            if let Some(slope) = options.alibi_slopes.get(h) {
                let slope = if log2e == 1.0 { *slope } else { (f64::from(*slope) * core::f64::consts::LOG2_E) as f32 };
                let first = (block * BLOCK_KV + columns.start) as i64;
                add_alibi(row, slope, self.spec.position(self.batch, i) - first);
            }
        }
    }

    /// -Infinity where a row does not see.
    #[inline(never)]
    fn hide(&mut self, panels: Range<usize>, seen: &[u64; MR]) {
        // Opaque constants stay in registers: V8 builds literals anew in every turn of a loop.
        let places = Native::load(&core::hint::black_box([1, 2, 4, 8]).map(f32::from_bits));
        let hidden = Native::splat(core::hint::black_box(f32::NEG_INFINITY));
        for (row, seen) in self.group_scores().chunks_exact_mut(BLOCK_KV).zip(seen) {
            let mut seen = seen >> (panels.start * NR);
            for t in row[panels.start * NR..panels.end * NR].as_chunks_mut::<4>().0 {
                let mask = Native::mask_of_bits(seen as u32, places);
                Native::select(mask, Native::load(t), hidden).store(t);
                seen >>= 4;
            }
        }
    }
}

/// The bias of a row for the keys of a block, as f32: where it lies, or copied; 0 past the last key.
fn bias_row<'a>(spec: &Spec<'a>, row: [usize; 3], block: usize, copy: &'a mut [f32; BLOCK_KV]) -> &'a [f32; BLOCK_KV] {
    let Some(operand) = &spec.options.bias else { return copy };
    let start = block * BLOCK_KV;
    if operand.shape().width != spec.columns() {
        let mut one = [0.0];
        operand.copy(row, 0, &mut one);
        *copy = [one[0]; BLOCK_KV];
        return copy;
    }
    if let Operand::F32(view) = operand {
        let [batch, i, h] = row;
        if let Some(bias) = view.row(batch, i, h)[start..].first_chunk() {
            return bias;
        }
    }
    operand.copy(row, start, &mut copy[..BLOCK_KV.min(spec.columns() - start)]);
    copy
}

/// `t + b * log2e`; a finite b whose product is not finite counts as the largest finite; a b of -Infinity hides.
fn add_bias(row: &mut [f32], bias: &[f32], log2e: f32) {
    let infinity = Native::splat(f32::INFINITY);
    for (t, b) in row.as_chunks_mut::<4>().0.iter_mut().zip(bias.as_chunks::<4>().0) {
        let b = Native::load(b);
        let product = b.mul(Native::splat(log2e));
        let largest = Native::splat(f32::MAX).copy_sign(b);
        let overflowed = Native::select(product.abs().less(infinity), product, largest);
        let scaled = Native::select(b.abs().less(infinity), overflowed, product);
        let sum = Native::load(t).add(scaled);
        Native::select(b.equal(Native::splat(f32::NEG_INFINITY)), Native::splat(f32::NEG_INFINITY), sum).store(t);
    }
}

/// `t + slope * -|position - j|`, for j = 0, 1, … relative to the row's first element.
fn add_alibi(row: &mut [f32], slope: f32, position: i64) {
    /// Whole numbers below it are exact in f32, and so are their differences.
    const NEAR: i64 = 1 << 23;
    if position.abs() < NEAR {
        // `slope * -distance` and `-slope * distance` have the same bits.
        let slope = Native::splat(-slope);
        let mut distance = Native::splat(position as f32).sub(Native::load(&[0.0, 1.0, 2.0, 3.0]));
        for t in row.as_chunks_mut::<4>().0 {
            Native::load(t).add(slope.mul(distance.abs())).store(t);
            distance = distance.sub(Native::splat(4.0));
        }
        return;
    }
    for (j, t) in row.iter_mut().enumerate() {
        *t += slope * -((position - j as i64).abs() as f32);
    }
}
