//! Scores to weights: one row of scores in natural units becomes, in place, a row of weights.
//!
//! A score of -Infinity hides its key, whatever hid it; a hidden key has weight +0 under every normaliser, and a row without
//! visible keys is all +0. A NaN or +Infinity among the scores makes the weights of the visible keys NaN.
//!
//! - softmax: `t = s * f32(log2(e) / temperature)`, `m` the largest t, `p = exp2(t - m)`, `w = p / sum p` (sum: `ops::sum`).
//! - sum: `w = s / sum s`. Where the scores are logarithms of a kernel, as those of the Gaussian are, the same ratio is taken from
//!   the exponents: softmax at temperature 1, so that a query far from all keys does not become 0 / 0.

use crate::error::{Error, Field, Reason};
use crate::kernel::{exp::Exp2, Lanes, Native, CANONICAL_NAN};
use crate::ops::sum::sum;
use crate::ops::Arguments;

/// How a row of scores becomes weights.
#[derive(Clone, Copy, Debug)]
pub struct Normalize {
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// With `f32(log2(e) / temperature)`.
    Softmax(f32),
    Sum,
}

impl Normalize {
    /// Integers it reads: kind, count (keys of topK, draws of sample), hard, and the low and high word of the seed.
    pub const INTEGERS: usize = 5;
    /// Numbers it reads: the temperature or the threshold.
    pub const FLOATS: usize = 1;

    /// Reads the normaliser from integer `integer` and number `float` on. `logarithms` says that the scores are those of a kernel.
    pub fn read(arguments: &Arguments<'_>, integer: usize, float: usize, logarithms: bool) -> Result<Self, Error> {
        let kind = match arguments.integer(integer)? {
            0 => softmax(arguments.finite(float)?)?,
            1 if logarithms => softmax(1.0)?,
            1 => Kind::Sum,
            _ => return Err(Error::new(Reason::Kind, Field::Weights)),
        };
        Ok(Self { kind })
    }

    /// f32 elements that [`Self::apply`] works in, for a row of `length` scores.
    pub fn workspace(&self, length: usize) -> Result<usize, Error> {
        let _ = length;
        Ok(0)
    }

    /// Turns the scores of one row into weights. `row` is the row's number in the call, `(batch * heads + head) * q_len + query`: all
    /// that a random draw may depend on beside the seed. The length is a multiple of 4; what pads it is hidden.
    pub fn apply(&self, row: u64, scores: &mut [f32], workspace: &mut [f32]) {
        let _ = (row, workspace);
        match self.kind {
            Kind::Softmax(factor) => weigh_exponents::<Native>(scores, factor),
            Kind::Sum => divide_by_sum(scores),
        }
    }
}

fn softmax(temperature: f64) -> Result<Kind, Error> {
    let factor = (core::f64::consts::LOG2_E / temperature) as f32;
    if factor.is_normal() && factor > 0.0 {
        Ok(Kind::Softmax(factor))
    } else {
        Err(Error::new(Reason::Value, Field::Weights))
    }
}

/// Softmax in base 2 of `scores * factor`.
#[inline(never)]
fn weigh_exponents<L: Lanes>(scores: &mut [f32], factor: f32) {
    let (fours, _) = scores.as_chunks_mut::<4>();
    let (mut largest, mut nan) = (L::splat(f32::NEG_INFINITY), L::splat(0.0));
    for four in fours.iter_mut() {
        let t = L::load(four).mul(L::splat(factor));
        t.store(four);
        largest = largest.larger(t);
        nan = L::select(t.equal(t), nan, t);
    }
    let m = largest.to_array().into_iter().fold(f32::NEG_INFINITY, |m, t| if m < t { t } else { m });
    if m == f32::INFINITY || nan.to_array().into_iter().any(f32::is_nan) {
        return spoil(scores);
    }
    if m == f32::NEG_INFINITY {
        return scores.fill(0.0);
    }
    let exp2 = Exp2::<L>::new();
    for four in fours.iter_mut() {
        exp2.apply(L::load(four).sub(L::splat(m))).store(four);
    }
    let total = L::splat(sum::<L>(scores));
    let (fours, _) = scores.as_chunks_mut::<4>();
    for four in fours {
        L::load(four).div(total).store(four);
    }
}

fn divide_by_sum(scores: &mut [f32]) {
    if scores.iter().any(|s| s.is_nan() || *s == f32::INFINITY) {
        return spoil(scores);
    }
    let hidden = |s: f32| s == f32::NEG_INFINITY;
    let mut visible = false;
    // Two readings of the row: the sum needs +0 in place of a hidden key, the quotient needs to know it.
    let mut tree = crate::ops::sum::TreeSum::new();
    for block in scores.chunks(crate::ops::sum::BLOCK) {
        let mut known = [0.0; crate::ops::sum::BLOCK];
        for (known, s) in known.iter_mut().zip(block) {
            if !hidden(*s) {
                (*known, visible) = (*s, true);
            }
        }
        tree.push(crate::ops::sum::block_sum::<Native>(&known[..block.len()]));
    }
    let total = if visible { tree.total() } else { 1.0 };
    for s in scores {
        *s = if hidden(*s) { 0.0 } else { *s / total };
        if s.is_nan() {
            *s = CANONICAL_NAN;
        }
    }
}

/// NaN for every visible key, +0 for the others.
#[inline(never)]
fn spoil(scores: &mut [f32]) {
    for s in scores {
        *s = if *s == f32::NEG_INFINITY { 0.0 } else { CANONICAL_NAN };
    }
}
