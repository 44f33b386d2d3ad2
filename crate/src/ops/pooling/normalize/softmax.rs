//! Weights in proportion: to the exponentials of the scores, or to the scores themselves.

use super::largest_visible;
use crate::kernel::{exp::Exp2, Lanes};
use crate::ops::sum::sum;

/// `w = p / sum p` of the [`exponentials`].
#[inline(never)]
pub(super) fn softmax<L: Lanes>(scores: &mut [f32], factor: f32) {
    if exponentials::<L>(scores, factor) {
        divide_by::<L>(scores, sum::<L>(scores));
    }
}

/// Scores to `p = exp2(t - m)`, `t = s * factor`, `m` the largest t; false where the row is finished without them.
#[inline(never)]
pub(crate) fn exponentials<L: Lanes>(scores: &mut [f32], factor: f32) -> bool {
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

/// `w = s / sum s`, and +0 for a score of 0 whatever the sum. A sum of 0 divides the others all the same.
#[inline(never)]
pub(super) fn divide_by_sum<L: Lanes>(scores: &mut [f32]) {
    if largest_visible::<L>(scores).is_none() {
        return;
    }
    let zero = L::splat(0.0);
    let (fours, _) = scores.as_chunks_mut::<4>();
    for four in fours {
        let s = L::load(four);
        s.zero_where(s.equal(L::splat(f32::NEG_INFINITY))).store(four);
    }
    let total = L::splat(sum::<L>(scores));
    let (fours, _) = scores.as_chunks_mut::<4>();
    for four in fours {
        let s = L::load(four);
        s.div(total).canonical().zero_where(s.equal(zero)).store(four);
    }
}
