//! Rows of A times 32 columns of B, over one segment of the inner axis: the matrix product's block.
//!
//! The tile is that of [`super::gemm_tile`], 4 rows x 8 columns; here a call runs many of them, so that nothing but the tile is
//! left between two of them. Rows that fill no four are run one by one.
//!
//! Order per element: the segment's sum starts at +0 and adds the products in ascending order of the inner index; then it is
//! stored, or added to what C holds.

use super::gemm_tile::tile_sums;
use super::row_tile::COLUMNS;
use super::{Lanes, MR, NR, ROW_STRIDE};
use crate::layout::quad_steps::QuadSteps;
use crate::layout::row_steps::RowSteps;
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

/// One row, as it lies, against columns that lie side by side, over all segments.
#[inline(never)]
pub fn row_by_columns<L: Lanes>(a: &[f32], b: Columns<'_>, c: &mut [f32; COLUMNS]) {
    for (i, (a, b)) in a.chunks(ROW_STRIDE).zip(b.chunks(ROW_STRIDE)).enumerate() {
        let mut sums = [[L::splat(0.0); 4]; 2];
        let mut steps = RowSteps::<_, _, 8, COLUMNS>::new(a, b.as_flattened(), COLUMNS);
        while steps.turn(|half, a, b| {
            let a = L::splat(*a);
            for (sum, b) in sums[half].iter_mut().zip(b.as_flattened().as_chunks::<4>().0) {
                *sum = a.mul_add(L::load(b), *sum);
            }
        }) {}
        for (to, sum) in c.as_chunks_mut::<4>().0.iter_mut().zip(sums.as_flattened()) {
            if i > 0 { L::load(to).add(*sum) } else { *sum }.store(to);
        }
    }
}

/// One row against four columns that lie as rows: each four by four is turned in the registers. Segments are sums of their own, so
/// four of them go side by side: one alone would wait for its additions. What is next after these rows is touched on the way.
#[inline(never)]
pub fn row_along_rows<L: Lanes>(a: &[f32], rows: [&[f32]; 4], next: &[f32], c: &mut [f32; 4]) {
    let mut sum = L::splat(0.0);
    let mut at = 0;
    while at < a.len() {
        let (a, rows, next) = (&a[at..], rows.map(|row| &row[at..]), next.get(4 * at..).unwrap_or_default());
        at += match a.len() / ROW_STRIDE {
            0 | 1 => segments::<L, 1>(a, rows, next, &mut sum),
            2 | 3 => segments::<L, 2>(a, rows, next, &mut sum),
            _ => segments::<L, 4>(a, rows, next, &mut sum),
        };
    }
    sum.store(c);
}

/// Adds the sums of the first segments, in order; how many elements these were.
#[inline(always)]
fn segments<L: Lanes, const SEGMENTS: usize>(a: &[f32], rows: [&[f32]; 4], next: &[f32], sum: &mut L) -> usize {
    let n = ROW_STRIDE.min(a.len());
    let in_fours = n / 4 * 4;
    let mut sums = [L::splat(0.0); SEGMENTS];
    let mut steps = QuadSteps::<SEGMENTS>::new(a, rows, in_fours, next);
    while steps.step(|segment, a, rows| sums[segment] = L::add_four_products(sums[segment], a, rows)) {}
    for k in in_fours..n {
        // Of a single segment: the last one of all.
        sums[0] = L::splat(a[k]).mul_add(L::load(&rows.map(|row| row[k])), sums[0]);
    }
    for segment in sums {
        *sum = sum.add(segment);
    }
    (SEGMENTS - 1) * ROW_STRIDE + n
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
