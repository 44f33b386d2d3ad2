//! Layer normalisation, and the same without a mean: root mean square normalisation.
//!
//! Formula, over the n elements of a row: `m = mean x`, `v = mean (x - m)^2`, `y = (x - m) / sqrt(v + epsilon) * weight + bias`; of the root
//! mean square m is 0.
//!
//! Shapes: x and y `[outer, n, inner]`, rows running along the middle axis; weight and bias `[n]`, 1 and nothing where absent.
//!
//! Order: `m = (sum of x) / f32(n)`, `d = x - m`, `v = (sum of d * d) / f32(n)`, both sums those of `ops::sum`; `r = 1 / sqrt(v + f32(epsilon))`;
//! `y = ((d * r) * weight) + bias`, every step rounded. The variance is that of the whole row (not of a sample), from the
//! differences, so a large mean costs no digits. The bits of a row depend neither on its axis nor on the rows beside it.
//!
//! Error, first order, u = 2^-24, `k = 19 + ceil(log2 blocks)`, `D = (k + 1) mean|x|` (0 without a mean):
//! `u (|weight| r (D + |d|) + |weight d r| (3 + V) + |y|)`, `V = (D mean|d| + (k + 4) v / 2) / (v + epsilon) + 3`.
//!
//! Source: Ba, Kiros and Hinton 2016; without the mean Zhang and Sennrich 2019.

use super::sum::{block_sum, sum, TreeSum, BLOCK};
use super::{outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::{Lanes, Native};
use core::ops::Range;

/// Integers: outer, n, inner, 1 for the root mean square. Number: epsilon. Inputs: x, weight (optional), bias (optional). Output: y.
pub struct LayerNorm<'a> {
    outer: usize,
    length: usize,
    inner: usize,
    centred: bool,
    epsilon: f32,
    x: &'a [f32],
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
}

/// Vector `i` of a row; what lies behind the row's end is `rest`.
#[inline(always)]
fn four(row: &[f32], i: usize, rest: f32) -> Native {
    let (fours, last) = row.as_chunks::<4>();
    if let Some(four) = fours.get(i) {
        return Native::load(four);
    }
    let mut padded = [rest; 4];
    for (to, x) in padded.iter_mut().zip(last) {
        *to = *x;
    }
    Native::load(&padded)
}

impl LayerNorm<'_> {
    /// The sum of `(x - mean)^2` along a row.
    fn squares(row: &[f32], mean: f32) -> f32 {
        let mut tree = TreeSum::new();
        for x in row.chunks(BLOCK) {
            let mut squares = [0.0; BLOCK];
            for (i, to) in squares.as_chunks_mut::<4>().0[..x.len().div_ceil(4)].iter_mut().enumerate() {
                // What lies behind the end differs by nothing.
                let d = four(x, i, mean).sub(Native::splat(mean));
                d.mul(d).store(to);
            }
            tree.push(block_sum::<Native>(&squares[..x.len()]));
        }
        tree.total()
    }

    #[inline(never)]
    fn row(&self, x: &[f32], y: &mut [f32]) {
        let n = self.length as f32;
        let mean = if self.centred { sum::<Native>(x) / n } else { 0.0 };
        let variance = Self::squares(x, mean) / n;
        let r = Native::splat(1.0).div(Native::splat(variance + self.epsilon).sqrt());
        let (fours, rest) = y.as_chunks_mut::<4>();
        let mut last = [0.0; 4];
        let value = |i: usize| {
            let d = four(x, i, 0.0).sub(Native::splat(mean));
            let weight = self.weight.map_or(Native::splat(1.0), |weight| four(weight, i, 0.0));
            // Adding -0 changes nothing.
            let bias = self.bias.map_or(Native::splat(-0.0), |bias| four(bias, i, 0.0));
            d.mul(r).mul(weight).add(bias).canonical()
        };
        for (i, to) in fours.iter_mut().enumerate() {
            value(i).store(to);
        }
        if !rest.is_empty() {
            value(x.len() / 4).store(&mut last);
            for (to, y) in rest.iter_mut().zip(last) {
                *to = y;
            }
        }
    }
}

impl<'a> Operator<'a> for LayerNorm<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [outer, length, inner, centred] = arguments.integers()?;
        let epsilon = arguments.finite(0)? as f32;
        if epsilon < 0.0 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        Ok(Self {
            outer,
            length,
            inner,
            centred: centred == 0,
            epsilon,
            x: arguments.f32(0, &[outer, length, inner])?,
            weight: arguments.optional_f32(1, &[length])?,
            bias: arguments.optional_f32(2, &[length])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let workspace = if self.inner == 1 { 0 } else { product(&[2, self.length])? };
        let rows = if self.length == 0 { 0 } else { product(&[self.outer, self.inner])? };
        Ok(Plan { shared: 0, workspace, tiles: [0, rows] })
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let (length, inner) = (self.length, self.inner);
        let y = y.f32(&[self.outer, length, inner])?;
        for tile in tiles {
            let start = tile / inner * length * inner + tile % inner;
            if inner == 1 {
                self.row(&self.x[start..start + length], &mut y[start..start + length]);
                continue;
            }
            let (x, normal) = scratch.workspace.split_at_mut(length);
            for (to, x) in x.iter_mut().zip(self.x[start..].iter().step_by(inner)) {
                *to = *x;
            }
            self.row(x, normal);
            for (to, y) in y[start..].iter_mut().step_by(inner).zip(normal) {
                *to = *y;
            }
        }
        Ok(())
    }
}
