//! One row of A times 32 columns: the micro-kernel of decoding, where a single query meets all keys and every element of them
//! is read once, from first to last. Elements are widened to f32 on the way into the registers, so that memory carries no
//! more than what is stored.
//!
//! Order per element: the sum starts at +0 and adds the products in ascending order of the inner index, as in
//! [`super::gemm_tile`]. Eight independent sums hide the latency of an addition; 32 columns side by side are one stream to the
//! hardware's prefetcher, where four panels of 8 were four short ones: 26 against 16 GB/s beyond L2.

use super::convert::{bf16_to_f32, f16_to_f32};
use super::{Lanes, Native};
use crate::layout::blocks::{RowSteps, Stored};

/// Columns of a tile.
pub const COLUMNS: usize = 32;
/// Columns of a tile, in eights.
const EIGHTS: usize = COLUMNS / 8;

/// How eight stored elements become f32.
trait Element {
    /// What is stored.
    type Stored: Stored;
    /// The eight elements as f32, exactly.
    fn widen<L: Lanes>(eight: &[Self::Stored; 8]) -> [L; 2];
    /// One element as f32, exactly.
    fn widen_one(one: Self::Stored) -> f32;
}

/// binary32.
struct F32;
/// binary16.
struct F16;
/// The upper half of binary32.
struct Bf16;

impl Element for F32 {
    type Stored = f32;
    #[inline(always)]
    fn widen<L: Lanes>(eight: &[f32; 8]) -> [L; 2] {
        let [low, high] = halves(eight);
        [L::load(low), L::load(high)]
    }
    fn widen_one(one: f32) -> f32 {
        one
    }
}
impl Element for F16 {
    type Stored = u16;
    #[inline(always)]
    fn widen<L: Lanes>(eight: &[u16; 8]) -> [L; 2] {
        L::widen_f16(eight)
    }
    fn widen_one(one: u16) -> f32 {
        f16_to_f32(one)
    }
}
impl Element for Bf16 {
    type Stored = u16;
    #[inline(always)]
    fn widen<L: Lanes>(eight: &[u16; 8]) -> [L; 2] {
        L::widen_bf16(eight)
    }
    fn widen_one(one: u16) -> f32 {
        bf16_to_f32(one)
    }
}

#[inline(always)]
fn halves(eight: &[f32; 8]) -> [&[f32; 4]; 2] {
    let (halves, _) = eight.as_chunks::<4>();
    [&halves[0], &halves[1]]
}

/// Stored elements of one type.
#[derive(Clone, Copy)]
pub enum Elements<'a> {
    /// binary32.
    F32(&'a [f32]),
    /// binary16.
    F16(&'a [u16]),
    /// The upper half of binary32.
    Bf16(&'a [u16]),
}

impl<'a> Elements<'a> {
    /// The elements from `at` on.
    #[inline]
    pub fn from(self, at: usize) -> Self {
        match self {
            Self::F32(all) => Self::F32(&all[at..]),
            Self::F16(all) => Self::F16(&all[at..]),
            Self::Bf16(all) => Self::Bf16(&all[at..]),
        }
    }

    /// The first of them as f32, whole eights vectorised.
    #[inline(never)]
    pub fn widen(self, to: &mut [f32]) {
        match self {
            Self::F32(all) => widen::<F32>(all, to),
            Self::F16(all) => widen::<F16>(all, to),
            Self::Bf16(all) => widen::<Bf16>(all, to),
        }
    }

    /// `sums = sum over k of a[k] * self[k * stride ..][..32]`.
    #[inline(always)]
    pub fn row_tile(self, a: &[f32], stride: usize, sums: &mut [f32; COLUMNS]) {
        match self {
            Self::F32(b) => row_tile::<Native, F32>(a, b, stride, sums),
            Self::F16(b) => row_tile::<Native, F16>(a, b, stride, sums),
            Self::Bf16(b) => row_tile::<Native, Bf16>(a, b, stride, sums),
        }
    }
}

#[inline(never)]
fn row_tile<L: Lanes, E: Element>(a: &[f32], b: &[E::Stored], stride: usize, sums: &mut [f32; COLUMNS]) {
    let mut acc = [[L::splat(0.0); 2]; EIGHTS];
    for (a, b) in RowSteps::new(a, b, stride) {
        let a = L::splat(*a);
        for eight in 0..EIGHTS {
            let [low, high] = E::widen::<L>(&b[eight]);
            acc[eight][0] = a.mul_add(low, acc[eight][0]);
            acc[eight][1] = a.mul_add(high, acc[eight][1]);
        }
    }
    for (to, acc) in sums.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_flattened()) {
        acc.store(to);
    }
}

#[inline(always)]
fn widen<E: Element>(from: &[E::Stored], to: &mut [f32]) {
    let whole = to.len() / 8 * 8;
    let (eights, rest) = to.split_at_mut(whole);
    for (from, to) in from.as_chunks::<8>().0.iter().zip(eights.as_chunks_mut::<8>().0) {
        for (half, to) in E::widen::<Native>(from).into_iter().zip(to.as_chunks_mut::<4>().0) {
            half.store(to);
        }
    }
    for (from, to) in from[whole..].iter().zip(rest) {
        *to = E::widen_one(*from);
    }
}
