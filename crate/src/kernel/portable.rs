//! `[f32; 4]`: the portable lanes and the bit-level truth of the crate.

use super::convert::{bf16_to_f32, f16_to_f32};
use super::{IntegerLanes, Lanes};

/// Four lanes in an array. Rust never fuses or reorders these operations, so their bits are IEEE-754's on every target.
#[derive(Clone, Copy, Debug)]
pub struct F32x4(pub [f32; 4]);

#[inline(always)]
fn widen<T: Copy>(eight: &[T; 8], f: impl Fn(T) -> f32) -> [F32x4; 2] {
    [0, 4].map(|at| F32x4(core::array::from_fn(|i| f(eight[at + i]))))
}

impl F32x4 {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(core::array::from_fn(|i| f(self.0[i], other.0[i])))
    }

    #[inline(always)]
    fn compare(self, other: Self, f: impl Fn(f32, f32) -> bool) -> [bool; 4] {
        core::array::from_fn(|i| f(self.0[i], other.0[i]))
    }
}

/// The square root, rounded to nearest, which `core` does not have: the integer root of the significand with one bit to spare.
/// No root of 24 bits lies half-way between two numbers, so that bit alone decides the rounding.
pub fn sqrt(x: f32) -> f32 {
    if x.is_nan() || x < 0.0 {
        return super::CANONICAL_NAN;
    }
    if x == 0.0 || x.is_infinite() {
        return x;
    }
    let mut exponent = (x.to_bits() >> 23) as i32;
    let mut significand = u64::from(x.to_bits() & 0x007f_ffff);
    if exponent == 0 {
        let shift = significand.leading_zeros() - 40;
        (significand, exponent) = (significand << shift, 1 - shift as i32);
    } else {
        significand |= 0x0080_0000;
    }
    // x = significand * 2^(exponent - 150); the power that remains has to be even for its root to be one.
    let even = (exponent + 1) & 1;
    let root = (significand << (25 + even)).isqrt();
    let exponent = (exponent - 150 - 25 - even) / 2;
    let rounded = (root + 1) >> 1;
    // 24 bits, or 2^24 after a carry, which the addition of bits turns into the next power.
    f32::from_bits((rounded as u32 - 0x0080_0000) + (((exponent + 1 + 23 + 127) as u32) << 23))
}

impl Lanes for F32x4 {
    type Mask = [bool; 4];

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; 4])
    }
    #[inline(always)]
    fn load(x: &[f32; 4]) -> Self {
        Self(*x)
    }
    #[inline(always)]
    fn store(self, out: &mut [f32; 4]) {
        *out = self.0;
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(sqrt))
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        self.mul(b).add(c)
    }
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { b } else { a })
    }
    #[inline(always)]
    fn less(self, other: Self) -> [bool; 4] {
        self.compare(other, |a, b| a < b)
    }
    #[inline(always)]
    fn equal(self, other: Self) -> [bool; 4] {
        self.compare(other, |a, b| a == b)
    }
    #[inline(always)]
    fn mask_of_bits(bits: u32, places: Self) -> [bool; 4] {
        places.0.map(|place| bits & place.to_bits() != 0)
    }
    #[inline(always)]
    fn all(mask: [bool; 4]) -> bool {
        mask == [true; 4]
    }
    #[inline(always)]
    fn select(mask: [bool; 4], a: Self, b: Self) -> Self {
        Self(core::array::from_fn(|i| if mask[i] { a.0[i] } else { b.0[i] }))
    }
    #[inline(always)]
    fn zero_where(self, mask: [bool; 4]) -> Self {
        Self::select(mask, Self::splat(0.0), self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.map(|x| f32::from_bits(x.to_bits() & 0x7fff_ffff)))
    }
    #[inline(always)]
    fn copy_sign(self, sign: Self) -> Self {
        Self(core::array::from_fn(|i| {
            f32::from_bits((self.0[i].to_bits() & 0x7fff_ffff) | (sign.0[i].to_bits() & 0x8000_0000))
        }))
    }
    #[inline(always)]
    fn shifted_to_exponent(self) -> Self {
        Self(self.0.map(|z| f32::from_bits(z.to_bits() << 23)))
    }
    #[inline(always)]
    fn widen_f16(eight: &[u16; 8], _: &super::convert::F16Constants<Self>) -> [Self; 2] {
        widen(eight, f16_to_f32)
    }
    #[inline(always)]
    fn widen_bf16(eight: &[u16; 8]) -> [Self; 2] {
        widen(eight, bf16_to_f32)
    }
    #[inline(always)]
    fn round(low: Self, high: Self) -> [i16; 8] {
        // Adding 1.5 * 2^23 rounds, and leaves the integer in the low bits.
        let integer = |x: f32| (x + 12_582_912.0).to_bits() as i16;
        core::array::from_fn(|i| integer(if i < 4 { low.0[i] } else { high.0[i - 4] }))
    }
    #[inline(always)]
    fn shifted_product(self, m: &[f64; 4], factor: f64, less: &[f64; 4]) -> Self {
        Self(core::array::from_fn(|i| ((f64::from(self.0[i]) - m[i]) * factor - less[i]) as f32))
    }
    fn root_of(n: usize) -> f64 {
        if n == 0 {
            return 0.0;
        }
        // n * 4^shift has 125 or 126 bits, its root 63: ten more than f64 keeps, with a sticky last bit for rounding.
        let shift = ((n as u128).leading_zeros() - 2) / 2;
        let scaled = (n as u128) << (2 * shift);
        let root = scaled.isqrt();
        let sticky = u64::from(root * root != scaled);
        // Exact: a division by a power of two far from the ends of the range.
        (root as u64 | sticky) as f64 / (1u128 << shift) as f64
    }
    #[inline(always)]
    fn twice(self) -> [Self; 2] {
        let [a, b, c, d] = self.0;
        [Self([a, a, b, b]), Self([c, c, d, d])]
    }
    #[inline(always)]
    fn swap_in_pairs(self) -> Self {
        let [a, b, c, d] = self.0;
        Self([b, a, d, c])
    }
    #[inline(always)]
    fn transpose(rows: [Self; 4]) -> [Self; 4] {
        core::array::from_fn(|i| Self(core::array::from_fn(|j| rows[j].0[i])))
    }
}

/// Products of bytes taken apart need nothing in the end.
#[derive(Clone, Copy, Debug)]
pub struct NoOffset;

/// Four sums of integers in an array.
#[derive(Clone, Copy, Debug)]
pub struct I32x4(pub [i32; 4]);

impl IntegerLanes for I32x4 {
    type Float = F32x4;
    type Factors = [i32; 2];
    type Offset = NoOffset;

    #[inline(always)]
    fn zero() -> Self {
        Self([0; 4])
    }
    #[inline(always)]
    fn factors(pair: &[i16; 2]) -> [i32; 2] {
        pair.map(i32::from)
    }
    #[inline(always)]
    fn offset(_: &[[i16; 2]]) -> NoOffset {
        NoOffset
    }
    #[inline(always)]
    fn add_products([even, odd]: [Self; 2], factors: [i32; 2], bytes: &[i8; 16]) -> [Self; 2] {
        let add = |sums: Self, first: usize, flipped: i8| {
            let product = |i: usize, of: usize| factors[of] * i32::from(bytes[4 * i + 2 * of + first] ^ flipped);
            Self(core::array::from_fn(|i| sums.0[i] + (product(i, 0) + product(i, 1))))
        };
        [add(even, 0, i8::MIN), add(odd, 1, 0)]
    }
    #[inline(always)]
    fn to_float(sums: [Self; 2], _: NoOffset) -> [F32x4; 2] {
        sums.map(|sums| F32x4(sums.0.map(|sum| sum as f32)))
    }
}
