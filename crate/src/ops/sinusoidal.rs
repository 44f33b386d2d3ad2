//! Sinusoidal positions: `sin(p * f_i)` and `cos(p * f_i)` with `f_i = base^(-2i / dim)`, as a table or added to a sequence.
//!
//! Shapes: x and y `[batch, seq, dim]`, position p = offset + row. Interleaved: column 2i is the sine, 2i + 1 the cosine of pair i.
//! Concatenated: ceil(dim / 2) sines, then floor(dim / 2) cosines. With an odd dim the last pair has its sine only.
//!
//! Order: `f_i = power(base, -(2i / dim))` and `a = f64(p) * f_i` in f64 (`kernel::power`, `kernel::sin_cos`), the sine or cosine rounded
//! once to f32; added: `(x * scale) + t`, f32, with `scale` rounded to f32, or `f32(square_root(dim))`.
//!
//! Error of the table: half an ulp of f32, and what f64 makes of the angle a: `3e-15 * |a|`.
//!
//! Source: Vaswani et al. 2017.
//!
//! Loop: a tile is 16 positions. A frequency is made once for the tile and meets its positions; the rows are added to every batch row.

use super::{amount, outputs, product, row, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::power::{power, square_root};
use crate::kernel::sin_cos::sin_cos_f32;
use core::ops::Range;

/// Positions of a tile.
const TILE_ROWS: usize = 16;

/// Integers: 0 table or 1 added, batch, seq, dim, concatenated, offset (i32), 1 for a scale of sqrt(dim). Numbers: base, scale of x.
/// Input: x; absent: what the output holds. Output: y.
pub struct Sinusoidal<'a> {
    sizes: [usize; 3],
    concatenated: bool,
    offset: i64,
    base: f64,
    scale: f32,
    added: bool,
    x: Option<&'a [f32]>,
}

impl Sinusoidal<'_> {
    /// The table's rows of positions `first..`, row-major, as many as `rows` holds.
    fn fill(&self, first: i64, rows: &mut [f32]) {
        let dim = self.sizes[2];
        for pair in 0..dim.div_ceil(2) {
            let frequency = power(self.base, -((2 * pair) as f64 / dim as f64));
            let [sine, cosine] =
                if self.concatenated { [pair, dim.div_ceil(2) + pair] } else { [2 * pair, 2 * pair + 1] };
            for (r, row) in rows.chunks_exact_mut(dim).enumerate() {
                let (s, c) = sin_cos_f32((first + r as i64) as f64 * frequency, 1.0);
                row[sine] = s;
                if let Some(place) = row.get_mut(cosine) {
                    *place = c;
                }
            }
        }
    }
}

impl<'a> Operator<'a> for Sinusoidal<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [added, batch, seq, dim, concatenated, offset, root] = arguments.integers()?;
        let [base, scale] = arguments.numbers()?;
        let (sizes, offset) = ([batch, seq, dim], i64::from(offset as i32));
        if dim == 0 || base < 1.0 || offset + seq as i64 > 1 << 31 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        let scale = if root != 0 { square_root(dim as f64) as f32 } else { scale as f32 };
        let (concatenated, added) = (concatenated != 0, added != 0);
        Ok(Self { sizes, concatenated, offset, base, scale, added, x: arguments.optional_f32(0, &sizes)? })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let [_, seq, dim] = self.sizes;
        Ok(Plan { workspace: product(&[TILE_ROWS.min(seq), dim])?, tiles: [0, seq.div_ceil(TILE_ROWS)], shared: 0 })
    }

    fn work(&self) -> usize {
        let [batch, seq, dim] = self.sizes;
        amount(&[batch + 16, seq, dim, 4])
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [batch, seq, dim] = self.sizes;
        let [y] = outputs(out)?;
        let y = y.f32(&self.sizes)?;
        for tile in tiles {
            let first = tile * TILE_ROWS;
            let table = &mut scratch.workspace[..TILE_ROWS.min(seq - first) * dim];
            self.fill(self.offset + first as i64, table);
            for b in 0..batch {
                let start = (b * seq + first) * dim;
                let y = &mut y[start..start + table.len()];
                if let Some(x) = self.x {
                    row::copy(y, &x[start..start + table.len()]);
                }
                if self.added {
                    row::add(y, self.scale, table, 1.0);
                } else {
                    y.copy_from_slice(table);
                }
            }
        }
        Ok(())
    }
}
