//! Scores of one query row against a panel of eight keys that are sums over the features.

use crate::kernel::{Lanes, NR, ROW_STRIDE};

/// `sum over features h of term(a_h, b_h)` for eight keys, added in segments of 64 as the matrix product adds: `term` takes the
/// query's feature with a weight of that feature, the keys' feature and the sum so far.
#[inline(always)]
pub fn fold<L: Lanes>(
    row: &[f32],
    weights: &[f32],
    panel: &[f32],
    out: &mut [f32; NR],
    term: impl Fn(L, L, L, L) -> L,
) {
    let mut total = [L::splat(0.0); 2];
    let segments = row.chunks(ROW_STRIDE).zip(weights.chunks(ROW_STRIDE));
    for ((row, weights), panel) in segments.zip(panel.chunks(ROW_STRIDE * NR)) {
        let mut sums = [L::splat(0.0); 2];
        let (panel, _) = panel.as_chunks::<NR>();
        for ((a, w), b) in row.iter().zip(weights).zip(panel) {
            let (halves, _) = b.as_chunks::<4>();
            for (sum, b) in sums.iter_mut().zip(halves) {
                *sum = term(L::splat(*a), L::splat(*w), L::load(b), *sum);
            }
        }
        // No segment's sum is -0, so that adding the first one to +0 gives its bits.
        total = [total[0].add(sums[0]), total[1].add(sums[1])];
    }
    let (halves, _) = out.as_chunks_mut::<4>();
    total.into_iter().zip(halves).for_each(|(total, out)| total.store(out));
}
