//! Rows of a table by their numbers: `y_t = table[index_t]`, as learned positions and tokens are looked up.
//!
//! Shapes: table `[n, dim]`, indices `[count]`, y `[count, dim]`. Nothing is rounded.
//!
//! A tile is 64 rows.
//!
//! Source: learned positions, Gehring et al. 2017.

use super::{amount, outputs, row, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use core::ops::Range;

const TILE_ROWS: usize = 64;

/// Integers: count, n, dim. Inputs: table, indices. Output: y.
pub struct Embedding<'a> {
    dim: usize,
    table: &'a [f32],
    indices: &'a [i32],
}

impl<'a> Operator<'a> for Embedding<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [count, n, dim] = arguments.integers()?;
        let indices = arguments.optional_i32(1, &[count])?.ok_or(Error::new(Reason::Kind, Field::Input))?;
        if !indices.iter().all(|index| usize::try_from(*index).is_ok_and(|index| index < n)) {
            return Err(Error::new(Reason::Value, Field::Input));
        }
        Ok(Self { dim, table: arguments.f32(0, &[n, dim])?, indices })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan { tiles: [0, self.indices.len().div_ceil(TILE_ROWS)], ..Plan::default() })
    }

    fn work(&self) -> usize {
        amount(&[self.indices.len(), self.dim, 16])
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let y = y.f32(&[self.indices.len(), self.dim])?;
        let rows = tiles.start * TILE_ROWS..self.indices.len().min(tiles.end * TILE_ROWS);
        let y = &mut y[rows.start * self.dim..rows.end * self.dim];
        for (index, to) in self.indices[rows].iter().zip(y.chunks_exact_mut(self.dim.max(1))) {
            row::copy(to, &self.table[*index as usize * self.dim..][..self.dim]);
        }
        Ok(())
    }
}
