//! Scores by distance become scores by key: `y_ij = scale * x_(i, t)` with `t = j - i + first`.
//!
//! Shapes: x `[batch, heads, q_len, n]` or `[batch, q_len, heads, n]`, y `[batch, heads, q_len, kv_len]`. Where t lies outside `0..n` it is
//! clipped to the nearest end (Shaw et al. 2018), or y is +0 (Transformer-XL's shift: Dai et al. 2019). One product, rounded.

use crate::error::{Error, Field, Reason};
use crate::kernel::canonical;
use crate::ops::{outputs, product, Arguments, Operator, Output, Plan, Scratch};
use core::ops::Range;

/// Integers: batch, heads, q_len, kv_len, n, x is `[batch, q_len, heads, n]`, clipped, first (i32). Number: scale. Input: x. Output: y.
pub struct RelativeShift<'a> {
    batch: usize,
    heads: usize,
    q_len: usize,
    kv_len: usize,
    n: usize,
    heads_inside: bool,
    clipped: bool,
    first: i64,
    scale: f32,
    x: &'a [f32],
}

impl RelativeShift<'_> {
    fn shift(&self, i: usize, row: &[f32], y: &mut [f32]) {
        let start = self.first - i as i64;
        for (j, y) in y.iter_mut().enumerate() {
            let t = start + j as i64;
            let inside = t.clamp(0, self.n as i64 - 1);
            *y = if t == inside || self.clipped { canonical(row[inside as usize] * self.scale) } else { 0.0 };
        }
    }
}

impl<'a> Operator<'a> for RelativeShift<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i| arguments.integer(i);
        let [batch, heads, q_len, kv_len, n] = [integer(0)?, integer(1)?, integer(2)?, integer(3)?, integer(4)?];
        let scale = arguments.finite(0)? as f32;
        if n == 0 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        product(&[batch, heads, q_len, kv_len])?;
        let x = arguments.f32(0, &[batch, heads, q_len, n])?;
        let (heads_inside, clipped, first) = (arguments.flag(5)?, arguments.flag(6)?, arguments.signed(7)?);
        Ok(Self { batch, heads, q_len, kv_len, n, heads_inside, clipped, first, scale, x })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan { tiles: [0, product(&[self.batch, self.heads])?], ..Plan::default() })
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let y = y.f32(&[self.batch, self.heads, self.q_len, self.kv_len])?;
        for tile in tiles {
            let (b, head) = (tile / self.heads, tile % self.heads);
            for i in 0..self.q_len {
                let row =
                    if self.heads_inside { (b * self.q_len + i) * self.heads + head } else { tile * self.q_len + i };
                let start = (tile * self.q_len + i) * self.kv_len;
                self.shift(i, &self.x[row * self.n..][..self.n], &mut y[start..start + self.kv_len]);
            }
        }
        Ok(())
    }
}
