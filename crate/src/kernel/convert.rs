//! Half-precision storage: f16 (IEEE-754 binary16) and bf16 to f32, exact, and back, round to nearest even.
//!
//! Written as integer arithmetic on one element, in a shape that vectorises; `core` has no half floats.

use super::Lanes;

/// What widening f16 by lanes needs: the sign and the 28 bits below its copies, 2^112, and an f16's largest exponent in every half.
static F16_CONSTANTS: [u32; 3] = [0x8fff_ffff, 0x7780_0000, 0x7c00_7c00];

/// The constants in lanes, to be kept across a loop.
#[derive(Clone, Copy)]
pub struct F16Constants<L>(pub [L; 3]);

impl<L: Lanes> F16Constants<L> {
    /// Loads the constants, opaquely as those of [`super::exp::Exp2`]: as literals V8 builds each anew wherever it is used.
    #[inline(always)]
    pub fn new() -> Self {
        Self(core::hint::black_box(&F16_CONSTANTS).map(|bits| L::splat(f32::from_bits(bits))))
    }
}

impl<L: Lanes> Default for F16Constants<L> {
    fn default() -> Self {
        Self::new()
    }
}

/// f16 bits to the f32 of the same value; NaN stays NaN.
#[inline(always)]
pub fn f16_to_f32(h: u16) -> f32 {
    let magnitude = u32::from(h & 0x7fff) << 13;
    // As an f32 these bits are 2^-112 times the value, subnormals of f16 included: one exact product.
    let finite = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    let bits = if h & 0x7c00 == 0x7c00 { magnitude | 0x7f80_0000 } else { finite };
    f32::from_bits(bits | u32::from(h & 0x8000) << 16)
}

/// bf16 bits to the f32 of the same value.
#[inline(always)]
pub fn bf16_to_f32(h: u16) -> f32 {
    f32::from_bits(u32::from(h) << 16)
}

/// f32 to f16 bits: nearest even, subnormals kept, overflow to infinity, NaN to 7e00.
#[inline(always)]
pub fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let a = bits & 0x7fff_ffff;
    let magnitude = if a > 0x7f80_0000 {
        0x7e00
    } else if a >= 0x4780_0000 {
        // 65536 and more, infinity included.
        0x7c00
    } else if a < 0x3880_0000 {
        // Below the smallest normal f16: the addition of 0.5 rounds to a multiple of 2^-24 in the low bits.
        (f32::from_bits(a) + 0.5).to_bits() - 0x3f00_0000
    } else {
        // Rebias the exponent; half a unit less one, plus the kept odd bit, rounds to nearest even and may carry up.
        (a - 0x3800_0000 + 0xfff + (a >> 13 & 1)) >> 13
    };
    sign | magnitude as u16
}

/// f32 to bf16 bits: nearest even, overflow to infinity, NaN to 7fc0.
#[inline(always)]
pub fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return 0x7fc0;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}
