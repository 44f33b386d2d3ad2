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
//!
//! Loop: four rows at a time, whose sums are the lanes of a vector: so means, roots and divisions of four rows are taken at
//! once, and none waits for the one before.

use super::sum::{TreeSum, BLOCK};
use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::{Lanes, Native, CANONICAL_NAN};
use core::ops::Range;

/// Rows that are worked on together.
const ROWS: usize = 4;

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

/// What an absent weight and an absent bias are, a block of them: they change nothing.
static ONES: [f32; BLOCK] = [1.0; BLOCK];
static NOTHING: [f32; BLOCK] = [-0.0; BLOCK];

#[inline(always)]
fn halves(eight: &[f32; 8]) -> [Native; 2] {
    [0, 1].map(|i| Native::load(&eight.as_chunks().0[i]))
}

/// A row's vectors: the last one is filled up with `padding`.
#[inline(always)]
fn last_of(rest: &[f32], padding: f32) -> Native {
    let mut last = [padding; 4];
    last[..rest.len()].copy_from_slice(rest);
    Native::load(&last)
}

/// The sums along up to four rows of `length` elements, in the order of `ops::sum`: of x, or with means of `(x - mean)^2`. Row by
/// row each addition would wait for the one before.
#[inline(always)]
fn sums_of(rows: &[f32], length: usize, means: Option<[f32; ROWS]>) -> Native {
    let last = rows.len() / length - 1;
    // Rows that a tile lacks are its last one once more.
    let rows: [&[f32]; ROWS] = core::array::from_fn(|r| &rows[r.min(last) * length..][..length]);
    let centres = means.unwrap_or_default().map(Native::splat);
    let term = |x: Native, r: usize| {
        let d = x.sub(centres[r]);
        if means.is_some() {
            d.mul(d)
        } else {
            x
        }
    };
    let mut tree = TreeSum::new();
    for at in (0..length).step_by(BLOCK) {
        let end = length.min(at + BLOCK);
        let [(a, a_rest), (b, b_rest), (c, c_rest), (d, d_rest)] = rows.map(|row| row[at..end].as_chunks::<4>());
        let mut sums = [Native::splat(0.0); ROWS];
        for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
            for (r, x) in [a, b, c, d].into_iter().enumerate() {
                sums[r] = sums[r].add(term(Native::load(x), r));
            }
        }
        if !a_rest.is_empty() {
            for (r, rest) in [a_rest, b_rest, c_rest, d_rest].into_iter().enumerate() {
                // Lanes without an element add +0.
                sums[r] = sums[r].add(term(last_of(rest, means.unwrap_or_default()[r]), r));
            }
        }
        let [a, b, c, d] = Native::transpose(sums);
        tree.push(a.add(c).add(b.add(d)));
    }
    tree.total()
}

#[inline(never)]
fn sums(rows: &[f32], length: usize) -> Native {
    sums_of(rows, length, None)
}

#[inline(never)]
fn squares(rows: &[f32], length: usize, means: [f32; ROWS]) -> Native {
    sums_of(rows, length, Some(means))
}

impl LayerNorm<'_> {
    /// Up to four rows that lie one behind the other.
    fn rows(&self, x: &[f32], y: &mut [f32]) {
        let n = Native::splat(self.length as f32);
        let mean = if self.centred { sums(x, self.length).div(n) } else { Native::splat(0.0) };
        let means = mean.to_array();
        let variance = squares(x, self.length, means).div(n);
        let r = Native::splat(1.0).div(variance.add(Native::splat(self.epsilon)).sqrt()).to_array();
        let rows = x.chunks_exact(self.length).zip(y.chunks_exact_mut(self.length));
        for ((x, y), (mean, r)) in rows.zip(means.into_iter().zip(r)) {
            if self.row(x, y, mean, r) {
                for y in y {
                    *y = if y.is_nan() { CANONICAL_NAN } else { *y };
                }
            }
        }
    }

    /// A row, whose mean and factor are known. Gives whether there may be a NaN in it, which is not yet the one that is stored.
    #[inline(never)]
    fn row(&self, x: &[f32], y: &mut [f32], mean: f32, r: f32) -> bool {
        let (mean, r) = (Native::splat(mean), Native::splat(r));
        let value = |x: Native, weight: Native, bias: Native| x.sub(mean).mul(r).mul(weight).add(bias);
        // A sum of all elements is NaN where one of them is; two of them, since each addition waits for the one before.
        let mut checks = [Native::splat(0.0); 2];
        let blocks = x.chunks(BLOCK).zip(y.chunks_mut(BLOCK));
        for (block, (x, y)) in blocks.enumerate() {
            let part = block * BLOCK..block * BLOCK + x.len();
            let weight = self.weight.map_or(&ONES[..x.len()], |weight| &weight[part.clone()]);
            let bias = self.bias.map_or(&NOTHING[..x.len()], |bias| &bias[part]);
            let (eights, rest) = y.as_chunks_mut::<8>();
            let inputs = x.as_chunks::<8>().0.iter().zip(weight.as_chunks::<8>().0).zip(bias.as_chunks::<8>().0);
            for (to, ((x, weight), bias)) in eights.iter_mut().zip(inputs) {
                let [x, weight, bias] = [x, weight, bias].map(halves);
                let y = [0, 1].map(|i| value(x[i], weight[i], bias[i]));
                for ((check, y), to) in checks.iter_mut().zip(y).zip(to.as_chunks_mut().0) {
                    *check = check.add(y);
                    y.store(to);
                }
            }
            let done = x.len() - rest.len();
            for (i, to) in rest.chunks_mut(4).enumerate() {
                let part = done + 4 * i..done + 4 * i + to.len();
                let y = value(
                    last_of(&x[part.clone()], 0.0),
                    last_of(&weight[part.clone()], 1.0),
                    last_of(&bias[part], 0.0),
                );
                checks[0] = checks[0].add(y);
                to.copy_from_slice(&y.to_array()[..to.len()]);
            }
        }
        checks[0].add(checks[1]).to_array().iter().any(|sum| sum.is_nan())
    }

    /// Where a row begins.
    fn start(&self, row: usize) -> usize {
        row / self.inner * self.length * self.inner + row % self.inner
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
        let workspace = if self.inner == 1 { 0 } else { product(&[2 * ROWS, self.length])? };
        let rows = if self.length == 0 { 0 } else { product(&[self.outer, self.inner])? };
        Ok(Plan { shared: 0, workspace, tiles: [0, rows.div_ceil(ROWS)] })
    }

    fn work(&self) -> usize {
        amount(&[self.outer, self.inner, self.length, 8])
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let (length, inner) = (self.length, self.inner);
        let y = y.f32(&[self.outer, length, inner])?;
        let rows = self.outer * inner;
        for tile in tiles {
            let first = tile * ROWS;
            let n = ROWS.min(rows - first);
            if inner == 1 {
                let of_rows = first * length..(first + n) * length;
                self.rows(&self.x[of_rows.clone()], &mut y[of_rows]);
                continue;
            }
            let (x, normal) = scratch.workspace.split_at_mut(ROWS * length);
            let (x, normal) = (&mut x[..n * length], &mut normal[..n * length]);
            for (r, x) in x.chunks_exact_mut(length).enumerate() {
                let from = self.x[self.start(first + r)..].iter().step_by(inner);
                x.iter_mut().zip(from).for_each(|(to, x)| *to = *x);
            }
            self.rows(x, normal);
            for (r, normal) in normal.chunks_exact(length).enumerate() {
                let to = y[self.start(first + r)..].iter_mut().step_by(inner);
                to.zip(normal).for_each(|(to, y)| *to = *y);
            }
        }
        Ok(())
    }
}
