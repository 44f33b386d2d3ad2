//! A vector for each head added to its rows, `y = x + v_h`: the global content and position vectors u and v of Transformer-XL.
//!
//! Shapes: x `[batch, seq, heads, dim]` or `[batch, heads, seq, dim]`, v `[heads, dim]`, y either, whatever x is. One sum, rounded.
//!
//! Never shared out: the attention that follows does as much for every key.
//!
//! Source: Dai et al. 2019.

use crate::error::Error;
use crate::ops::row::{self, Rows};
use crate::ops::{outputs, Arguments, Operator, Output, Plan, Scratch};
use core::ops::Range;

/// Integers: batch, seq, heads, dim, x is `[batch, seq, heads, dim]`, y is. Inputs: x, v. Output: y.
pub struct HeadVector<'a> {
    batch: usize,
    from: Rows,
    to: Rows,
    x: &'a [f32],
    vector: &'a [f32],
}

impl<'a> Operator<'a> for HeadVector<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [batch, seq, heads, width, from, to] = arguments.integers()?;
        let rows = |heads_inside| Rows::new(seq, heads, width, heads_inside == 0);
        Ok(Self {
            batch,
            from: rows(from),
            to: rows(to),
            x: arguments.f32(0, &[batch, seq, heads, width])?,
            vector: arguments.f32(1, &[heads, width])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan { tiles: [0, self.batch], ..Plan::default() })
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let Rows { seq, heads, width, .. } = self.from;
        let y = y.f32(&[self.batch, seq, heads, width])?;
        for b in tiles {
            for i in 0..seq {
                for head in 0..heads {
                    let y = &mut y[self.to.start(b, i, head)..][..width];
                    y.copy_from_slice(&self.x[self.from.start(b, i, head)..][..width]);
                    row::add(y, 1.0, &self.vector[head * width..], 1.0);
                }
            }
        }
        Ok(())
    }
}
