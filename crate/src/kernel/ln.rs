//! The natural logarithm of a sum of exponentials, from its base-2 state `(m, l)`.
//!
//! Order (all steps f64, none fused): `l = 2^e * g`, g in [1, 2), halved from sqrt(2) on; `s = (g - 1) / (g + 1)`,
//! `z = s * s`, `P = sum z^k / (2k + 1)` for k = 0..8 by Horner, `ln g = 2 s P`; `m ln2 + (e ln2 + ln g)`, rounded once.

const LN2: f64 = core::f64::consts::LN_2;
/// The bits of the smallest g that is halved.
const SQRT_2_BITS: u32 = 0x3fb5_04f3;

/// `ln(2^m * l)` rounded once to f32, for finite `m` and `1 <= l < Infinity`.
pub fn log_sum_exp(m: f32, l: f32) -> f32 {
    let bits = l.to_bits();
    let mut e = (bits >> 23) as i32 - 127;
    let g_bits = (bits & 0x007f_ffff) | 0x3f80_0000;
    let mut g = f64::from(f32::from_bits(g_bits));
    if g_bits >= SQRT_2_BITS {
        g /= 2.0;
        e += 1;
    }
    let s = (g - 1.0) / (g + 1.0);
    let z = s * s;
    let mut p = 1.0 / 17.0;
    for k in (0..8).rev() {
        p = p * z + 1.0 / f64::from(2 * k + 1);
    }
    let ln_g = 2.0 * s * p;
    (f64::from(m) * LN2 + (f64::from(e) * LN2 + ln_g)) as f32
}
