//! Rows scaled to unit length: what the cosine of two vectors needs before their product.
//!
//! Order: the row is multiplied by the power of two that brings its largest magnitude to [1, 2) (to [2, 4) where that is 2^126 or more),
//! which is exact, so that no square overflows or is lost; `y = x / sqrt(sum of x * x)` (sum: `ops::sum`). A row of zeros
//! stays as it is; a row with NaN or Infinity has NaN.
//!
//! Error: relative, at most `u (14 + ceil(log2(blocks)) / 2)`, u = 2^-24.

use crate::error::Error;
use crate::kernel::{Lanes, Native};
use crate::ops::sum::{block_sum, TreeSum, BLOCK};
use crate::ops::{outputs, product, Arguments, Operator, Output, Plan, Scratch};
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
    let largest = x.iter().fold(0, |largest, x| largest.max(x.to_bits() & 0x7fff_ffff));
    let exponent = (largest >> 23).min(253);
    let factor = f32::from_bits((254 - exponent) << 23);
    let mut tree = TreeSum::new();
    for block in x.chunks(BLOCK) {
        let mut squares = [0.0; BLOCK];
        for (square, x) in squares.iter_mut().zip(block) {
            let x = x * factor;
            *square = x * x;
        }
        tree.push(block_sum::<Native>(&squares[..block.len()]));
    }
    let length = Native::splat(tree.total()).sqrt();
    for (x, y) in x.chunks(4).zip(y.chunks_mut(4)) {
        let mut four = [0.0; 4];
        four[..x.len()].copy_from_slice(x);
        if largest > 0 {
            Native::load(&four).mul(Native::splat(factor)).div(length).canonical().store(&mut four);
        }
        y.copy_from_slice(&four[..y.len()]);
    }
}
