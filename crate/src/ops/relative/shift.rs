//! Scores by distance become scores by key: `y_ij = scale * x_(i, t)` with `t = j - i + first`.
//!
//! Shapes: x `[batch, heads, q_len, n]` or `[batch, q_len, heads, n]`, y `[batch, heads, q_len, kv_len]`. Where t lies outside `0..n` it is
//! clipped to the nearest end (Shaw et al. 2018), or y is +0 (Transformer-XL's shift: Dai et al. 2019). One product, rounded.

use crate::attention::spec::default_scale;
use crate::error::{Error, Field, Reason};
use crate::ops::row::{self, Rows};
use crate::ops::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use core::ops::Range;

/// Integers: batch, heads, q_len, kv_len, n, x is `[batch, q_len, heads, n]`, clipped, first (i32), head_dim for a scale of
/// `1 / sqrt(head_dim)` (0: the number). Number: scale. Input: x. Output: y.
pub struct RelativeShift<'a> {
    batch: usize,
    kv_len: usize,
    rows: Rows,
    clipped: bool,
    first: i64,
    scale: f32,
    x: &'a [f32],
}

impl<'a> Operator<'a> for RelativeShift<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [batch, heads, seq, kv_len, n, heads_inside, clipped, first, head_dim] = arguments.integers()?;
        let [scale] = arguments.numbers()?;
        let scale = if head_dim == 0 { scale } else { default_scale(head_dim) };
        let rows = Rows::new(seq, heads, n, heads_inside == 0);
        if n == 0 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        let x = arguments.f32(0, &[batch, heads, seq, n])?;
        Ok(Self { batch, kv_len, rows, clipped: clipped != 0, first: i64::from(first as i32), scale: scale as f32, x })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan { tiles: [0, product(&[self.batch, self.rows.heads])?], ..Plan::default() })
    }

    fn work(&self) -> usize {
        amount(&[self.batch, self.rows.heads, self.rows.seq, self.kv_len, 4])
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let Rows { seq, heads, width, .. } = self.rows;
        let y = y.f32(&[self.batch, heads, seq, self.kv_len])?;
        for tile in tiles {
            for i in 0..seq {
                let x = &self.x[self.rows.start(tile / heads, i, tile % heads)..][..width];
                let y = &mut y[(tile * seq + i) * self.kv_len..][..self.kv_len];
                // Keys up to `left` lie before the first t, those from `right` on behind the last.
                let (start, n) = (self.first - i as i64, width as i64);
                let left = (-start).clamp(0, self.kv_len as i64);
                let right = (n - start).clamp(left, self.kv_len as i64) as usize;
                let (from, left) = ((start + left).clamp(0, n) as usize, left as usize);
                let [before, behind] = if self.clipped { [x[0], x[width - 1]] } else { [0.0; 2] };
                y[..left].fill(before);
                y[left..right].copy_from_slice(&x[from..from + right - left]);
                y[right..].fill(behind);
                row::scale(y, self.scale);
            }
        }
        Ok(())
    }
}
