//! One row of A times 32 columns: the micro-kernel of decoding, where a single query meets all keys and every element of them
//! is read once, from first to last. Elements are widened to f32 on the way into the registers, so that memory carries no
//! more than what is stored.
//!
//! Order per element: the sum starts at +0 and adds the products in ascending order of the inner index, as in
//! [`super::gemm_tile`]. Eight independent sums hide the latency of an addition; 32 columns side by side are one stream to the
//! hardware's prefetcher, where four panels of 8 were four short ones: 26 against 16 GB/s beyond L2.

use super::convert::{bf16_to_f32, f16_to_f32, F16Constants};
use super::exp::Exp2;
use super::{Lanes, Native};
use crate::layout::blocks::Stored;
use crate::layout::row_steps::RowSteps;

/// Columns of a tile.
pub const COLUMNS: usize = 32;
/// Columns of a tile, in eights.
const EIGHTS: usize = COLUMNS / 8;
/// Scores of a block.
const BLOCK: usize = 64;
/// Exponentials that are begun before the steps that take the ones before them.
const PART: usize = 32;

/// The sums of a tile.
type Sums<L> = [[L; 2]; EIGHTS];

/// How eight stored elements become f32.
trait Element {
    /// What is stored.
    type Stored: Stored;
    /// Whether whole panels have a loop of their own; widening f16 takes most of its time.
    const OWN_LOOP: bool;
    /// What widening needs, to be kept across a loop.
    type Constants<L: Lanes>: Copy;
    /// Loads the constants.
    fn constants<L: Lanes>() -> Self::Constants<L>;
    /// The eight elements as f32, exactly.
    fn widen<L: Lanes>(constants: &Self::Constants<L>, eight: &[Self::Stored; 8]) -> [L; 2];
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
    const OWN_LOOP: bool = true;
    type Stored = f32;
    type Constants<L: Lanes> = ();
    #[inline(always)]
    fn constants<L: Lanes>() {}
    #[inline(always)]
    fn widen<L: Lanes>((): &(), eight: &[f32; 8]) -> [L; 2] {
        let [low, high] = halves(eight);
        [L::load(low), L::load(high)]
    }
    fn widen_one(one: f32) -> f32 {
        one
    }
}
impl Element for F16 {
    const OWN_LOOP: bool = false;
    type Stored = u16;
    type Constants<L: Lanes> = F16Constants<L>;
    #[inline(always)]
    fn constants<L: Lanes>() -> F16Constants<L> {
        F16Constants::new()
    }
    #[inline(always)]
    fn widen<L: Lanes>(constants: &F16Constants<L>, eight: &[u16; 8]) -> [L; 2] {
        L::widen_f16(eight, constants)
    }
    fn widen_one(one: u16) -> f32 {
        f16_to_f32(one)
    }
}
impl Element for Bf16 {
    const OWN_LOOP: bool = false;
    type Stored = u16;
    type Constants<L: Lanes> = ();
    #[inline(always)]
    fn constants<L: Lanes>() {}
    #[inline(always)]
    fn widen<L: Lanes>((): &(), eight: &[u16; 8]) -> [L; 2] {
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

    /// Multiplies a row with them, `to = epilogue(sum over k of a[k] * self[k * stride ..][..32])`.
    #[inline(always)]
    pub fn row_tile(self, a: &[f32], stride: usize, to: &mut [f32; COLUMNS], epilogue: Blend) {
        match self {
            Self::F32(b) => row_tile::<Native, F32>(a, b, stride, to, epilogue),
            Self::F16(b) => row_tile::<Native, F16>(a, b, stride, to, epilogue),
            Self::Bf16(b) => row_tile::<Native, Bf16>(a, b, stride, to, epilogue),
        }
    }

    /// As [`Elements::row_tile`] with the stride of a whole panel and `a = exp2(t - m)`, which take the place of the scores t; gives
    /// their sum. Of f32 and bf16 alone.
    #[inline(always)]
    pub fn exp_row_tile(self, t: &mut [f32; BLOCK], m: f32, to: &mut [f32; COLUMNS], epilogue: Blend) -> f32 {
        match self {
            Self::F32(b) => exp_row_tile::<Native, F32>(t, m, b, to, epilogue),
            Self::Bf16(b) => exp_row_tile::<Native, Bf16>(t, m, b, to, epilogue),
            _ => f32::NAN,
        }
    }
}

/// What becomes of the sums: `to = sum * y * z`, or `to = (to * x + sum * y) * z`, every operation rounded. Factors of 1 change no bit.
#[derive(Clone, Copy)]
pub struct Blend {
    /// The factor of what is there; none where nothing is.
    pub x: Option<f32>,
    /// The factor of the sums.
    pub y: f32,
    /// The factor of both.
    pub z: f32,
}

impl Blend {
    /// The sums alone.
    pub const SUMS: Self = Self { x: None, y: 1.0, z: 1.0 };
}

#[inline(never)]
fn row_tile<L: Lanes, E: Element>(a: &[f32], b: &[E::Stored], stride: usize, to: &mut [f32; COLUMNS], epilogue: Blend) {
    let mut acc = [[L::splat(0.0); 2]; EIGHTS];
    steps::<L, E>(&E::constants(), a, b, stride, &mut acc);
    blend(acc, to, epilogue);
}

#[inline(always)]
fn steps<L: Lanes, E: Element>(
    constants: &E::Constants<L>,
    a: &[f32],
    b: &[E::Stored],
    stride: usize,
    acc: &mut Sums<L>,
) {
    if E::OWN_LOOP && stride == COLUMNS {
        turns::<L, E, COLUMNS>(constants, RowSteps::new(a, b, stride), acc);
    } else {
        turns::<L, E, 0>(constants, RowSteps::new(a, b, stride), acc);
    }
}

#[inline(always)]
fn turns<L: Lanes, E: Element, const STRIDE: usize>(
    constants: &E::Constants<L>,
    mut steps: RowSteps<'_, f32, E::Stored, 8, STRIDE>,
    acc: &mut Sums<L>,
) {
    while steps.turn(|half, a, b| {
        let a = L::splat(*a);
        for (b, acc) in b.iter().zip(&mut acc[half * 2..]) {
            let [low, high] = E::widen::<L>(constants, b);
            acc[0] = a.mul_add(low, acc[0]);
            acc[1] = a.mul_add(high, acc[1]);
        }
    }) {}
}

#[inline(always)]
fn blend<L: Lanes>(acc: Sums<L>, to: &mut [f32; COLUMNS], Blend { x, y, z }: Blend) {
    let (y, z) = (L::splat(y), L::splat(z));
    let to = to.as_chunks_mut::<4>().0.iter_mut().zip(acc.as_flattened());
    match x.map(L::splat) {
        None => to.for_each(|(to, acc)| acc.mul(y).mul(z).store(to)),
        Some(x) => to.for_each(|(to, acc)| L::load(to).mul(x).add(acc.mul(y)).mul(z).store(to)),
    }
}

/// As [`row_tile`] with `a = exp2(t - m)`, which take the place of the 64 scores t; gives their sum, in the order of
/// [`super::reduce::exp_and_sum`].
///
/// The second half of the exponentials is begun before the steps of the first, so that memory does not rest while polynomials wait
/// for their own chains: at 128 MiB a sixth less time. Parts of 8 or 16 were slower in cache.
#[inline(never)]
fn exp_row_tile<L: Lanes, E: Element>(
    t: &mut [f32; BLOCK],
    m: f32,
    b: &[E::Stored],
    to: &mut [f32; COLUMNS],
    epilogue: Blend,
) -> f32 {
    let (exp2, constants) = (Exp2::<L>::new(), E::constants());
    let m = L::splat(m);
    let mut acc = [[L::splat(0.0); 2]; EIGHTS];
    let mut l = L::splat(0.0);
    // Not known to the compiler, which would load all rows of B first.
    let part = core::hint::black_box(PART);
    let mut from = 0;
    while from < BLOCK + part {
        if let Some(t) = t.get_mut(from..from + part) {
            for t in t.as_chunks_mut::<4>().0 {
                let p = exp2.apply(L::load(t).sub(m));
                p.store(t);
                l = l.add(p);
            }
        }
        if let Some(done) = from.checked_sub(part) {
            turns::<L, E, COLUMNS>(&constants, RowSteps::new(&t[done..from], &b[done * COLUMNS..], COLUMNS), &mut acc);
        }
        from += part;
    }
    blend(acc, to, epilogue);
    let l = l.to_array();
    (l[0] + l[2]) + (l[1] + l[3])
}

#[inline(always)]
fn widen<E: Element>(from: &[E::Stored], to: &mut [f32]) {
    let whole = to.len() / 8 * 8;
    let (eights, rest) = to.split_at_mut(whole);
    let constants = E::constants();
    for (from, to) in from.as_chunks::<8>().0.iter().zip(eights.as_chunks_mut::<8>().0) {
        for (half, to) in E::widen::<Native>(&constants, from).into_iter().zip(to.as_chunks_mut::<4>().0) {
            half.store(to);
        }
    }
    for (from, to) in from[whole..].iter().zip(rest) {
        *to = E::widen_one(*from);
    }
}
