//! One step over a whole row: what the operators of space, channels and time are composed of.
//!
//! The step is chosen inside the loop, where the choice costs a branch that is always foretold: all steps together are one
//! short function, and its bits do not depend on where a row begins or ends.

use super::{Lanes, Native};
use crate::ops::activation::sigmoid;

/// What becomes of each element, given x and y beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `x + y`.
    Add,
    /// `x * y`.
    Product,
    /// `x / y`.
    Divide,
    /// `to + x * y`.
    AddProduct,
    /// `x * y`, and +0 where y is zero, whatever x is.
    Weigh,
    /// `(x - y) * (x - y)`.
    SquareOfDifference,
    /// The larger of to and x; NaN where either is NaN, +0 for a zero.
    Larger,
    /// `sqrt(max(x, y))`.
    Root,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
}

/// Does `step` to every element of `to`. `x` and `y` have its length; an empty x stands for `to` itself, a single y for all. Every
/// NaN is stored as the one NaN.
#[inline(never)]
pub fn row(step: Step, to: &mut [f32], x: &[f32], y: &[f32]) {
    let all = y.first().map_or(Native::splat(0.0), |y| Native::splat(*y));
    for (i, to) in to.chunks_mut(4).enumerate() {
        let old = load(to, 0);
        let a = if x.is_empty() { old } else { load(x, i) };
        let b = if y.len() <= 1 { all } else { load(y, i) };
        let zero = Native::splat(0.0);
        let new = match step {
            Step::Add => a.add(b),
            Step::Product => a.mul(b),
            Step::Divide => a.div(b),
            Step::AddProduct => a.mul_add(b, old),
            Step::Weigh => a.mul(b).zero_where(b.equal(zero)),
            Step::SquareOfDifference => {
                let difference = a.sub(b);
                difference.mul(difference)
            }
            Step::Larger => Native::select(a.equal(a), old.larger(a), a).add(zero),
            Step::Root => a.larger(b).sqrt(),
            Step::Sigmoid => sigmoid(a),
        };
        let new = new.canonical();
        match to.first_chunk_mut() {
            Some(four) => new.store(four),
            None => to.copy_from_slice(&new.to_array()[..to.len()]),
        }
    }
}

/// Vector `i` of a row; lanes past its end are +0.
#[inline(always)]
fn load(row: &[f32], i: usize) -> Native {
    let rest = row.get(4 * i..).unwrap_or(&[]);
    match rest.first_chunk() {
        Some(four) => Native::load(four),
        None => tail(rest),
    }
}

#[cold]
#[inline(never)]
fn tail(rest: &[f32]) -> Native {
    let mut four = [0.0; 4];
    four[..rest.len()].copy_from_slice(rest);
    Native::load(&four)
}
