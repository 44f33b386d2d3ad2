//! Weights in proportion: to the exponentials of the scores, or to the scores themselves.

use super::largest_visible;
use crate::kernel::{exp::Exp2, Lanes, Native, CANONICAL_NAN};
use crate::ops::sum::{block_sum, sum, TreeSum, BLOCK};

/// `w = p / sum p` of the [`exponentials`].
#[inline(never)]
pub(super) fn softmax<L: Lanes>(scores: &mut [f32], factor: f32) {
    if exponentials::<L>(scores, factor) {
        divide_by::<L>(scores, sum::<L>(scores));
    }
}

/// Scores to `p = exp2(t - m)`, `t = s * factor`, `m` the largest t; false where the row is finished without them.
#[inline(never)]
pub(super) fn exponentials<L: Lanes>(scores: &mut [f32], factor: f32) -> bool {
    let (fours, _) = scores.as_chunks_mut::<4>();
    for four in fours.iter_mut() {
        L::load(four).mul(L::splat(factor)).store(four);
    }
    let Some(m) = largest_visible::<L>(scores) else { return false };
    let exp2 = Exp2::<L>::new();
    let (fours, _) = scores.as_chunks_mut::<4>();
    for four in fours {
        exp2.apply(L::load(four).sub(L::splat(m))).store(four);
    }
    true
}

/// Every element divided.
#[inline(never)]
pub(super) fn divide_by<L: Lanes>(row: &mut [f32], divisor: f32) {
    let (fours, _) = row.as_chunks_mut::<4>();
    for four in fours {
        L::load(four).div(L::splat(divisor)).store(four);
    }
}

/// `w = s / sum s`. A sum of 0 divides all the same: infinities, and NaN for a score of 0.
pub(super) fn divide_by_sum(scores: &mut [f32]) {
    if largest_visible::<Native>(scores).is_none() {
        return;
    }
    let visible = |s: f32| if s == f32::NEG_INFINITY { 0.0 } else { s };
    let mut tree = TreeSum::new();
    for block in scores.chunks(BLOCK) {
        let mut known = [0.0; BLOCK];
        for (known, s) in known.iter_mut().zip(block) {
            *known = visible(*s);
        }
        tree.push(block_sum::<Native>(&known[..block.len()]));
    }
    let total = tree.total();
    for s in scores {
        *s = if *s == f32::NEG_INFINITY { 0.0 } else { *s / total };
        if s.is_nan() {
            *s = CANONICAL_NAN;
        }
    }
}
