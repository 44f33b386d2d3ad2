//! Rotary positions: each pair of columns `(a, b)` is turned by the position's angle, `(a cos - b sin, b cos + a sin)`, so that a dot
//! product of two rows depends on the distance of their positions.
//!
//! Shapes: x and y `[batch, seq, heads, head_dim]` or `[batch, heads, seq, head_dim]`. The first rotary_dim columns are turned, the others
//! are as they were. Pairs: half `(i, i + rotary_dim / 2)`, interleaved `(2i, 2i + 1)`.
//!
//! Order: angles, cosines and sines as in [`frequencies`], rounded once to f32; then each product rounded, then the difference or sum.
//! Error: `|err| <= 3u (|a cos| + |b sin|)`, u = 2^-24, and what f64 makes of the angle.
//!
//! Source: Su et al. 2021.
//!
//! Loop: a tile is 16 rows of positions. A frequency is made once for the tile and meets its positions; a row of cosines and sines turns
//! all heads, and all batch rows that share their positions.

pub mod frequencies;

use self::frequencies::{Frequencies, RopeParameters, Scaling};
use super::row::{self, Rows};
use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::{canonical, Lanes, Native};
use core::ops::Range;

/// Rows of positions of a tile.
const TILE_ROWS: usize = 16;

/// Which columns make a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// i and i + rotary_dim / 2.
    Half,
    /// 2i and 2i + 1.
    Interleaved,
}

/// Turns the pairs of a row, as many columns as there are cosines and sines.
#[inline(never)]
pub fn rotate(style: Style, cosines: &[f32], sines: &[f32], row: &mut [f32]) {
    let turn = |a: &mut f32, b: &mut f32, cosine: f32, sine: f32| {
        (*a, *b) = (canonical(*a * cosine - *b * sine), canonical(*b * cosine + *a * sine));
    };
    let four = |x: &[f32], i: usize| Native::load(&x.as_chunks().0[i]);
    // What comes after the whole fours of pairs.
    let done = cosines.len() / 4 * 4;
    match style {
        Style::Half => {
            let (first, second) = row.split_at_mut(cosines.len());
            let pairs = first.as_chunks_mut::<4>().0.iter_mut().zip(second.as_chunks_mut::<4>().0);
            for (i, (a, b)) in pairs.enumerate() {
                let (cosine, sine) = (four(cosines, i), four(sines, i));
                let (x, y) = (Native::load(a), Native::load(b));
                x.mul(cosine).sub(y.mul(sine)).canonical().store(a);
                y.mul(cosine).add(x.mul(sine)).canonical().store(b);
            }
            let angles = cosines.iter().zip(sines).skip(done);
            for ((a, b), (cosine, sine)) in first.iter_mut().zip(second).skip(done).zip(angles) {
                turn(a, b, *cosine, *sine);
            }
        }
        Style::Interleaved => {
            let (fours, _) = row.as_chunks_mut::<8>();
            for (i, pairs) in fours.iter_mut().enumerate().take(done / 4) {
                let cosines = four(cosines, i).twice();
                // Of a product with -s the sign alone is another, and to subtract is to add what has the other sign.
                let sines = four(sines, i).twice().map(|sine| sine.mul(Native::load(&[-1.0, 1.0, -1.0, 1.0])));
                for ((x, cosine), sine) in pairs.as_chunks_mut::<4>().0.iter_mut().zip(cosines).zip(sines) {
                    let pair = Native::load(x);
                    pair.mul(cosine).add(pair.swap_in_pairs().mul(sine)).canonical().store(x);
                }
            }
            let angles = cosines.iter().zip(sines).skip(done);
            for ([a, b], (cosine, sine)) in row.as_chunks_mut::<2>().0.iter_mut().skip(done).zip(angles) {
                turn(a, b, *cosine, *sine);
            }
        }
    }
}

/// Integers: batch, seq, heads, head_dim, rotary_dim, interleaved, x and y are `[batch, heads, seq, head_dim]`, positions (0 from offset, 1 one per
/// token, 2 one per batch row and token), offset (i32), scaling in the order of [`Scaling`], length of the sequence (0: the largest position
/// and 1), YaRN's truncate, rows of tables (0: none). Numbers: base, factor, max_position, both limits, attention factor, mscale,
/// mscale_all_dim. Inputs: x (absent: what the output holds), positions, LongRoPE's factors, tables of cosines and of sines
/// `[rows, rotary_dim / 2]`. Output: y.
pub struct Rotary<'a> {
    batch: usize,
    rows: Rows,
    style: Style,
    positions: Option<&'a [i32]>,
    /// Each batch row has its own.
    apart: bool,
    /// The first position where none are listed.
    offset: i64,
    parameters: RopeParameters<'a>,
    /// Of the sequence, as scalings ask.
    length: f64,
    /// Cosines and sines by position.
    tables: Option<[&'a [f32]; 2]>,
    x: Option<&'a [f32]>,
}

impl<'a> Rotary<'a> {
    /// Rows of positions: of one sequence, or of each.
    fn positions(&self) -> usize {
        if self.apart {
            self.batch * self.rows.seq
        } else {
            self.rows.seq
        }
    }

    fn position(&self, row: usize) -> i64 {
        self.positions.map_or(self.offset + row as i64, |list| i64::from(list[row]))
    }

    /// Cosines, then sines, of rows `first..`, as many as `turns` holds.
    #[inline(never)]
    fn fill(&self, frequencies: &Frequencies<'_>, first: usize, turns: &mut [f32]) {
        let dim = self.parameters.rotary_dim;
        for i in 0..dim / 2 {
            let inverse = if self.tables.is_none() { frequencies.inverse(i) } else { 0.0 };
            for (r, row) in (first..).zip(turns.chunks_exact_mut(dim)) {
                (row[i], row[dim / 2 + i]) = self.turn_of(frequencies, inverse, i, r);
            }
        }
    }

    /// Cosine and sine of pair `i` in a row of positions.
    #[inline(never)]
    fn turn_of(&self, frequencies: &Frequencies<'_>, inverse: f64, i: usize, row: usize) -> (f32, f32) {
        let position = self.position(row);
        match self.tables {
            None => frequencies.turn(position, inverse),
            Some(tables) => tables.map(|table| table[position as usize * (self.parameters.rotary_dim / 2) + i]).into(),
        }
    }

    /// Turns all heads of one token of one batch row.
    #[inline(never)]
    fn turn(&self, b: usize, i: usize, turns: &[f32], y: &mut [f32]) {
        let (cosines, sines) = turns.split_at(turns.len() / 2);
        for head in 0..self.rows.heads {
            let start = self.rows.start(b, i, head);
            let y = &mut y[start..start + self.rows.width];
            if let Some(x) = self.x {
                row::copy(y, &x[start..start + y.len()]);
            }
            let (turned, rest) = y.split_at_mut(turns.len());
            rotate(self.style, cosines, sines, turned);
            row::scale(rest, 1.0);
        }
    }
}

impl<'a> Operator<'a> for Rotary<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [batch, seq, heads, width, rotary_dim, interleaved, outside, kind, offset, scaling, length, truncate, table] =
            arguments.integers()?;
        let [base, factor, max_position, low, high, attention, mscale, mscale_all_dim] = arguments.numbers()?;
        let wrong = Error::new(Reason::Value, Field::Call);
        let (apart, offset) = (kind == 2, i64::from(offset as i32));
        let positions = arguments.optional_i32(1, &[if apart { batch } else { 1 }, seq])?;
        if kind > 2 || (kind == 0) != positions.is_none() {
            return Err(wrong);
        }
        let (mut smallest, mut largest) = (offset, offset + seq as i64 - 1);
        if let Some(list) = positions {
            let (low, high) = list.iter().fold((0, 0), |(low, high): (i32, i32), x| (low.min(*x), high.max(*x)));
            (smallest, largest) = (i64::from(low), i64::from(high));
        }
        let scaling = Scaling::from_number(scaling)?;
        let factors = if scaling == Scaling::LongRope { arguments.f32(2, &[rotary_dim])? } else { &[] };
        let parameters = RopeParameters {
            rotary_dim,
            base,
            scaling,
            factor,
            max_position,
            limits: [low, high],
            attention,
            mscale: [mscale, mscale_all_dim],
            truncate: truncate != 0,
            factors,
        };
        parameters.check()?;
        let outside_table = table != 0 && seq > 0 && (smallest < 0 || largest >= table as i64);
        if rotary_dim > width || largest >= 1 << 31 || outside_table {
            return Err(wrong);
        }
        let table_sizes = [table, rotary_dim / 2];
        let tables = match table {
            0 => None,
            _ => Some([arguments.f32(3, &table_sizes)?, arguments.f32(4, &table_sizes)?]),
        };
        let length = if length == 0 { largest + 1 } else { length as i64 } as f64;
        Ok(Self {
            batch,
            rows: Rows::new(seq, heads, width, outside != 0),
            style: if interleaved != 0 { Style::Interleaved } else { Style::Half },
            positions,
            apart,
            offset,
            parameters,
            length,
            tables,
            x: arguments.optional_f32(0, &[batch, seq, heads, width])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let rows = self.positions();
        let workspace = product(&[TILE_ROWS.min(rows), self.parameters.rotary_dim])?;
        Ok(Plan { shared: 0, workspace, tiles: [0, rows.div_ceil(TILE_ROWS)] })
    }

    fn work(&self) -> usize {
        amount(&[self.batch, self.rows.seq, self.rows.heads * self.rows.width + 16 * self.parameters.rotary_dim, 4])
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let Rows { seq, heads, width, .. } = self.rows;
        let [y] = outputs(out)?;
        let y = y.f32(&[self.batch, seq, heads, width])?;
        let dim = self.parameters.rotary_dim;
        let frequencies = self.parameters.frequencies(self.length);
        for tile in tiles {
            let first = tile * TILE_ROWS;
            let n = TILE_ROWS.min(self.positions() - first);
            let turns = &mut scratch.workspace[..n * dim];
            self.fill(&frequencies, first, turns);
            for (row, turns) in (first..).zip(turns.chunks_exact(dim)) {
                // The batch rows that this row of positions is for.
                let (served, i) = if self.apart { (row / seq..row / seq + 1, row % seq) } else { (0..self.batch, row) };
                for b in served {
                    self.turn(b, i, turns, y);
                }
            }
        }
        Ok(())
    }
}
