//! Rows scaled to unit length: what the cosine of two vectors needs before their product.
//!
//! Order: the row is multiplied by the power of two that brings its largest magnitude to [1, 2) (to [2, 4) where that is 2^126 or more),
//! which is exact, so that no square overflows or is lost; `y = x / sqrt(sum of x * x)` (sum: `ops::sum`). A row of zeros
//! stays as it is; a row with NaN or Infinity has NaN.
//!
//! Error: relative, at most `u (14 + ceil(log2(blocks)) / 2)`, u = 2^-24.

use crate::error::Error;
use crate::kernel::{Lanes, Native};
use crate::ops::sum::{TreeSum, BLOCK};
use crate::ops::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use core::ops::Range;

/// Integers: rows, width. Input: x. Output: y of the same shape.
pub struct UnitRows<'a> {
    rows: usize,
    width: usize,
    x: &'a [f32],
}

impl<'a> Operator<'a> for UnitRows<'a> {
    #[inline(never)]
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let (rows, width) = (arguments.integer(0)?, arguments.integer(1)?);
        product(&[rows, width])?;
        Ok(Self { rows, width, x: arguments.f32(0, &[rows, width])? })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan { tiles: [0, self.rows], ..Plan::default() })
    }

    fn work(&self) -> usize {
        amount(&[self.rows, self.width, 8])
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let y = y.f32(&[self.rows, self.width])?;
        for row in tiles {
            let range = row * self.width..(row + 1) * self.width;
            scale(&self.x[range.clone()], &mut y[range]);
        }
        Ok(())
    }
}

fn scale(x: &[f32], y: &mut [f32]) {
    let (fours, rest) = x.as_chunks::<4>();
    let largest = fours.iter().fold(Native::splat(0.0), |largest, four| largest.larger(Native::load(four).abs()));
    let largest = largest.to_array().into_iter().chain(rest.iter().map(|x| x.abs())).fold(0.0f32, f32::max);
    let exponent = (largest.to_bits() >> 23).min(253);
    let factor = f32::from_bits((254 - exponent) << 23);
    let mut tree = TreeSum::new();
    for block in x.chunks(BLOCK) {
        tree.push(sum_of_squares(block, factor));
    }
    let total = tree.total();
    if largest == 0.0 && !total.is_nan() {
        return y.copy_from_slice(x);
    }
    let (factor, length) = (Native::splat(factor), Native::splat(total).sqrt());
    let unit = |x: Native| x.mul(factor).div(length).canonical();
    let (units, last) = y.as_chunks_mut::<4>();
    for (y, x) in units.iter_mut().zip(fours) {
        unit(Native::load(x)).store(y);
    }
    for (y, x) in last.iter_mut().zip(rest) {
        *y = unit(Native::splat(*x)).to_array()[0];
    }
}

/// The sum of a block (see `ops::sum`) of the squares of `x * factor`.
fn sum_of_squares(block: &[f32], factor: f32) -> f32 {
    let (fours, rest) = block.as_chunks::<4>();
    let mut sums = Native::splat(0.0);
    for four in fours {
        let x = Native::load(four).mul(Native::splat(factor));
        sums = sums.add(x.mul(x));
    }
    let mut sums = sums.to_array();
    for (sum, x) in sums.iter_mut().zip(rest) {
        let x = x * factor;
        *sum += x * x;
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}
