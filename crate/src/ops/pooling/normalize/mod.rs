//! Scores to weights: one row of scores in natural units becomes, in place, a row of weights.
//!
//! A score of -Infinity hides its key, whatever hid it; a hidden key has weight +0 under every normaliser, and a row without
//! visible keys is all +0. A NaN or +Infinity among the scores makes the weights of the visible keys NaN.
//!
//! - softmax: `t = s * f32(log2(e) / temperature)`, `m` the largest t, `p = exp2(t - m)`, `w = p / sum p` (sum: `ops::sum`).
//! - sum: `w = s / sum s`, +0 for a score of 0 whatever the sum. Where the scores are logarithms of a kernel, as those of the Gaussian are, the same ratio is taken from
//!   the exponents: softmax at temperature 1, so that a query far from all keys does not become 0 / 0.
//! - hardmax: 1 at the largest score. topK: softmax over the k largest. threshold: softmax, its small weights dropped. See [`select`].
//! - sample: keys drawn by their softmax weights. gumbel: softmax or hardmax of scores under Gumbel noise. See [`draw`].
//! - sparsemax: the point of the simplex nearest to the scores. See [`mod@sparsemax`].
//! - sigmoid: `1 / (1 + exp(-s))`, each key for itself.
//!
//! Of equal scores the lower index is the larger, wherever a choice must be made.

pub mod draw;
pub mod select;
pub mod softmax;
pub mod sparsemax;

use crate::error::{Error, Field, Reason};
use crate::kernel::philox::{Purpose, Words};
use crate::kernel::{Lanes, Native, CANONICAL_NAN};
use crate::ops::activation::sigmoid;
use crate::ops::Arguments;

/// Draws of one row are counted in f32, which is exact up to here.
const MOST_DRAWS: usize = 1 << 24;

/// How a row of scores becomes weights.
#[derive(Clone, Copy, Debug)]
pub struct Normalize {
    kind: Kind,
}

/// A factor is `f32(log2(e) / temperature)`.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Softmax { factor: f32 },
    Sum,
    Hardmax,
    TopK { k: usize },
    Threshold { factor: f32, threshold: f32 },
    Sample { factor: f32, seed: u64, draws: u32 },
    Gumbel { factor: f32, seed: u64, hard: bool },
    Sparsemax,
    Sigmoid,
}

impl Normalize {
    /// Integers it reads: kind, count (keys of topK, draws of sample), hard, and the low and high word of the seed.
    pub const INTEGERS: usize = 5;
    /// Numbers it reads: the temperature or the threshold.
    pub const FLOATS: usize = 1;

    /// Reads the normaliser from integer `integer` and number `float` on. `logarithms` says that the scores are those of a kernel.
    pub fn read(arguments: &Arguments<'_>, integer: usize, float: usize, logarithms: bool) -> Result<Self, Error> {
        let count = |most: usize| match arguments.integer(integer + 1)? {
            count if (1..=most).contains(&count) => Ok(count),
            _ => Err(WRONG),
        };
        let temperature = || factor(arguments.finite(float)?);
        let seed = || -> Result<u64, Error> {
            let (low, high) = (arguments.integer(integer + 3)?, arguments.integer(integer + 4)?);
            Ok(low as u64 | (high as u64) << 32)
        };
        let kind = match arguments.integer(integer)? {
            0 => Kind::Softmax { factor: temperature()? },
            1 if logarithms => Kind::Softmax { factor: factor(1.0)? },
            1 => Kind::Sum,
            2 => Kind::Hardmax,
            3 => Kind::TopK { k: count(u32::MAX as usize)? },
            4 => match arguments.finite(float)? {
                t if (0.0..=1.0).contains(&t) => Kind::Threshold { factor: factor(1.0)?, threshold: t as f32 },
                _ => return Err(WRONG),
            },
            5 => Kind::Sample { factor: factor(1.0)?, seed: seed()?, draws: count(MOST_DRAWS)? as u32 },
            6 => Kind::Gumbel { factor: temperature()?, seed: seed()?, hard: arguments.flag(integer + 2)? },
            7 => Kind::Sparsemax,
            8 => Kind::Sigmoid,
            _ => return Err(Error::new(Reason::Kind, Field::Weights)),
        };
        Ok(Self { kind })
    }

    /// f32 elements that [`Self::apply`] works in, for a row of `length` scores.
    pub fn workspace(&self, length: usize) -> Result<usize, Error> {
        match self.kind {
            Kind::Sample { .. } => draw::workspace(length),
            _ => Ok(0),
        }
    }

    /// Turns the scores of one row into weights. `row` is the row's number in the call, `(batch * heads + head) * q_len + query`: all
    /// that a random draw may depend on beside the seed. The length is a multiple of 4; what pads it is hidden.
    pub fn apply(&self, row: u64, scores: &mut [f32], workspace: &mut [f32]) {
        match self.kind {
            Kind::Softmax { factor } => softmax::softmax::<Native>(scores, factor),
            Kind::Sum => softmax::divide_by_sum::<Native>(scores),
            Kind::Hardmax => select::hardmax(scores),
            Kind::TopK { k } => {
                if largest_visible::<Native>(scores).is_some() {
                    select::hide_all_but(scores, k);
                    softmax::softmax::<Native>(scores, core::f32::consts::LOG2_E);
                }
            }
            Kind::Threshold { factor, threshold } => select::threshold(scores, factor, threshold),
            Kind::Sample { factor, seed, draws } => {
                draw::sample(scores, factor, Words::new(seed, row, Purpose::Sample), draws, workspace);
            }
            Kind::Gumbel { factor, seed, hard } => {
                draw::add_gumbel(scores, Words::new(seed, row, Purpose::Gumbel));
                if hard {
                    select::hardmax(scores);
                } else {
                    softmax::softmax::<Native>(scores, factor);
                }
            }
            Kind::Sparsemax => sparsemax::sparsemax(scores),
            Kind::Sigmoid => apply_sigmoid::<Native>(scores),
        }
    }
}

const WRONG: Error = Error::new(Reason::Value, Field::Weights);

/// `f32(log2(e) / temperature)`, a normal number.
fn factor(temperature: f64) -> Result<f32, Error> {
    let factor = (core::f64::consts::LOG2_E / temperature) as f32;
    if factor.is_normal() && factor > 0.0 {
        Ok(factor)
    } else {
        Err(WRONG)
    }
}

/// The largest score; or none, and the row is finished: +0 where no key is visible, NaN where a score is NaN or +Infinity.
#[inline(never)]
fn largest_visible<L: Lanes>(scores: &mut [f32]) -> Option<f32> {
    let (fours, _) = scores.as_chunks::<4>();
    let (mut largest, mut nan) = (L::splat(f32::NEG_INFINITY), L::splat(0.0));
    for four in fours {
        let s = L::load(four);
        largest = largest.larger(s);
        nan = L::select(s.equal(s), nan, s);
    }
    let (largest, nan) = (largest.to_array(), nan.to_array());
    let pick = |a: f32, b: f32| if a < b { b } else { a };
    let m = pick(pick(largest[0], largest[2]), pick(largest[1], largest[3]));
    if m == f32::INFINITY || ((nan[0] + nan[2]) + (nan[1] + nan[3])).is_nan() {
        for s in scores {
            *s = if *s == f32::NEG_INFINITY { 0.0 } else { CANONICAL_NAN };
        }
        None
    } else if m == f32::NEG_INFINITY {
        scores.fill(0.0);
        None
    } else {
        Some(m)
    }
}

#[inline(never)]
fn apply_sigmoid<L: Lanes>(scores: &mut [f32]) {
    if largest_visible::<L>(scores).is_some() {
        let (fours, _) = scores.as_chunks_mut::<4>();
        for four in fours {
            sigmoid(L::load(four)).store(four);
        }
    }
}
