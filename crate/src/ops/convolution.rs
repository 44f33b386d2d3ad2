//! Convolution over a plane: `y[b, o, r, c] = sum x[b, i, r + u - U, c + v - V] w[o, i, u, v] + bias[o]`, stride 1.
//!
//! Shapes: x `[batch, in, height, width]`, w `[out, in, kernel_height, kernel_width]`, bias `[out]`, y `[batch, out, height,
//! width]`. Both kernel sizes are odd, `U = (kernel_height - 1) / 2` and `V = (kernel_width - 1) / 2`: the plane keeps its
//! size. Outside it lies nothing: such a tap is not added, whatever its weight.
//!
//! Order, per element: one sum from +0 over the taps inside the plane, input channels ascending, in a channel the kernel's
//! rows, in a row its columns; the bias last. Bound: `|err| <= u * (taps + 1) * (sum |x w| + |bias|)`, first order, u = 2^-24.
//!
//! It is the cross-correlation that the field calls convolution (LeCun et al. 1998). With a plane of height 1 it is the
//! one-dimensional one, with a kernel of 1 x 1 a weighted sum over channels at each place.
//!
//! Loop: a tile is one row of one output channel. Each tap adds its row of x, moved by its column, to the sums, which stay in the
//! first cache: only the columns it can reach, so that no zeros are laid round the plane and no weight ever meets one.

use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::row::{row, row_of, row_of_mut, Step};
use core::ops::Range;

/// Elements up to which rows of a 1 x 1 kernel are taken together: with their sums they fill half of a first cache.
const LONG: usize = 2048;

/// Integers: batch, in, height, width, out, kernel height, kernel width. Inputs: x, w, bias (optional). Output: y.
pub struct Convolution<'a> {
    batch: usize,
    inner: usize,
    height: usize,
    width: usize,
    outer: usize,
    kernel: [usize; 2],
    x: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Convolution<'_> {
    /// Row `r` of output channel `o` of batch row `batch`.
    #[inline(never)]
    fn tile(&self, sums: &mut [f32], batch: usize, o: usize, r: usize) {
        let [rows, columns] = self.kernel;
        let [above, left] = [rows / 2, columns / 2];
        let size = self.height * self.width;
        sums.fill(0.0);
        for i in 0..self.inner {
            let plane = row_of(self.x, batch * self.inner + i, size);
            let kernel = row_of(self.weight, o * self.inner + i, rows * columns);
            // The kernel's rows that lie inside the plane, and of each the columns.
            for u in above.saturating_sub(r)..rows.min(self.height + above - r) {
                let x = row_of(plane, r + u - above, self.width);
                for v in left.saturating_sub(self.width - 1)..columns.min(self.width + left) {
                    let (from, to) = (left.saturating_sub(v), self.width.min(self.width + left - v));
                    let x = &x[from + v - left..to + v - left];
                    row(Step::AddProduct, &mut sums[from..to], x, row_of(kernel, u * columns + v, 1));
                }
            }
        }
        if let Some(bias) = self.bias {
            row(Step::Add, sums, &[], row_of(bias, o, 1));
        }
    }
}

impl<'a> Operator<'a> for Convolution<'a> {
    #[inline(never)]
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i| arguments.integer(i);
        let [batch, inner, height, width, outer] = [integer(0)?, integer(1)?, integer(2)?, integer(3)?, integer(4)?];
        let kernel = [integer(5)?, integer(6)?];
        let shape = [outer, inner, kernel[0], kernel[1]];
        if inner == 0 || kernel.iter().any(|n| n.is_multiple_of(2)) {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        product(&[batch, outer, height, width])?;
        let (mut height, mut width) = (height, width);
        if kernel == [1, 1] && width > 0 {
            // Rows that have no neighbours may as well be one: calls per row would cost more than the row.
            let most = height.min(LONG / width);
            let rows = (1..=most).rev().find(|rows| height.is_multiple_of(*rows)).unwrap_or(1);
            (height, width) = (height / rows, width * rows);
        }
        Ok(Self {
            batch,
            inner,
            height,
            width,
            outer,
            kernel,
            x: arguments.f32(0, &[batch, inner, height, width])?,
            weight: arguments.f32(1, &shape)?,
            bias: arguments.optional_f32(2, &[outer])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let rows = if self.width == 0 { 0 } else { product(&[self.batch, self.outer, self.height])? };
        Ok(Plan { tiles: [0, rows], ..Plan::default() })
    }

    fn work(&self) -> usize {
        amount(&[self.batch, self.outer, self.inner, self.height * self.width, self.kernel[0] * self.kernel[1], 2])
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let y = y.f32(&[self.batch, self.outer, self.height, self.width])?;
        for tile in tiles {
            let (plane, r) = (tile / self.height, tile % self.height);
            let sums = row_of_mut(y, tile, self.width);
            self.tile(sums, plane / self.outer, plane % self.outer, r);
        }
        Ok(())
    }
}
