//! A vector for each head added to its rows, `y = x + v_h`: the global content and position vectors u and v of Transformer-XL.
//!
//! Shapes: x `[batch, seq, heads, dim]` or `[batch, heads, seq, dim]`, v `[heads, dim]`, y either, whatever x is. One sum, rounded.
//!
//! Source: Dai et al. 2019.

use crate::error::Error;
use crate::kernel::canonical;
use crate::ops::{outputs, product, Arguments, Operator, Output, Plan, Scratch};
use core::ops::Range;

/// Integers: batch, seq, heads, dim, x is `[batch, seq, heads, dim]`, y is. Inputs: x, v. Output: y.
pub struct HeadVector<'a> {
    sizes: [usize; 4],
    heads_inside: [bool; 2],
    x: &'a [f32],
    vector: &'a [f32],
}

impl<'a> Operator<'a> for HeadVector<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i| arguments.integer(i);
        let sizes = [integer(0)?, integer(1)?, integer(2)?, integer(3)?];
        Ok(Self {
            sizes,
            heads_inside: [arguments.flag(4)?, arguments.flag(5)?],
            x: arguments.f32(0, &sizes)?,
            vector: arguments.f32(1, &sizes[2..])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan { tiles: [0, product(&self.sizes[..1])?], ..Plan::default() })
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let y = y.f32(&self.sizes)?;
        let [_, seq, heads, dim] = self.sizes;
        for b in tiles {
            for i in 0..seq {
                for head in 0..heads {
                    let [from, to] = self.heads_inside.map(|inside| {
                        let row = if inside { (b * seq + i) * heads + head } else { (b * heads + head) * seq + i };
                        row * dim..(row + 1) * dim
                    });
                    let vector = &self.vector[head * dim..];
                    for ((y, x), v) in y[to].iter_mut().zip(&self.x[from]).zip(vector) {
                        *y = canonical(x + v);
                    }
                }
            }
        }
        Ok(())
    }
}
