//! The largest score of a row, and the row's exponentials with their sum; for one row, and for the four of a tile.

use super::{exp::Exp2, Lanes, MR, ROW_STRIDE};
use core::ops::Range;

/// The largest of a row's scores, NaN left out; -Infinity for none.
#[inline(always)]
pub fn row_max<L: Lanes>(row: &[[f32; 4]]) -> f32 {
    let mut m = L::splat(f32::NEG_INFINITY);
    for t in row {
        // The accumulator goes first: a NaN score then never replaces it.
        m = m.larger(L::load(t));
    }
    let m = m.to_array();
    let pick = |a: f32, b: f32| if a < b { b } else { a };
    pick(pick(m[0], m[2]), pick(m[1], m[3]))
}

/// Replaces a row's scores by `p = exp2(t - m)` and gives their sum `(l0 + l2) + (l1 + l3)`, where `l_r` adds the p of
/// the positions j with j mod 4 = r, ascending.
#[inline(always)]
pub fn exp_and_sum<L: Lanes>(exp2: &Exp2<L>, row: &mut [[f32; 4]], m: f32) -> f32 {
    let m = L::splat(m);
    let mut l = L::splat(0.0);
    for t in row {
        let p = exp2.apply(L::load(t).sub(m));
        p.store(t);
        l = l.add(p);
    }
    let l = l.to_array();
    (l[0] + l[2]) + (l[1] + l[3])
}

/// The same for the four rows of a tile, in some of their fours of columns: gives every row's largest score and its sum. A
/// row with nothing but -Infinity gets +0 everywhere.
///
/// The four rows' largest scores and sums are put side by side and reduced as one vector each: taken row by row, their last
/// comparisons were branches that nothing could foretell, and each row waited for the one before. Out of line, the constants have
/// the registers to themselves.
#[inline(never)]
pub fn exp_and_sum_rows<L: Lanes>(rows: &mut [f32], columns: Range<usize>) -> [[f32; MR]; 2] {
    let Some(rows) = fours_of(rows) else { return [[0.0; MR]; 2] };
    let Range { start, end } = columns;
    assert!(end <= ROW_STRIDE / 4);
    let mut m = [L::splat(f32::NEG_INFINITY); MR];
    for c in start..end {
        for (m, row) in m.iter_mut().zip(&*rows) {
            *m = m.larger(L::load(&row[c]));
        }
    }
    let [m0, m1, m2, m3] = L::transpose(m);
    let m = m0.larger(m2).larger(m1.larger(m3));
    // With nothing to see the base is 0, and every exponential +0.
    let base = m.zero_where(m.equal(L::splat(f32::NEG_INFINITY))).to_array();
    let mut l = [[0.0; 4]; MR];
    let exp2 = Exp2::<L>::new();
    for ((row, base), l) in rows.iter_mut().zip(base).zip(&mut l) {
        let base = L::splat(base);
        let mut sum = L::splat(0.0);
        for t in &mut row[start..end] {
            let p = exp2.apply(L::load(t).sub(base));
            p.store(t);
            sum = sum.add(p);
        }
        sum.store(l);
    }
    let [l0, l1, l2, l3] = L::transpose(l.each_ref().map(L::load));
    [m.to_array(), l0.add(l2).add(l1.add(l3)).to_array()]
}

/// The rows of an A block, in fours.
fn fours_of(rows: &mut [f32]) -> Option<&mut [[[f32; 4]; ROW_STRIDE / 4]; MR]> {
    rows.as_chunks_mut().0.as_chunks_mut().0.first_chunk_mut()
}
