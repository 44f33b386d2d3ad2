//! Weights of a few keys: the largest, the k largest, those that are not small.
//!
//! - hardmax: 1 at the largest score (of equal ones at the lowest index), +0 elsewhere.
//! - topK: the k largest scores stay, of equal ones those at the lower indices, the others are hidden; then softmax.
//! - threshold: of softmax, `p = exp2(t - m)` and `l = sum p`, a key stays where `p / l >= t` or p is 1, which are all keys whose
//!   score is the largest; then `w = p / sum` of the p that stay.

use super::largest_visible;
use super::softmax::{divide_by, exponentials};
use crate::kernel::Native;
use crate::ops::sum::sum;

/// One at the largest score.
#[inline(never)]
pub(super) fn hardmax(scores: &mut [f32]) {
    let Some(m) = largest_visible::<Native>(scores) else { return };
    let first = scores.iter().position(|s| *s == m);
    scores.fill(0.0);
    if let Some(first) = first {
        scores[first] = 1.0;
    }
}

/// Drops the softmax weights below `threshold` and renormalises.
#[inline(never)]
pub(super) fn threshold(scores: &mut [f32], factor: f32, threshold: f32) {
    if exponentials::<Native>(scores, factor) {
        let total = sum::<Native>(scores);
        for p in scores.iter_mut() {
            if *p != 1.0 && *p / total < threshold {
                *p = 0.0;
            }
        }
        divide_by::<Native>(scores, sum::<Native>(scores));
    }
}

/// Bits whose order is that of the numbers; -0 counts as +0.
fn rank(s: f32) -> u32 {
    let bits = (s + 0.0).to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

/// Makes all but the k largest scores -Infinity; no score is NaN.
///
/// The rank of the k-th largest is found a byte at a time from the top, by counting: four readings of the row whatever k is.
#[inline(never)]
pub(super) fn hide_all_but(scores: &mut [f32], k: usize) {
    if k >= scores.len() {
        return;
    }
    let (mut bound, mut left) = (0, k as u32);
    for shift in [24, 16, 8, 0] {
        narrow(scores, shift, &mut bound, &mut left);
    }
    // `left` keys of exactly this rank are among the k largest: those that come first.
    for s in scores {
        let rank = rank(*s);
        let stays = rank > bound || (rank == bound && left > 0);
        left -= u32::from(stays && rank == bound);
        if !stays {
            *s = f32::NEG_INFINITY;
        }
    }
}

/// Finds the byte at `shift` of the rank of the `left`-th largest among the scores whose higher bytes are those of `bound`, and takes
/// away from `left` those that are larger.
#[inline(never)]
fn narrow(scores: &[f32], shift: u32, bound: &mut u32, left: &mut u32) {
    let known = (u32::MAX << shift) << 8;
    let mut counts = [0u32; 256];
    for s in scores {
        let rank = rank(*s);
        if rank & known == *bound {
            counts[(rank >> shift & 255) as usize] += 1;
        }
    }
    for (byte, count) in (0u32..256).zip(counts).rev() {
        if *left <= count {
            *bound |= byte << shift;
            return;
        }
        *left -= count;
    }
}
