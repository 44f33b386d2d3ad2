//! A block of a cache as single rows meet it: its panels go through the row kernel as they lie, whatever their type.

use super::cache::{CacheDType, HeadBlock};
use super::BLOCK_KV;
use crate::kernel::exp::Exp2;
use crate::kernel::reduce::exp_and_sum;
use crate::kernel::row_tile::{Blend, Elements, COLUMNS};
use crate::kernel::{Native, MR, ROW_STRIDE};

/// Rows of bf16 up to which each meets the whole block by itself.
pub(super) const ROWS_ONE_BY_ONE: usize = MR;

/// So many rows at most are taken one by one.
pub(super) fn rows_one_by_one(dtype: CacheDType) -> usize {
    match dtype {
        // They have a kernel of their own.
        CacheDType::Int8 => 0,
        // Tiles of four would have them widened into a copy first.
        CacheDType::Bf16 => ROWS_ONE_BY_ONE,
        _ => 2,
    }
}

impl<'a> HeadBlock<'a> {
    /// The keys as a row meets them: where they lie, or copied.
    pub(super) fn keys_in<'b>(&self, copy: &'b [f32]) -> Elements<'b>
    where
        'a: 'b,
    {
        match copy {
            [] => self.keys(),
            copy => Elements::F32(copy),
        }
    }

    /// The values as a row meets them: where they lie, or copied.
    pub(super) fn values_in<'b>(&self, copy: &'b [f32]) -> RowValues<'b>
    where
        'a: 'b,
    {
        let elements = match copy {
            [] => self.values(),
            copy => Elements::F32(copy),
        };
        RowValues { elements, width: self.format().value_width(), stride: None }
    }

    /// Dot products of one query row, given in segments of 64 `segment_stride` elements apart, with all 64 keys, times a factor.
    #[inline(never)]
    pub(super) fn dot(
        &self,
        keys: Elements<'_>,
        query: &[f32],
        segment_stride: usize,
        factor: f32,
        scores: &mut [f32; BLOCK_KV],
    ) {
        let head_dim = self.format().head_dim;
        for (half, scores) in scores.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
            for from in (0..head_dim).step_by(ROW_STRIDE) {
                let n = ROW_STRIDE.min(head_dim - from);
                let a = &query[from / ROW_STRIDE * segment_stride..][..n];
                let x = if from > 0 { Some(1.0) } else { None };
                let z = if from + n == head_dim { factor } else { 1.0 };
                keys.from((half * head_dim + from) * COLUMNS).row_tile(a, COLUMNS, scores, Blend { x, y: 1.0, z });
            }
        }
    }
}

/// The values of a block as single rows meet them.
#[derive(Clone, Copy)]
pub(super) struct RowValues<'a> {
    /// Where they lie, or their copy.
    pub(super) elements: Elements<'a>,
    /// Their lanes.
    pub(super) width: usize,
    /// Elements from one to the next, of rows; none where they lie in panels of 32 lanes, the last as wide as is left.
    pub(super) stride: Option<usize>,
}

impl RowValues<'_> {
    /// Turns the scores of a row into exponentials and adds all values, of at least 32 lanes, weighted by them; gives their sum.
    #[inline(never)]
    pub(super) fn exp_and_weigh(
        &self,
        t: &mut [f32; BLOCK_KV],
        m: f32,
        factors: Option<[f32; 2]>,
        o: &mut [f32],
    ) -> f32 {
        if self.stride.is_some() {
            let l = exp_and_sum(&Exp2::<Native>::new(), t.as_chunks_mut().0, m);
            self.weigh_panels(0, t, 0, factors, o);
            return l;
        }
        let Some((first, rest)) = o.split_first_chunk_mut() else { return f32::NAN };
        let l = self.elements.exp_row_tile(t, m, first, blend(factors));
        if !rest.is_empty() {
            self.weigh_panels(1, t, 0, factors, rest);
        }
        l
    }

    /// Adds the values of columns `from..`, weighted by `p`, to an accumulator: `o = o x + sum y`, or `o = sum`.
    pub(super) fn weigh(&self, p: &[f32], from: usize, factors: Option<[f32; 2]>, o: &mut [f32]) {
        self.weigh_panels(0, p, from, factors, o);
    }

    #[inline(never)]
    fn weigh_panels(&self, first: usize, p: &[f32], from: usize, factors: Option<[f32; 2]>, o: &mut [f32]) {
        let blend = blend(factors);
        for (panel, o) in o.chunks_mut(COLUMNS).enumerate() {
            let lane = (first + panel) * COLUMNS;
            let (at, stride) = match self.stride {
                Some(stride) => (lane, stride),
                None => (lane * BLOCK_KV, COLUMNS.min(self.width - lane)),
            };
            let values = self.elements.from(at + from * stride);
            if let Some(o) = o.first_chunk_mut() {
                values.row_tile(p, stride, o, blend);
                continue;
            }
            // The last panel is narrower: what lies behind it is multiplied and forgotten.
            let mut wide = [0.0; COLUMNS];
            for (wide, o) in wide.iter_mut().zip(&*o) {
                *wide = *o;
            }
            values.row_tile(p, stride, &mut wide, blend);
            for (wide, o) in wide.iter().zip(o) {
                *o = *wide;
            }
        }
    }
}

fn blend(factors: Option<[f32; 2]>) -> Blend {
    match factors {
        None => Blend::SUMS,
        Some([x, y]) => Blend { x: Some(x), y, z: 1.0 },
    }
}
