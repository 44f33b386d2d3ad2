//! `tanh(x)`.
//!
//! Order: with `a = |x|`, below 0.625 an odd polynomial, `a + (z * P(z)) * a` with `z = x * x`; else
//! `(1 - e) / (1 + e)` with `e = exp2(a * -2 log2(e))`; then the sign of x. Error: at most 1.93 ulp.

use super::{exp::exp2, Lanes};

/// t0..t4 of the polynomial.
const COEFFICIENTS: [u32; 5] = [0xbeaa_aa99, 0x3e08_8393, 0xbd5c_1e2b, 0x3ca9_1343, 0xbbba_f0bd];
/// -2 log2(e).
const MINUS_TWO_LOG2E: u32 = 0xc038_aa3b;

/// The hyperbolic tangent in every lane; NaN gives NaN, infinities give one with their sign.
#[inline(always)]
pub fn tanh<L: Lanes>(x: L) -> L {
    let a = x.abs();
    let z = x.mul(x);
    let c = |k: usize| L::splat(f32::from_bits(COEFFICIENTS[k]));
    let mut p = c(4);
    for k in (0..4).rev() {
        p = p.mul_add(z, c(k));
    }
    let near = z.mul(p).mul_add(a, a);
    let e = exp2(a.mul(L::splat(f32::from_bits(MINUS_TWO_LOG2E))));
    let one = L::splat(1.0);
    let far = one.sub(e).div(one.add(e));
    L::select(a.less(L::splat(0.625)), near, far).copy_sign(x)
}
