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

use super::sum::{sum, TreeSum, BLOCK};
use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
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

impl LayerNorm<'_> {
    /// The sum of `(x - mean)^2` along a row, in the order of `ops::sum`.
    #[inline(never)]
    fn squares(row: &[f32], mean: f32) -> f32 {
        let mut tree = TreeSum::new();
        for block in row.chunks(BLOCK) {
            let (fours, rest) = block.as_chunks::<4>();
            let mut sums = Native::splat(0.0);
            for x in fours {
                let d = Native::load(x).sub(Native::splat(mean));
                sums = sums.add(d.mul(d));
            }
            let mut sums = sums.to_array();
            for (sum, x) in sums.iter_mut().zip(rest) {
                let d = x - mean;
                *sum += d * d;
            }
            tree.push((sums[0] + sums[2]) + (sums[1] + sums[3]));
        }
        tree.total()
    }

    #[inline(never)]
    fn row(&self, x: &[f32], y: &mut [f32]) {
        let n = self.length as f32;
        let mean = if self.centred { sum::<Native>(x) / n } else { 0.0 };
        let variance = Self::squares(x, mean) / n;
        let r = Native::splat(1.0).div(Native::splat(variance + self.epsilon).sqrt());
        // An absent weight is 1 and an absent bias -0, which change nothing.
        let value = |x: Native, weight: Native, bias: Native| {
            x.sub(Native::splat(mean)).mul(r).mul(weight).add(bias).canonical()
        };
        let (one, nothing) = (Native::splat(1.0), Native::splat(-0.0));
        let (weights, _) = self.weight.unwrap_or_default().as_chunks::<4>();
        let (biases, _) = self.bias.unwrap_or_default().as_chunks::<4>();
        let (fours, rest) = y.as_chunks_mut::<4>();
        for (i, (to, x)) in fours.iter_mut().zip(x.as_chunks::<4>().0).enumerate() {
            let weight = weights.get(i).map_or(one, Native::load);
            let bias = biases.get(i).map_or(nothing, Native::load);
            value(Native::load(x), weight, bias).store(to);
        }
        let done = x.len() - rest.len();
        for (k, to) in rest.iter_mut().enumerate() {
            let weight = self.weight.map_or(one, |weight| Native::splat(weight[done + k]));
            let bias = self.bias.map_or(nothing, |bias| Native::splat(bias[done + k]));
            *to = value(Native::splat(x[done + k]), weight, bias).to_array()[0];
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

    fn work(&self) -> usize {
        amount(&[self.outer, self.inner, self.length, 8])
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
