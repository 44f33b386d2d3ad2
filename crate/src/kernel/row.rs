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
    let (x_fours, x_rest) = x.as_chunks::<4>();
    let (y_fours, y_rest) = y.as_chunks::<4>();
    let (fours, rest) = to.as_chunks_mut::<4>();
    let done = match (step, y) {
        // The steps whose speed shows: the taps of a convolution and the terms of weighted sums, gates, and maxima.
        (Step::AddProduct, [y]) => each(fours, x_fours, |to, x| x.mul_add(Native::splat(*y), to)),
        (Step::Product, [y]) => each(fours, x_fours, |_, x| x.mul(Native::splat(*y))),
        (Step::Larger, _) => each(fours, x_fours, larger),
        _ => 0,
    };
    if done == fours.len() && rest.is_empty() {
        return;
    }
    // What is left of a row is one more vector, whose lanes past the end are +0.
    let mut last = padded(rest);
    let (last_x, last_y) = (padded(x_rest), padded(y_rest));
    let all = Native::splat(last_y[0]);
    for i in done..fours.len() + usize::from(!rest.is_empty()) {
        let to = fours.get_mut(i).unwrap_or(&mut last);
        let old = Native::load(to);
        let a = if x.is_empty() { old } else { Native::load(x_fours.get(i).unwrap_or(&last_x)) };
        let b = if y.len() <= 1 { all } else { Native::load(y_fours.get(i).unwrap_or(&last_y)) };
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
            Step::Larger => larger(old, a),
            Step::Root => a.larger(b).sqrt(),
            Step::Sigmoid => sigmoid(a),
        };
        new.canonical().store(to);
    }
    rest.copy_from_slice(&last[..rest.len()]);
}

/// The larger of both; NaN where either is NaN, +0 for a zero.
#[inline(always)]
fn larger(to: Native, x: Native) -> Native {
    Native::select(x.equal(x), to.larger(x), x).add(Native::splat(0.0))
}

/// Does a step to the vectors that have one of x beside them; how many these are.
#[inline(always)]
fn each(to: &mut [[f32; 4]], x: &[[f32; 4]], step: impl Fn(Native, Native) -> Native) -> usize {
    for (to, x) in to.iter_mut().zip(x) {
        step(Native::load(to), Native::load(x)).canonical().store(to);
    }
    to.len().min(x.len())
}

/// Row `i` of rows of `length` elements that lie one behind the other.
#[inline(never)]
pub fn row_of(rows: &[f32], i: usize, length: usize) -> &[f32] {
    &rows[i * length..(i + 1) * length]
}

/// Row `i` of rows of `length` elements, to write.
#[inline(never)]
pub fn row_of_mut(rows: &mut [f32], i: usize, length: usize) -> &mut [f32] {
    &mut rows[i * length..(i + 1) * length]
}

#[inline(never)]
fn padded(rest: &[f32]) -> [f32; 4] {
    core::array::from_fn(|i| rest.get(i).copied().unwrap_or(0.0))
}
