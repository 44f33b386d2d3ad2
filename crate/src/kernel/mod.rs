//! Straight-line lane code. Knows no heads, no batches, no layouts.
//!
//! Every algorithm here is written once over [`Lanes`]; a file per instruction set implements the trait:
//! [`portable`] is `[f32; 4]`, the bit-level truth, and `simd128` is wasm's `v128`.

pub mod bits;
pub mod convert;
pub mod exp;
pub mod gemm_block;
pub mod gemm_tile;
pub mod ln;
pub mod pack;
pub mod pair_tile;
pub mod philox;
pub mod portable;
pub mod power;
pub mod reduce;
pub mod row;
pub mod row_tile;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub mod simd128;
pub mod sin_cos;
pub mod softmax;
pub mod tanh;

/// Rows of a tile.
pub const MR: usize = 4;
/// Columns of a tile: lanes of a panel.
pub const NR: usize = 8;
/// Elements between two rows of an A block, and the longest inner length of one tile.
pub const ROW_STRIDE: usize = 64;

/// The lanes this build computes with.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub type Native = portable::F32x4;
/// The lanes this build computes with.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub type Native = simd128::F32x4;
/// Their sums of integers.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub type NativeIntegers = portable::I32x4;
/// Their sums of integers.
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub type NativeIntegers = simd128::I32x4;

/// The bits under which every NaN is stored.
pub const CANONICAL_NAN: f32 = f32::from_bits(0x7fc0_0000);

/// `x`, or the one NaN that is stored.
#[inline(always)]
pub fn canonical(x: f32) -> f32 {
    if x.is_nan() {
        CANONICAL_NAN
    } else {
        x
    }
}

/// Four f32 lanes. Each operation is one IEEE-754 binary32 operation per lane, round to nearest even, subnormals kept.
pub trait Lanes: Copy {
    /// What a comparison gives: one truth value per lane.
    type Mask: Copy;

    /// All lanes `x`.
    fn splat(x: f32) -> Self;
    /// Lane `i` = `x[i]`.
    fn load(x: &[f32; 4]) -> Self;
    /// `out[i]` = lane `i`.
    fn store(self, out: &mut [f32; 4]);
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self / other`.
    fn div(self, other: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// `self * b + c`: two roundings in a strict build, one where relaxed SIMD is compiled in.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// Adds four products to each sum, in ascending order: lane i of `sums` takes `x[k] * rows[i][k]`, each by [`Lanes::mul_add`].
    #[inline(always)]
    fn add_four_products(sums: Self, x: &[f32; 4], rows: [&[f32; 4]; 4]) -> Self {
        if cfg!(target_feature = "relaxed-simd") {
            let columns = Self::transpose(rows.map(Self::load));
            return x.iter().zip(columns).fold(sums, |sums, (x, column)| Self::splat(*x).mul_add(column, sums));
        }
        // Products of which each is rounded may be turned in place of the rows, and x need not be spread.
        let x = Self::load(x);
        Self::transpose(rows.map(|row| x.mul(Self::load(row)))).into_iter().fold(sums, Self::add)
    }
    /// `self < other ? other : self`: a NaN in `other` never wins, a NaN in `self` stays.
    fn larger(self, other: Self) -> Self;
    /// `self < other`, false for NaN.
    fn less(self, other: Self) -> Self::Mask;
    /// `self == other`, false for NaN.
    fn equal(self, other: Self) -> Self::Mask;
    /// Lane i is true where `bits` has the one bit that lane i of `places` is made of.
    fn mask_of_bits(bits: u32, places: Self) -> Self::Mask;
    /// Whether all lanes are true.
    fn all(mask: Self::Mask) -> bool;
    /// `mask ? a : b`.
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self;
    /// `mask ? +0 : self`.
    fn zero_where(self, mask: Self::Mask) -> Self;
    /// The magnitude: the sign bit cleared.
    fn abs(self) -> Self;
    /// The magnitude of `self` with the sign of `sign`.
    fn copy_sign(self, sign: Self) -> Self;
    /// For `self` = 12583040 + n with n in [-127, 126]: 2^(n + 1). Any bits where `self` is not such a number.
    fn shifted_to_exponent(self) -> Self;
    /// Eight f16, given as bits, exactly.
    fn widen_f16(eight: &[u16; 8], constants: &convert::F16Constants<Self>) -> [Self; 2];
    /// Eight bf16, given as bits, exactly.
    fn widen_bf16(eight: &[u16; 8]) -> [Self; 2];
    /// The integers nearest to eight numbers of at most 2^15 - 1 in magnitude, ties to even. Any integers for other numbers.
    fn round(low: Self, high: Self) -> [i16; 8];
    /// `(self - m) * factor - less` in f64, rounded once.
    fn shifted_product(self, m: &[f64; 4], factor: f64, less: &[f64; 4]) -> Self;
    /// The square root of a count, rounded to f64.
    fn root_of(n: usize) -> f64;
    /// Lanes 0, 0, 1, 1 and 2, 2, 3, 3.
    fn twice(self) -> [Self; 2];
    /// Lanes 1, 0, 3, 2.
    fn swap_in_pairs(self) -> Self;
    /// The 4 x 4 matrix whose rows are given, transposed.
    fn transpose(rows: [Self; 4]) -> [Self; 4];

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self) -> [f32; 4] {
        let mut out = [0.0; 4];
        self.store(&mut out);
        out
    }

    /// Every NaN replaced by the one NaN that is stored.
    #[inline(always)]
    fn canonical(self) -> Self {
        Self::select(self.equal(self), self, Self::splat(CANONICAL_NAN))
    }
}

/// Four i32 lanes: exact sums of products of integers.
pub trait IntegerLanes: Copy {
    /// Lanes of f32.
    type Float: Lanes;
    /// A pair of factors, in every lane.
    type Factors: Copy;
    /// What the factors of a whole sum are to be known for when it ends.
    type Offset: Copy;

    /// All lanes 0.
    fn zero() -> Self;
    /// A pair, in every lane.
    fn factors(pair: &[i16; 2]) -> Self::Factors;
    /// For the pairs of a whole sum.
    fn offset(pairs: &[[i16; 2]]) -> Self::Offset;
    /// Adds `factors[0] * x[0] + factors[1] * x[1]` for eight columns x of a pair of bytes each: `16 bytes = [4][2][2]`, columns 0
    /// to 3 in the bytes at even places, with their sign bits flipped, and columns 4 to 7 in those at odd ones.
    fn add_products(sums: [Self; 2], factors: Self::Factors, bytes: &[i8; 16]) -> [Self; 2];
    /// The sums of eight columns, rounded to nearest even.
    fn to_float(sums: [Self; 2], offset: Self::Offset) -> [Self::Float; 2];
}
