//! `exp2(t)` for `t <= 0`.
//!
//! Order: the nearest integer `n` by adding and taking away 1.5 * 2^23, `f = t - n` (exact), degree 6 in `f` by Horner,
//! times `2^n`. Below -126 the result is +0, so that no subnormal is ever made. NaN gives NaN, because the polynomial does
//! and a product keeps it; that is why the exponent is applied by a product and not by an integer addition, whose bits
//! are the same for every number.
//!
//! Error: at most 1.2915 ulp over all f32 in [-126, -0] (exhaustive). Coefficients: minimax on [-1/2, 1/2].

use super::Lanes;

/// 1.5 * 2^23: adding it leaves the nearest integer in the low mantissa bits.
const MAGIC: f32 = 12_582_912.0;
/// c0..c6 of the polynomial, as bit patterns.
const COEFFICIENTS: [u32; 7] =
    [0x3f80_0000, 0x3f31_7219, 0x3e75_fdf1, 0x3d63_5739, 0x3c1d_9387, 0x3aaf_b93b, 0x3923_85a5];
/// Results for smaller arguments are +0.
pub const SMALLEST: f32 = -126.0;

/// 2^t in every lane, for `t <= 0`, -Infinity or NaN.
#[inline(always)]
pub fn exp2<L: Lanes>(t: L) -> L {
    let magic = L::splat(MAGIC);
    let z = t.add(magic);
    let f = t.sub(z.sub(magic));
    let c = |k: usize| L::splat(f32::from_bits(COEFFICIENTS[k]));
    let mut p = c(6);
    for k in (0..6).rev() {
        p = p.mul_add(f, c(k));
    }
    p.mul(z.power_from_magic()).zero_where(t.less(L::splat(SMALLEST)))
}
