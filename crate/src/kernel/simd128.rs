//! wasm's `v128` as [`Lanes`]; with `relaxed-simd` compiled in, `mul_add` is one relaxed instruction.

use super::convert::F16Constants;
use super::{IntegerLanes, Lanes};
use core::arch::wasm32::*;

/// Four lanes in one `v128`.
#[derive(Clone, Copy)]
pub struct F32x4(v128);

impl Lanes for F32x4 {
    type Mask = v128;

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self(f32x4_splat(x))
    }
    #[inline(always)]
    fn load(x: &[f32; 4]) -> Self {
        // SAFETY: the reference covers 16 readable bytes, and a wasm load needs no alignment.
        Self(unsafe { v128_load(x.as_ptr().cast()) })
    }
    #[inline(always)]
    fn store(self, out: &mut [f32; 4]) {
        // SAFETY: the reference covers 16 writable bytes, and a wasm store needs no alignment.
        unsafe { v128_store(out.as_mut_ptr().cast(), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(f32x4_add(self.0, other.0))
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(f32x4_sub(self.0, other.0))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(f32x4_mul(self.0, other.0))
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(f32x4_div(self.0, other.0))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(f32x4_sqrt(self.0))
    }
    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        #[cfg(target_feature = "relaxed-simd")]
        return Self(f32x4_relaxed_madd(self.0, b.0, c.0));
        #[cfg(not(target_feature = "relaxed-simd"))]
        Self(f32x4_add(f32x4_mul(self.0, b.0), c.0))
    }
    #[inline(always)]
    fn larger(self, other: Self) -> Self {
        // pmax(a, b) is `a < b ? b : a`: one instruction on x64, where f32x4.max is eight.
        Self(f32x4_pmax(self.0, other.0))
    }
    #[inline(always)]
    fn less(self, other: Self) -> v128 {
        f32x4_lt(self.0, other.0)
    }
    #[inline(always)]
    fn equal(self, other: Self) -> v128 {
        f32x4_eq(self.0, other.0)
    }
    #[inline(always)]
    fn mask_of_bits(bits: u32, places: Self) -> v128 {
        i32x4_eq(v128_and(u32x4_splat(bits), places.0), places.0)
    }
    #[inline(always)]
    fn all(mask: v128) -> bool {
        i32x4_all_true(mask)
    }
    #[inline(always)]
    fn select(mask: v128, a: Self, b: Self) -> Self {
        Self(v128_bitselect(a.0, b.0, mask))
    }
    #[inline(always)]
    fn zero_where(self, mask: v128) -> Self {
        Self(v128_andnot(self.0, mask))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(f32x4_abs(self.0))
    }
    #[inline(always)]
    fn copy_sign(self, sign: Self) -> Self {
        Self(v128_bitselect(self.0, sign.0, u32x4_splat(0x7fff_ffff)))
    }
    #[inline(always)]
    fn shifted_to_exponent(self) -> Self {
        Self(i32x4_shl(self.0, 23))
    }
    #[inline(always)]
    fn widen_f16(eight: &[u16; 8], constants: &F16Constants<Self>) -> [Self; 2] {
        // SAFETY: the reference covers 16 readable bytes, and a wasm load needs no alignment.
        let h = unsafe { v128_load(eight.as_ptr().cast()) };
        let [kept, power, exponent] = constants.0.map(|constant| constant.0);
        let special = v128_and(i16x8_eq(v128_and(h, exponent), exponent), exponent);
        let halves = [widened(h), widened(special)];
        // The sign, three copies of it that are dropped, and the magnitude: as f32 2^-112 times the value, subnormals included, so
        // that one product is exact. What had the largest exponent has 8f after it: the five upper bits more make it that of f32.
        [0, 1].map(|half| {
            let scaled = v128_and(i32x4_shr(halves[0][half], 3), kept);
            Self(v128_or(f32x4_mul(scaled, power), halves[1][half]))
        })
    }
    #[inline(always)]
    fn widen_bf16(eight: &[u16; 8]) -> [Self; 2] {
        // SAFETY: the reference covers 16 readable bytes, and a wasm load needs no alignment.
        let h = unsafe { v128_load(eight.as_ptr().cast()) };
        widened(h).map(Self)
    }
    #[inline(always)]
    fn round(low: Self, high: Self) -> [i16; 8] {
        // Adding 1.5 * 2^23 rounds, and leaves the integer in the low bits.
        let magic = f32x4_splat(12_582_912.0);
        let integers = [low, high].map(|x| i32x4_sub(f32x4_add(x.0, magic), magic));
        let mut to = [0; 8];
        // SAFETY: the reference covers 16 writable bytes, and a wasm store needs no alignment.
        unsafe { v128_store(to.as_mut_ptr().cast(), i16x8_narrow_i32x4(integers[0], integers[1])) }
        to
    }
    #[inline(always)]
    fn shifted_product(self, m: &[f64; 4], factor: f64, less: &[f64; 4]) -> Self {
        let pair = |x: v128, at: usize| {
            let (m, less) = (f64x2(m[at], m[at + 1]), f64x2(less[at], less[at + 1]));
            let y = f64x2_sub(f64x2_mul(f64x2_sub(f64x2_promote_low_f32x4(x), m), f64x2_splat(factor)), less);
            f32x4_demote_f64x2_zero(y)
        };
        let high = i64x2_shuffle::<1, 1>(self.0, self.0);
        Self(i64x2_shuffle::<0, 2>(pair(self.0, 0), pair(high, 2)))
    }
    #[inline(always)]
    fn root_of(n: usize) -> f64 {
        f64x2_extract_lane::<0>(f64x2_sqrt(f64x2_splat(n as f64)))
    }
    #[inline(always)]
    fn twice(self) -> [Self; 2] {
        [Self(i32x4_shuffle::<0, 0, 1, 1>(self.0, self.0)), Self(i32x4_shuffle::<2, 2, 3, 3>(self.0, self.0))]
    }
    #[inline(always)]
    fn swap_in_pairs(self) -> Self {
        Self(i32x4_shuffle::<1, 0, 3, 2>(self.0, self.0))
    }
    #[inline(always)]
    fn transpose(rows: [Self; 4]) -> [Self; 4] {
        let [a, b, c, d] = rows.map(|row| row.0);
        let ab_low = i32x4_shuffle::<0, 4, 1, 5>(a, b);
        let ab_high = i32x4_shuffle::<2, 6, 3, 7>(a, b);
        let cd_low = i32x4_shuffle::<0, 4, 1, 5>(c, d);
        let cd_high = i32x4_shuffle::<2, 6, 3, 7>(c, d);
        [
            i64x2_shuffle::<0, 2>(ab_low, cd_low),
            i64x2_shuffle::<1, 3>(ab_low, cd_low),
            i64x2_shuffle::<0, 2>(ab_high, cd_high),
            i64x2_shuffle::<1, 3>(ab_high, cd_high),
        ]
        .map(Self)
    }
}

/// Four sums of integers in one `v128`.
#[derive(Clone, Copy)]
pub struct I32x4(v128);

/// A byte at an odd place is its word shifted; one at an even place is not taken out at all: with its sign bit flipped it is
/// `x + 128` in the word `w = 256 h + x + 128`, so that `sum a x = sum a w - 256 sum a h - 128 sum a`, of which only the result
/// has to fit 32 bits. Five operations for sixteen bytes, where widening them takes six at least.
impl IntegerLanes for I32x4 {
    type Float = F32x4;
    type Factors = v128;
    type Offset = v128;

    #[inline(always)]
    fn zero() -> Self {
        Self(i32x4_splat(0))
    }
    #[inline(always)]
    fn factors(pair: &[i16; 2]) -> v128 {
        // SAFETY: the reference covers 4 readable bytes, and a wasm load needs no alignment.
        unsafe { v128_load32_splat(pair.as_ptr().cast()) }
    }
    #[inline(always)]
    fn offset(pairs: &[[i16; 2]]) -> v128 {
        let (quads, rest) = pairs.as_chunks::<4>();
        let all = i16x8_splat(128);
        let mut sums = i32x4_splat(0);
        for quad in quads {
            // SAFETY: the reference covers 16 readable bytes, and a wasm load needs no alignment.
            sums = i32x4_add(sums, i32x4_dot_i16x8(unsafe { v128_load(quad.as_ptr().cast()) }, all));
        }
        sums = i32x4_add(sums, i32x4_shuffle::<2, 3, 0, 1>(sums, sums));
        sums = i32x4_add(sums, i32x4_shuffle::<1, 0, 3, 2>(sums, sums));
        for pair in rest {
            sums = i32x4_add(sums, i32x4_dot_i16x8(Self::factors(pair), all));
        }
        sums
    }
    #[inline(always)]
    fn add_products([even, odd]: [Self; 2], factors: v128, bytes: &[i8; 16]) -> [Self; 2] {
        // SAFETY: the reference covers 16 readable bytes, and a wasm load needs no alignment.
        let words = unsafe { v128_load(bytes.as_ptr().cast()) };
        [
            Self(i32x4_add(even.0, i32x4_dot_i16x8(words, factors))),
            Self(i32x4_add(odd.0, i32x4_dot_i16x8(i16x8_shr(words, 8), factors))),
        ]
    }
    #[inline(always)]
    fn to_float([even, odd]: [Self; 2], offset: v128) -> [F32x4; 2] {
        let even = i32x4_sub(i32x4_sub(even.0, i32x4_shl(odd.0, 8)), offset);
        [even, odd.0].map(|sums| F32x4(f32x4_convert_i32x4(sums)))
    }
}

/// Each half's bits above a zero: one interleaving instruction for four.
#[inline(always)]
fn widened(h: v128) -> [v128; 2] {
    let zero = u32x4_splat(0);
    [i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(zero, h), i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(zero, h)]
}

/// Bit i set where `bytes[i]` is 0.
#[inline(always)]
pub fn zero_bytes(bytes: &[u8; 16]) -> u16 {
    // SAFETY: the reference covers 16 readable bytes, and a wasm load needs no alignment.
    let bytes = unsafe { v128_load(bytes.as_ptr().cast()) };
    i8x16_bitmask(i8x16_eq(bytes, i8x16_splat(0)))
}

/// Bit i set where `numbers[i]` is `number`.
#[inline(always)]
pub fn equal_four(numbers: &[i32; 4], number: i32) -> u8 {
    // SAFETY: the reference covers 16 readable bytes, and a wasm load needs no alignment.
    let numbers = unsafe { v128_load(numbers.as_ptr().cast()) };
    i32x4_bitmask(i32x4_eq(numbers, i32x4_splat(number)))
}
