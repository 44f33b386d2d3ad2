//! `tanh(x)`.
//!
//! Order: with `a = |x|`, below 0.625 an odd polynomial, `a + (z * P(z)) * a` with `z = x * x`; else
//! `(1 - e) / (1 + e)` with `e = exp2(a * -2 log2(e))`; then the sign of x. Error: at most 1.93 ulp.

use super::{exp::Exp2, Lanes};

/// t0..t4 of the polynomial; -2 log2(e); where the polynomial ends; as bit patterns.
static CONSTANTS: [u32; 7] =
    [0xbeaa_aa99, 0x3e08_8393, 0xbd5c_1e2b, 0x3ca9_1343, 0xbbba_f0bd, 0xc038_aa3b, 0x3f20_0000];
const MINUS_TWO_LOG2E: usize = 5;
const END: usize = 6;

/// The constants in lanes, to be kept across a loop.
#[derive(Clone, Copy)]
pub struct Tanh<L> {
    c: [L; 7],
    exp2: Exp2<L>,
}

impl<L: Lanes> Tanh<L> {
    /// Loads the constants, opaquely, for the reason that [`Exp2::new`] has.
    #[inline(always)]
    pub fn new() -> Self {
        let c = core::hint::black_box(&CONSTANTS).map(|bits| L::splat(f32::from_bits(bits)));
        Self { c, exp2: Exp2::new() }
    }

    /// The hyperbolic tangent in every lane; NaN gives NaN, infinities give one with their sign.
    #[inline(always)]
    pub fn apply(&self, x: L) -> L {
        let c = &self.c;
        let a = x.abs();
        let z = x.mul(x);
        let mut p = c[4];
        for k in (0..4).rev() {
            p = p.mul_add(z, c[k]);
        }
        let near = z.mul(p).mul_add(a, a);
        let is_near = a.less(c[END]);
        // Scores far below their cap are the rule, and the exponential and the division are most of the work.
        if L::all(is_near) {
            return near.copy_sign(x);
        }
        let e = self.exp2.apply(a.mul(c[MINUS_TWO_LOG2E]));
        let one = L::splat(1.0);
        let far = one.sub(e).div(one.add(e));
        L::select(is_near, near, far).copy_sign(x)
    }
}

impl<L: Lanes> Default for Tanh<L> {
    fn default() -> Self {
        Self::new()
    }
}

/// [`Tanh::apply`] of one vector.
#[inline(always)]
pub fn tanh<L: Lanes>(x: L) -> L {
    Tanh::new().apply(x)
}
