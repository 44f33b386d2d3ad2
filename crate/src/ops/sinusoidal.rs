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

use super::{outputs, product, Arguments, Input, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::canonical;
use crate::kernel::power::{power, square_root};
use crate::kernel::sin_cos::sin_cos_f32;
use core::ops::Range;

/// Positions of a tile.
const TILE_ROWS: usize = 16;

/// What becomes of the table.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// It is the result.
    Table,
    /// It is added to x.
    Add(&'a [f32]),
    /// It is added to what the output holds.
    AddInPlace,
}

/// Integers: 0 table or 1 added, batch, seq, dim, concatenated, offset (i32), 1 for a scale of sqrt(dim). Numbers: base, scale of x.
/// Input: x; absent: what the output holds. Output: y.
pub struct Sinusoidal<'a> {
    sizes: [usize; 3],
    concatenated: bool,
    offset: i64,
    base: f64,
    scale: f32,
    target: Target<'a>,
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
        let sizes = [arguments.integer(1)?, arguments.integer(2)?, arguments.integer(3)?];
        let (offset, base, scale) = (arguments.signed(5)?, arguments.finite(0)?, arguments.finite(1)? as f32);
        if sizes[2] == 0 || base < 1.0 || offset + sizes[1] as i64 > 1 << 31 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        product(&sizes)?;
        let target = match (arguments.flag(0)?, arguments.input(0)) {
            (false, _) => Target::Table,
            (true, Input::Absent) => Target::AddInPlace,
            (true, _) => Target::Add(arguments.f32(0, &sizes)?),
        };
        let scale = if arguments.flag(6)? { square_root(sizes[2] as f64) as f32 } else { scale };
        Ok(Self { sizes, concatenated: arguments.flag(4)?, offset, base, scale, target })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let [_, seq, dim] = self.sizes;
        Ok(Plan { workspace: product(&[TILE_ROWS.min(seq), dim])?, tiles: [0, seq.div_ceil(TILE_ROWS)], shared: 0 })
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [batch, seq, dim] = self.sizes;
        let [y] = outputs(out)?;
        let y = y.f32(&self.sizes)?;
        for tile in tiles {
            let first = tile * TILE_ROWS;
            let table = &mut scratch.workspace[..TILE_ROWS.min(seq - first) * dim];
            self.fill(self.offset + first as i64, table);
            for row in 0..batch {
                let start = (row * seq + first) * dim;
                let y = &mut y[start..start + table.len()];
                match self.target {
                    Target::Table => y.copy_from_slice(table),
                    Target::Add(x) => {
                        for ((y, x), t) in y.iter_mut().zip(&x[start..]).zip(&*table) {
                            *y = canonical(x * self.scale + t);
                        }
                    }
                    Target::AddInPlace => {
                        for (y, t) in y.iter_mut().zip(&*table) {
                            *y = canonical(*y * self.scale + t);
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
