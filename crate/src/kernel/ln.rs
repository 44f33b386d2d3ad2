//! The natural logarithm, in f64 whatever enters, and that of a sum of exponentials from its base-2 state `(m, l)`.
//!
//! Order (all steps f64, none fused): `x = 2^e * g`, g in [1, 2), halved from f32(sqrt(2)) on; `s = (g - 1) / (g + 1)`,
//! `z = s * s`, `P = sum z^k / (2k + 1)` for k = 0..8 by Horner, `ln x = e ln2 + 2 s P`. Near 1 no digit is lost, since g - 1 is
//! exact there. Error: at most 7.0 ulp of f64; rounded to f32, the nearest to ln x of every normal f32 x but two (exhaustive).

const LN2: f64 = core::f64::consts::LN_2;
/// The smallest g that is halved.
const SQRT_2: f64 = f32::from_bits(0x3fb5_04f3) as f64;

/// `ln x` for positive normal x; -Infinity for +-0, +Infinity for itself, NaN for what is negative or NaN.
///
/// Subnormals of f64 count as 0: no f32 and no f32 product is one.
#[inline(never)]
pub fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    if !(f64::MIN_POSITIVE..f64::INFINITY).contains(&x) {
        return match x {
            x if x == f64::INFINITY => x,
            x if x.abs() < f64::MIN_POSITIVE => f64::NEG_INFINITY,
            _ => f64::NAN,
        };
    }
    let mut e = (bits >> 52) as i32 - 1023;
    let mut g = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if g >= SQRT_2 {
        g /= 2.0;
        e += 1;
    }
    let s = (g - 1.0) / (g + 1.0);
    let z = s * s;
    let mut p = 1.0 / 17.0;
    for k in (0..8).rev() {
        p = p * z + 1.0 / f64::from(2 * k + 1);
    }
    f64::from(e) * LN2 + 2.0 * s * p
}

/// `ln(2^m * l)` rounded once to f32, for finite `m` and `1 <= l < Infinity`.
pub fn log_sum_exp(m: f32, l: f32) -> f32 {
    (f64::from(m) * LN2 + ln(f64::from(l))) as f32
}
