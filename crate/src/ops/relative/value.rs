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
use crate::kernel::{Native, ROW_STRIDE};
use crate::ops::row::{self, Rows};
use crate::ops::sum::sum;
use crate::ops::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use core::ops::Range;

/// Integers: batch, heads, q_len, kv_len, n, dim, rows are `[batch, q_len, heads, dim]`, first (i32). Inputs: weights, v, a. Output: y.
pub struct RelativeValue<'a> {
    batch: usize,
    kv_len: usize,
    n: usize,
    rows: Rows,
    first: i64,
    weights: &'a [f32],
    values: &'a [f32],
    attended: &'a [f32],
}

impl RelativeValue<'_> {
    /// The first key of row `i` whose clipped distance is `t`, or would be.
    fn key(&self, i: usize, t: usize) -> usize {
        match t {
            0 => 0,
            t if t == self.n => self.kv_len,
            t => (t as i64 - self.first + i as i64).clamp(0, self.kv_len as i64) as usize,
        }
    }

    /// `sum_t W_t v_t` of row `i`, in `total`; `segment` is as long.
    fn add_up(&self, i: usize, weights: &[f32], total: &mut [f32], segment: &mut [f32]) {
        let dim = self.rows.width;
        total.fill(0.0);
        for start in (0..self.n).step_by(ROW_STRIDE) {
            segment.fill(0.0);
            for t in start..self.n.min(start + ROW_STRIDE) {
                let weight = sum::<Native>(&weights[self.key(i, t)..self.key(i, t + 1)]);
                if weight != 0.0 {
                    row::add(segment, 1.0, &self.values[t * dim..], weight);
                }
            }
            row::add(total, 1.0, segment, 1.0);
        }
    }
}

impl<'a> Operator<'a> for RelativeValue<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [batch, heads, seq, kv_len, n, width, heads_inside, first] = arguments.integers()?;
        if n == 0 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        Ok(Self {
            batch,
            kv_len,
            n,
            rows: Rows::new(seq, heads, width, heads_inside == 0),
            first: i64::from(first as i32),
            weights: arguments.f32(0, &[batch, heads, seq, kv_len])?,
            values: arguments.f32(1, &[n, width])?,
            attended: arguments.f32(2, &[batch, heads, seq, width])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let tiles = product(&[self.batch, self.rows.heads])?;
        Ok(Plan { shared: 0, workspace: product(&[2, self.rows.width])?, tiles: [0, tiles] })
    }

    fn work(&self) -> usize {
        amount(&[self.batch, self.rows.heads, self.rows.seq, self.kv_len, 4])
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let Rows { seq, heads, width, .. } = self.rows;
        let y = y.f32(&[self.batch, heads, seq, width])?;
        let (total, segment) = scratch.workspace.split_at_mut(width);
        for tile in tiles {
            for i in 0..seq {
                let weights = &self.weights[(tile * seq + i) * self.kv_len..][..self.kv_len];
                self.add_up(i, weights, total, segment);
                let start = self.rows.start(tile / heads, i, tile % heads);
                let y = &mut y[start..][..width];
                y.copy_from_slice(&self.attended[start..][..width]);
                row::add(y, 1.0, total, 1.0);
            }
        }
        Ok(())
    }
}
