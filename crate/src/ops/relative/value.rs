//! Values by distance, weighted as the keys are: `y_i = a_i + sum_t W_it v_t`, `W_it` the weights of the keys at clipped distance t.
//!
//! Shapes: weights `[batch, heads, q_len, kv_len]`, v `[n, dim]` (shared by the heads), a and y `[batch, heads, q_len, dim]` or
//! `[batch, q_len, heads, dim]`; key j of row i has `t = clip(j - i + first, 0, n - 1)`.
//!
//! Order: W_it of an inner t is its one key's weight, of the two ends the sum of their keys' weights (`ops::sum`). Then t in segments of 64
//! from 0; in a segment `s = +0`, then `s = s + (W * v)` ascending, a W of 0 left out (what no visible key points at never shows); the
//! segments' sums are added in order, then that to a.
//!
//! Source: Shaw, Uszkoreit and Vaswani 2018.

use crate::error::{Error, Field, Reason};
use crate::kernel::{canonical, Native, ROW_STRIDE};
use crate::ops::sum::sum;
use crate::ops::{outputs, product, Arguments, Operator, Output, Plan, Scratch};
use core::ops::Range;

/// Integers: batch, heads, q_len, kv_len, n, dim, rows are `[batch, q_len, heads, dim]`, first (i32). Inputs: weights, v, a. Output: y.
pub struct RelativeValue<'a> {
    batch: usize,
    heads: usize,
    q_len: usize,
    kv_len: usize,
    n: usize,
    dim: usize,
    heads_inside: bool,
    first: i64,
    weights: &'a [f32],
    values: &'a [f32],
    attended: &'a [f32],
}

impl RelativeValue<'_> {
    /// Keys of row `i` whose clipped distance is `t`.
    fn keys(&self, i: usize, t: usize) -> Range<usize> {
        let key = |t: i64| (t - self.first + i as i64).clamp(0, self.kv_len as i64) as usize;
        let from = if t == 0 { 0 } else { key(t as i64) };
        let to = if t + 1 == self.n { self.kv_len } else { key(t as i64 + 1) };
        from..to
    }

    /// `sum_t W_t v_t` of row `i`, in `total`; `segment` is as long.
    fn add_up(&self, i: usize, weights: &[f32], total: &mut [f32], segment: &mut [f32]) {
        total.fill(0.0);
        for start in (0..self.n).step_by(ROW_STRIDE) {
            segment.fill(0.0);
            for t in start..self.n.min(start + ROW_STRIDE) {
                let weight = sum::<Native>(&weights[self.keys(i, t)]);
                if weight != 0.0 {
                    for (s, v) in segment.iter_mut().zip(&self.values[t * self.dim..]) {
                        *s += weight * v;
                    }
                }
            }
            for (total, s) in total.iter_mut().zip(&*segment) {
                *total += s;
            }
        }
    }
}

impl<'a> Operator<'a> for RelativeValue<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i| arguments.integer(i);
        let [batch, heads, q_len, kv_len, n, dim] =
            [integer(0)?, integer(1)?, integer(2)?, integer(3)?, integer(4)?, integer(5)?];
        if n == 0 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        Ok(Self {
            batch,
            heads,
            q_len,
            kv_len,
            n,
            dim,
            heads_inside: arguments.flag(6)?,
            first: arguments.signed(7)?,
            weights: arguments.f32(0, &[batch, heads, q_len, kv_len])?,
            values: arguments.f32(1, &[n, dim])?,
            attended: arguments.f32(2, &[batch, heads, q_len, dim])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan { shared: 0, workspace: product(&[2, self.dim])?, tiles: [0, product(&[self.batch, self.heads])?] })
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let y = y.f32(&[self.batch, self.heads, self.q_len, self.dim])?;
        let (total, segment) = scratch.workspace.split_at_mut(self.dim);
        for tile in tiles {
            let (b, head) = (tile / self.heads, tile % self.heads);
            for i in 0..self.q_len {
                let weights = &self.weights[(tile * self.q_len + i) * self.kv_len..][..self.kv_len];
                self.add_up(i, weights, total, segment);
                let row =
                    if self.heads_inside { (b * self.q_len + i) * self.heads + head } else { tile * self.q_len + i };
                let place = row * self.dim..(row + 1) * self.dim;
                for ((y, a), total) in y[place.clone()].iter_mut().zip(&self.attended[place]).zip(&*total) {
                    *y = canonical(a + total);
                }
            }
        }
        Ok(())
    }
}
