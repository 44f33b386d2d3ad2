//! One row of 16-bit integers times 32 columns of bytes: the micro-kernel of a cache that keeps int8.
//!
//! Both lie in pairs along the inner axis, so that one instruction multiplies eight bytes and adds neighbours: a load, a shift,
//! two products and two additions for sixteen bytes ([`IntegerLanes::add_products`]). As f32 the same sixteen cost eighteen,
//! twelve of them widening.
//!
//! The loop is 28 instructions for 64 bytes in V8's x64 code, and nothing spills: four loads of 16 bytes, eight sums, a pair and a
//! temporary need 14 registers. With a widening load for each eight bytes (three operations for eight) V8 hoisted all eight
//! loads before the products, kept one of the sums in memory, and took 43; a whole call took 5 to 9 % longer.
//!
//! The sums are integers and exact, whatever the order. No sum overflows: an inner length of [`LONGEST`] gives at most
//! 512 * 32767 * 127 < 2^31.

use super::row_tile::COLUMNS;
use super::{IntegerLanes, Lanes, Native, NativeIntegers};
use crate::layout::pairs::Pair;
use crate::layout::row_steps::RowSteps;

/// Elements of a segment: the longest inner length whose sums are exact.
const LONGEST: usize = 512;
/// Columns of a tile, in eights.
const EIGHTS: usize = COLUMNS / 8;
/// The largest magnitude of 16 bits that is used.
const LARGEST: f32 = 32767.0;
/// The largest factor: the largest power of two.
const STEEPEST: f32 = f32::from_bits(0x7f00_0000);

/// `r = min(32767 / largest, 2^127)`, for the largest of four lanes: numbers of at most that magnitude are kept as integers
/// `round half to even(x * r)`, which stand for themselves times `1 / r`. Two roundings put `x * r` at most 0.004 past 32767,
/// which rounds to it. Where the largest is below 2^-112 the integers are smaller, and a step between them is 2^-127.
pub fn steepness(largest: Native) -> f32 {
    let r = LARGEST / largest.to_array().into_iter().fold(0.0, f32::max);
    if r < STEEPEST {
        r
    } else {
        STEEPEST
    }
}

/// The integers nearest to eight numbers times `steepness`, ties to even.
#[inline(always)]
pub fn rounded(x: &[[f32; 4]; 2], steepness: f32) -> [i16; 8] {
    let [low, high] = [0, 1].map(|half| Native::load(&x[half]).mul(Native::splat(steepness)));
    Native::round(low, high)
}

/// `to = to * x + (S * scales) * y`, or `(S * scales) * y` without an x, each product rounded, for the first of 32 columns;
/// `S = sum over segments of f32(sum over k of a[k] . b[k * stride ..][..64])`, a pair of bytes for each column.
///
/// Inlined into both of its callers: a call for each of 32 columns costs a seventh of the whole, two copies 0.3 KB.
#[inline(always)]
pub fn pair_tile(
    a: &[Pair],
    b: &[i8],
    stride: usize,
    scales: &[[f32; 4]; COLUMNS / 4],
    x: Option<f32>,
    y: f32,
    to: &mut [f32],
) {
    let mut sums = [[Native::splat(0.0); 2]; EIGHTS];
    for (segment, a) in a.chunks(LONGEST / 2).enumerate() {
        let offset = NativeIntegers::offset(a);
        let mut acc = [[NativeIntegers::zero(); 2]; EIGHTS];
        let mut steps = RowSteps::<_, _, 16, 0>::new(a, &b[segment * (LONGEST / 2) * stride..], stride);
        while steps.turn(|half, a, b| {
            let a = NativeIntegers::factors(a);
            for (acc, b) in acc[half * EIGHTS / 2..].iter_mut().zip(b) {
                *acc = NativeIntegers::add_products(*acc, a, b);
            }
        }) {}
        for (sums, acc) in sums.iter_mut().zip(acc) {
            let [low, high] = NativeIntegers::to_float(acc, offset);
            *sums = [sums[0].add(low), sums[1].add(high)];
        }
    }
    let y = Native::splat(y);
    for ((to, sum), scale) in to.as_chunks_mut::<4>().0.iter_mut().zip(sums.as_flattened()).zip(scales) {
        let sum = sum.mul(Native::load(scale)).mul(y);
        match x {
            None => sum,
            Some(x) => Native::load(to).mul(Native::splat(x)).add(sum),
        }
        .store(to);
    }
}
