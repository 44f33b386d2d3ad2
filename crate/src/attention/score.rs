//! Scores of four query rows against one block of keys, in base 2.
//!
//! Order: dot product (the micro-kernel, segments of 64), scale or softcap, bias, ALiBi, then -Infinity where hidden.

use super::mask::Columns;
use super::run::Run;
use super::spec::{ScoreScale, Source, Spec, Tap};
use super::BLOCK_KV;
use crate::kernel::gemm_tile::{gemm_tile, Add, AddScale, Scale, Store};
use crate::kernel::tanh::tanh;
use crate::kernel::{Lanes, Native};
use crate::kernel::{MR, NR, ROW_STRIDE};
use crate::layout::Rows8;
use core::ops::Range;

/// `f32(log2 e)`.
const LOG2_E: f32 = core::f32::consts::LOG2_E;

impl Run<'_> {
    /// Scores of the needed panels; hidden columns of those panels become -Infinity.
    pub(super) fn score(&mut self, group: usize, block: usize, columns: &Columns) {
        let panels = columns.panels();
        match self.spec.score_scale {
            ScoreScale::Plain(c) => self.dot(group, block, panels.clone(), Some(c)),
            ScoreScale::Capped(c1, c2) => {
                self.dot(group, block, panels.clone(), Some(c1));
                self.cap(panels.clone(), c2);
            }
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
            if self.n == 1 {
                cached.dot(self.query, self.plan.rows_per_tile * ROW_STRIDE, &mut self.scores[..BLOCK_KV]);
                return self.multiply(panels, factor);
            }
        }
        self.dot_panels(group, block, panels, factor);
    }

    /// The first row's dot products times a factor.
    fn multiply(&mut self, panels: Range<usize>, factor: Option<f32>) {
        let Some(factor) = factor else { return };
        let factor = Native::splat(factor);
        for t in self.scores[panels.start * NR..panels.end * NR].as_chunks_mut::<4>().0 {
            Native::load(t).mul(factor).store(t);
        }
    }

    fn dot_panels(&mut self, group: usize, block: usize, panels: Range<usize>, factor: Option<f32>) {
        let head_dim = self.spec.sizes.head_dim;
        let rows = self.plan.rows_per_tile;
        let last = self.plan.segments - 1;
        let block_elements = BLOCK_KV * head_dim;
        let cached = self.cached(block);
        let keys = match &cached {
            None => &self.packed[(block - self.plan.first_block) * block_elements..],
            Some(cached) => cached.keys_f32(self.key_copy),
        };
        for panel in panels {
            let to = &mut self.scores[panel * NR..];
            for segment in 0..=last {
                let from = segment * ROW_STRIDE;
                let n = ROW_STRIDE.min(head_dim - from);
                let a = &self.query[(segment * rows + group * MR) * ROW_STRIDE..][..MR * ROW_STRIDE];
                let b = match &cached {
                    None => Rows8::packed(&keys[(panel * head_dim + from) * NR..], n),
                    Some(cached) => cached.key_rows8(keys, panel, from, n),
                };
                match (segment, factor.filter(|_| segment == last)) {
                    (0, Some(factor)) => gemm_tile::<Native, _>(a, b, to, BLOCK_KV, Scale(factor)),
                    (0, None) => gemm_tile::<Native, _>(a, b, to, BLOCK_KV, Store),
                    (_, Some(factor)) => gemm_tile::<Native, _>(a, b, to, BLOCK_KV, AddScale(factor)),
                    (_, None) => gemm_tile::<Native, _>(a, b, to, BLOCK_KV, Add),
                }
            }
        }
    }

    /// `t = factor * tanh(t)`.
    fn cap(&mut self, panels: Range<usize>, factor: f32) {
        for row in self.scores.chunks_exact_mut(BLOCK_KV) {
            for t in row[panels.start * NR..panels.end * NR].as_chunks_mut::<4>().0 {
                Native::splat(factor).mul(tanh(Native::load(t))).store(t);
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
        for r in 0..MR.min(self.n - group * MR) {
            let (i, h) = self.place(group * MR + r);
            let row = &mut self.scores[r * BLOCK_KV..][columns.clone()];
            if options.bias.is_some() {
                add_bias(row, &bias_row(self.spec, [self.batch, i, h], block)[columns.clone()], log2e);
            }
            if let Some(slope) = options.alibi_slopes.get(h) {
                let slope = if log2e == 1.0 { *slope } else { (f64::from(*slope) * core::f64::consts::LOG2_E) as f32 };
                let first = (block * BLOCK_KV + columns.start) as i64;
                add_alibi(row, slope, self.spec.position(self.batch, i) - first);
            }
        }
    }

    /// -Infinity where a row does not see.
    fn hide(&mut self, panels: Range<usize>, seen: &[u64; MR]) {
        for (row, seen) in self.scores.chunks_exact_mut(BLOCK_KV).zip(seen) {
            let (quads, _) = row.as_chunks_mut::<4>();
            for (q, quad) in quads.iter_mut().enumerate().take(panels.end * 2).skip(panels.start * 2) {
                let seen = seen >> (q * 4) & 0xf;
                if seen == 0xf {
                    continue;
                }
                for (c, t) in quad.iter_mut().enumerate() {
                    if seen >> c & 1 == 0 {
                        *t = f32::NEG_INFINITY;
                    }
                }
            }
        }
    }
}

/// The bias of a row for the keys of a block, as f32; 0 past the last key.
fn bias_row(spec: &Spec<'_>, row: [usize; 3], block: usize) -> [f32; BLOCK_KV] {
    let mut bias = [0.0; BLOCK_KV];
    let Some(operand) = &spec.options.bias else { return bias };
    let start = block * BLOCK_KV;
    let n = BLOCK_KV.min(spec.columns() - start);
    if operand.shape().width == spec.columns() {
        operand.copy(row, start, &mut bias[..n]);
    } else {
        let mut one = [0.0];
        operand.copy(row, 0, &mut one);
        bias[..n].fill(one[0]);
    }
    bias
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
    const NEAR: i64 = 1 << 30;
    if let (true, Ok(position)) = (position.abs() < NEAR, i32::try_from(position)) {
        // 32-bit arithmetic, which vectorises.
        for (j, t) in row.iter_mut().enumerate() {
            *t += slope * -((position - j as i32).abs() as f32);
        }
        return;
    }
    for (j, t) in row.iter_mut().enumerate() {
        *t += slope * -((position - j as i64).abs() as f32);
    }
}
