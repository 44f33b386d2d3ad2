//! The point of the simplex nearest to the scores, which has few weights that are not 0.
//!
//! `w_j = max(s_j - tau, 0)` with the one tau for which they sum to 1 (Martins and Astudillo 2016).
//!
//! Order, in f64: `d_j = s_j - m`, m the largest score; tau starts at -1, below which no key of the support lies. A step takes the
//! keys with `d_j > tau`, n of them, and `tau = (sum d_j - 1) / n`, added from index 0 on; it ends when no key falls away
//! (Michelot 1986). Rounded once at the end. Error: `|err| <= u w + n 2^-51` for a support of n.
//!
//! No sorting: a step is Newton's on a convex function, which at least quarters the product of n and the excess of the weights
//! over 1, so that there are some 27 + log2(n) steps at worst, and four or five on common rows.

use super::largest_visible;
use crate::kernel::Native;

/// Weights of one row.
#[inline(never)]
pub(super) fn sparsemax(scores: &mut [f32]) {
    let Some(m) = largest_visible::<Native>(scores) else { return };
    let m = f64::from(m);
    let (mut tau, mut support) = (-1.0, usize::MAX);
    loop {
        let (mut sum, mut n) = (0.0, 0);
        for s in scores.iter() {
            let d = f64::from(*s) - m;
            if d > tau {
                sum += d;
                n += 1;
            }
        }
        if n >= support {
            break;
        }
        (tau, support) = ((sum - 1.0) / n as f64, n);
    }
    for s in scores {
        let w = f64::from(*s) - m - tau;
        *s = if w > 0.0 { w as f32 } else { 0.0 };
    }
}
