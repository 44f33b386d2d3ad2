//! The same attention in f64 and three loops: what every other path is measured against.

use super::mask::Tile;
use super::spec::{Source, Spec};
use super::BLOCK_KV;

/// Receives one row: `(batch, head, query row, out, lse)`.
pub type RowSink<'s> = dyn FnMut(usize, usize, usize, &[f64], f64) + 's;

/// Softmax of the scores of the visible keys, times their values; a row that sees none gives zeros and -Infinity.
/// `out` and `scores` are temporaries of `value_head_dim` and `kv_len` elements.
///
/// Which keys are visible is asked of [`Tile`], which has its own tests; all numbers here are f64.
pub fn attention(spec: &Spec<'_>, scores: &mut [f64], out: &mut [f64], sink: &mut RowSink<'_>) {
    let Source::Rows { value, .. } = &spec.source else { return };
    let sizes = spec.sizes;
    let options = &spec.options;
    for b in 0..sizes.batch {
        for h in 0..sizes.num_heads {
            for i in 0..sizes.q_len {
                let index = [b, i, h];
                let tile = Tile::new(spec, b, 1, |_| (i, h));
                scores.fill(f64::NEG_INFINITY);
                for block in tile.blocks() {
                    let Some(sight) = tile.block(block) else { continue };
                    let seen = sight.columns(0).rows[0];
                    for j in (0..BLOCK_KV).filter(|c| seen >> c & 1 == 1).map(|c| block * BLOCK_KV + c) {
                        scores[j - sizes.kv_start] = score(spec, index, j);
                    }
                }
                let logit = options.sinks.get(h).filter(|_| i < spec.q_length(b));
                let logit = logit.map_or(f64::NEG_INFINITY, |sink| f64::from(*sink));
                let m = scores.iter().fold(logit, |m, s| m.max(*s));
                out.fill(0.0);
                if m == f64::NEG_INFINITY {
                    sink(b, h, i, out, m);
                    continue;
                }
                let mut l = exp(logit - m);
                for (j, s) in scores.iter().enumerate().filter(|(_, s)| **s > f64::NEG_INFINITY) {
                    let p = exp(s - m);
                    l += p;
                    for (d, o) in out.iter_mut().enumerate() {
                        let mut v = [0.0];
                        value.copy([b, j, h / sizes.group()], d, &mut v);
                        *o += p * f64::from(v[0]);
                    }
                }
                for o in out.iter_mut() {
                    *o /= l;
                }
                sink(b, h, i, out, m + ln(l));
            }
        }
    }
}

/// The score of one pair of query row and key, in natural units.
fn score(spec: &Spec<'_>, [b, i, h]: [usize; 3], j: usize) -> f64 {
    let Source::Rows { key, .. } = &spec.source else { return f64::NAN };
    let options = &spec.options;
    let mut s = 0.0;
    for d in 0..spec.sizes.head_dim {
        let (mut q, mut k) = ([0.0], [0.0]);
        spec.query.copy([b, i, h], d, &mut q);
        key.copy([b, j - spec.sizes.kv_start, h / spec.sizes.group()], d, &mut k);
        s += f64::from(q[0]) * f64::from(k[0]);
    }
    s *= spec.scale;
    if let Some(cap) = options.softcap {
        // tanh(x) = (1 - e^-2x) / (1 + e^-2x)
        let e = exp(-2.0 * (s / cap).abs());
        s = cap * ((1.0 - e) / (1.0 + e)).copysign(s);
    }
    if let Some(bias) = &options.bias {
        let mut value = [0.0];
        let column = if bias.shape().width == spec.columns() { j } else { 0 };
        bias.copy([b, i, h], column, &mut value);
        s += f64::from(value[0]);
    }
    if let Some(slope) = options.alibi_slopes.get(h) {
        s -= f64::from(*slope) * (spec.position(b, i) - j as i64).abs() as f64;
    }
    s
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
