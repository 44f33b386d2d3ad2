//! The same attention in f64 and three loops: what every other path is measured against.

use super::mask::visible;
use super::spec::{default_scale, Spec};

/// Receives one row: `(batch, head, query row, out, lse)`.
pub type RowSink<'s> = dyn FnMut(usize, usize, usize, &[f64], f64) + 's;

/// Softmax of the scaled scores of the visible keys, times their values; a row that sees none gives zeros and -Infinity.
/// `out` and `scores` are temporaries of `value_head_dim` and `kv_len` elements.
pub fn attention(spec: &Spec<'_>, scores: &mut [f64], out: &mut [f64], sink: &mut RowSink<'_>) {
    let sizes = spec.sizes;
    let scale = spec.options.scale.unwrap_or_else(|| default_scale(sizes.head_dim));
    for b in 0..sizes.batch {
        for h in 0..sizes.num_heads {
            let kv_head = h / sizes.group();
            for i in 0..sizes.q_len {
                let keys = visible(spec, b, i);
                let keys = keys.from as usize..(keys.to as usize).max(keys.from as usize);
                let q = spec.query.row(b, i, h);
                let mut m = f64::NEG_INFINITY;
                for j in keys.clone() {
                    let k = spec.key.row(b, j, kv_head);
                    let dot: f64 = q.iter().zip(k).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum();
                    scores[j] = scale * dot;
                    m = m.max(scores[j]);
                }
                out.fill(0.0);
                let mut l = 0.0;
                for j in keys.clone() {
                    let p = exp(scores[j] - m);
                    l += p;
                    for (o, v) in out.iter_mut().zip(spec.value.row(b, j, kv_head)) {
                        *o += p * f64::from(*v);
                    }
                }
                if keys.is_empty() {
                    sink(b, h, i, out, f64::NEG_INFINITY);
                    continue;
                }
                for o in out.iter_mut() {
                    *o /= l;
                }
                sink(b, h, i, out, m + ln(l));
            }
        }
    }
}

/// `e^x` for `x <= 0`, to a few units in the last place of f64: `core` has none.
pub fn exp(x: f64) -> f64 {
    if x < -745.0 {
        return 0.0;
    }
    // x = n ln2 + r, |r| <= ln2 / 2; ln2 in two parts, so that the product with n is exact in the first.
    let n = (x * core::f64::consts::LOG2_E - 0.5) as i64;
    let r = (x - n as f64 * 6.931_471_803_691_238e-1) - n as f64 * 1.908_214_929_270_587_7e-10;
    let mut p = 1.0;
    for k in (1..=20).rev() {
        p = 1.0 + p * r / f64::from(k);
    }
    // 2^n in two steps, so that a subnormal result is reached by one rounding.
    let half = |n: i64| f64::from_bits(((n + 1023) as u64) << 52);
    p * half(n / 2) * half(n - n / 2)
}

/// `ln x` for `x >= 1`.
pub fn ln(x: f64) -> f64 {
    let e = ((x.to_bits() >> 52) as i64 - 1023) as f64;
    let g = f64::from_bits((x.to_bits() & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    let s = (g - 1.0) / (g + 1.0);
    let z = s * s;
    let mut p = 0.0;
    for k in (0..40).rev() {
        p = p * z + 1.0 / f64::from(2 * k + 1);
    }
    e * core::f64::consts::LN_2 + 2.0 * s * p
}
