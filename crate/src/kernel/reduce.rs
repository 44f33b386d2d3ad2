//! The largest score of a row, and the row's exponentials with their sum.

use super::{exp::Exp2, Lanes};

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
