//! Rows of A times 32 columns of B, over one segment of the inner axis: the matrix product's block.
//!
//! The tile is that of [`super::gemm_tile`], 4 rows x 8 columns; here a call runs many of them, so that nothing but the tile is
//! left between two of them. Of rows that fill no four each is run
//! alone, through [`super::row_tile`].
//!
//! Order per element: the segment's sum starts at +0 and adds the products in ascending order of the inner index; then it is
//! stored, or added to what C holds.

use super::gemm_tile::tile_sums;
use super::row_tile::{Blend, Elements, COLUMNS};
use super::{Lanes, MR, NR, ROW_STRIDE};
use crate::layout::{Abreast, Rows8, Step, TileSteps};

/// Elements of four rows of A, [`ROW_STRIDE`] apart.
pub const A_BLOCK: usize = MR * ROW_STRIDE;

/// A segment of B: up to [`ROW_STRIDE`] inner steps of 32 columns.
pub type Columns<'a> = &'a [[f32; COLUMNS]];

/// Blocks of four rows against the columns: C holds 32 elements for each row.
#[inline(never)]
pub fn gemm_block<L: Lanes>(a: &[[f32; A_BLOCK]], b: Columns<'_>, c: &mut [[f32; COLUMNS]], add: bool) {
    let lanes = b.as_flattened();
    let eights: [Rows8<'_>; COLUMNS / NR] =
        core::array::from_fn(|i| Rows8::strided(lanes.get(i * NR..).unwrap_or_default(), COLUMNS, b.len()));
    let step = Step::one();
    for (a, c) in a.iter().zip(c.as_chunks_mut::<MR>().0) {
        for (i, columns) in eights.iter().enumerate() {
            let [low, high] = tile_sums::<L, COLUMNS>(TileSteps::new(a, *columns, step));
            for (row, sums) in c.iter_mut().zip(low.into_iter().zip(high)) {
                let eight = &mut row.as_chunks_mut::<NR>().0[i];
                for (to, sum) in eight.as_chunks_mut::<4>().0.iter_mut().zip([sums.0, sums.1]) {
                    if add { L::load(to).add(sum) } else { sum }.store(to);
                }
            }
        }
    }
}

/// One row, as it lies, against the columns.
pub fn row_block<L: Lanes>(a: &[f32], b: Columns<'_>, c: &mut [f32; COLUMNS], add: bool) {
    let mut sums = [0.0; COLUMNS];
    Elements::F32(b.as_flattened()).row_tile(a, COLUMNS, &mut sums, Blend::SUMS);
    for (to, sum) in c.as_chunks_mut::<4>().0.iter_mut().zip(sums.as_chunks::<4>().0) {
        let sum = L::load(sum);
        if add { L::load(to).add(sum) } else { sum }.store(to);
    }
}

/// One row against 32 columns that lie as rows, `stride` elements apart: each four by four is turned in the registers. Of a
/// multiple of four inner steps.
#[inline(never)]
pub fn row_by_rows<L: Lanes>(a: &[f32], rows: &[f32], stride: usize, c: &mut [f32; COLUMNS], add: bool) {
    const ROWS: usize = 16;
    for (i, c) in c.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
        let mut sums = [L::splat(0.0); ROWS / 4];
        let rows = rows.get(i * ROWS * stride..).unwrap_or_default();
        for (x, rows) in a.as_chunks::<4>().0.iter().zip(Abreast::<ROWS>::new(rows, stride, a.len())) {
            for (sum, quad) in sums.iter_mut().zip(rows.as_chunks::<4>().0) {
                for (x, column) in x.iter().zip(L::transpose(quad.map(L::load))) {
                    *sum = L::splat(*x).mul_add(column, *sum);
                }
            }
        }
        for (to, sum) in c.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
            if add { L::load(to).add(sum) } else { sum }.store(to);
        }
    }
}

/// Lays up to 32 rows, `stride` elements apart, side by side as columns; the last one again for those that are missing.
#[inline(never)]
pub fn pack_columns<L: Lanes>(rows: &[f32], stride: usize, count: usize, to: &mut [[f32; COLUMNS]]) {
    let n = to.len();
    for first in (0..COLUMNS).step_by(4) {
        let quad: [&[f32]; 4] = core::array::from_fn(|r| &rows[(first + r).min(count - 1) * stride..][..n]);
        let (fours, rest) = to.as_chunks_mut::<4>();
        for (i, columns) in fours.iter_mut().enumerate() {
            let block = quad.map(|row| L::load(&row.as_chunks().0[i]));
            for (column, to) in L::transpose(block).into_iter().zip(columns) {
                column.store(&mut to.as_chunks_mut().0[first / 4]);
            }
        }
        let done = n - rest.len();
        for (k, column) in rest.iter_mut().enumerate() {
            for (to, row) in column[first..].iter_mut().zip(quad) {
                *to = row[done + k];
            }
        }
    }
}

/// Copies a row of at most [`ROW_STRIDE`] elements. By vectors: a call of the engine's copying takes longer than so few.
#[inline(always)]
pub fn copy_row<L: Lanes>(from: &[f32], to: &mut [f32]) {
    let (fours, rest) = from.as_chunks::<4>();
    let (to_fours, to_rest) = to[..from.len()].as_chunks_mut::<4>();
    for (to, from) in to_fours.iter_mut().zip(fours) {
        core::hint::black_box(L::load(from)).store(to);
    }
    for (to, from) in to_rest.iter_mut().zip(rest) {
        *to = *from;
    }
}
