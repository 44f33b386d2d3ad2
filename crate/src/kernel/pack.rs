//! Keys laid into panels: 8 keys side by side, `[head_dim][8]`, the form in which [`super::gemm_tile`] reads its B.

use super::{Lanes, MR, NR};

/// Elements of a line of the memory.
const LINE: usize = 16;

/// Reads one element of each of the lines of rows in the order in which they lie. What follows goes through eight of the rows at a
/// time, or sixteen, or half of each, which no prefetcher foresees.
#[inline(never)]
pub fn touch(rows: &[f32], stride: usize, width: usize) {
    let mut touched = 0u32;
    // Rows may overlap.
    for row in rows.chunks(stride.max(width).max(1)) {
        for line in row[..width.min(row.len())].chunks(LINE) {
            touched = touched.wrapping_add(line[0].to_bits());
        }
    }
    core::hint::black_box(touched);
}

/// Packs 8 rows of equal length into one panel of `length * 8` elements.
#[inline(never)]
pub fn pack_panel<L: Lanes>(rows: &[&[f32]; NR], panel: &mut [f32]) {
    let (panel, _) = panel.as_chunks_mut::<NR>();
    let (fours, rest) = panel.as_chunks_mut::<4>();
    let whole = fours.len();
    for half in 0..NR / MR {
        let quad: [&[[f32; 4]]; MR] = core::array::from_fn(|r| &rows[half * MR + r].as_chunks().0[..whole]);
        for (i, columns) in fours.iter_mut().enumerate() {
            for (column, to) in L::transpose(quad.map(|row| L::load(&row[i]))).into_iter().zip(columns) {
                column.store(&mut to.as_chunks_mut().0[half]);
            }
        }
    }
    for (d, column) in rest.iter_mut().enumerate() {
        *column = rows.map(|row| row[whole * 4 + d]);
    }
}
