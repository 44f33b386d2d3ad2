//! `exp2(t)` for `t <= 0`.
//!
//! Order: the nearest integer `n` by adding and taking away 1.5 * 2^23, `f = t - n` (exact), degree 6 in `f` by Horner,
//! times `2^n`. Below -126 the result is +0, so that no subnormal is ever made. NaN gives NaN, because the polynomial does
//! and a product keeps it; that is why the exponent is applied by a product and not by an integer addition, whose bits
//! are the same for every number.
//!
//! Error: at most 1.2915 ulp over all f32 in [-126, -0] (exhaustive). Coefficients: minimax on [-1/2, 1/2].

use super::Lanes;

/// c0..c6 of the polynomial, each half of what it is, 1.5 * 2^23 + 128 (adding it leaves the nearest integer plus 128 in the low
/// mantissa bits), and the smallest argument whose result is not +0; as bit patterns.
///
/// The 128 makes the low bits the exponent of `2^(n + 1)`, ready to be shifted into their place; being even, it leaves ties
/// where they were. Halves are exact at every step of the polynomial, so its product with that power has the same bits.
static CONSTANTS: [u32; 9] = [
    0x3f00_0000,
    0x3eb1_7219,
    0x3df5_fdf1,
    0x3ce3_5739,
    0x3b9d_9387,
    0x3a2f_b93b,
    0x38a3_85a5,
    0x4b40_0080,
    0xc2fc_0000,
];
const MAGIC: usize = 7;
const SMALLEST: usize = 8;

/// The constants in lanes, to be kept across a loop.
#[derive(Clone, Copy)]
pub struct Exp2<L>([L; 9]);

impl<L: Lanes> Exp2<L> {
    /// Loads the constants.
    ///
    /// From memory, and opaquely so: as literals V8 builds each anew in every turn of a loop, which halves its speed.
    #[inline(always)]
    pub fn new() -> Self {
        Self(core::hint::black_box(&CONSTANTS).map(|bits| L::splat(f32::from_bits(bits))))
    }

    /// 2^t in every lane, for `t <= 0`, -Infinity or NaN.
    #[inline(always)]
    pub fn apply(&self, t: L) -> L {
        let c = &self.0;
        let z = t.add(c[MAGIC]);
        let f = t.sub(z.sub(c[MAGIC]));
        let mut p = c[6];
        for k in (0..6).rev() {
            p = p.mul_add(f, c[k]);
        }
        p.mul(z.shifted_to_exponent()).zero_where(t.less(c[SMALLEST]))
    }
}

/// Half of ln 2 in two parts; the first has 15 bits, so that its product with an integer up to 511 is exact.
const HALF_LN2: [f32; 2] = [f32::from_bits(0x3eb17200), f32::from_bits(0x353fbe8e)];
/// 2 log2(e).
const TWO_LOG2E: f32 = 2.0 * core::f32::consts::LOG2_E;

impl<L: Lanes> Exp2<L> {
    /// `e^(2x)` for |x| <= 40, to a relative error of 2.1 * 2^-24 (2.03 over every f32 up to 15): the nearest power of two is taken from x
    /// itself, in two exact parts, so that the error does not grow with x as it does in `exp2(x * 2 log2(e))`.
    #[inline(always)]
    pub fn of_twice(&self, x: L) -> L {
        let c = &self.0;
        let z = x.mul(L::splat(TWO_LOG2E)).add(c[MAGIC]);
        let n = z.sub(c[MAGIC]);
        let rest = x.sub(n.mul(L::splat(HALF_LN2[0]))).sub(n.mul(L::splat(HALF_LN2[1])));
        let f = rest.mul(L::splat(TWO_LOG2E));
        let mut p = c[6];
        for k in (0..6).rev() {
            p = p.mul_add(f, c[k]);
        }
        p.mul(z.shifted_to_exponent())
    }
}

impl<L: Lanes> Default for Exp2<L> {
    fn default() -> Self {
        Self::new()
    }
}

/// [`Exp2::apply`] of one vector.
#[inline(always)]
pub fn exp2<L: Lanes>(t: L) -> L {
    Exp2::new().apply(t)
}
