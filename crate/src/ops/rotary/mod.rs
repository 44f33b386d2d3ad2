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
use super::{outputs, product, Arguments, Input, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::canonical;
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
pub fn rotate(style: Style, cosines: &[f32], sines: &[f32], row: &mut [f32]) {
    let turn = |a: &mut f32, b: &mut f32, cosine: f32, sine: f32| {
        (*a, *b) = (canonical(*a * cosine - *b * sine), canonical(*b * cosine + *a * sine));
    };
    match style {
        Style::Half => {
            let (first, second) = row.split_at_mut(cosines.len());
            for (((a, b), cosine), sine) in first.iter_mut().zip(second).zip(cosines).zip(sines) {
                turn(a, b, *cosine, *sine);
            }
        }
        Style::Interleaved => {
            let (pairs, _) = row.as_chunks_mut::<2>();
            for (([a, b], cosine), sine) in pairs.iter_mut().zip(cosines).zip(sines) {
                turn(a, b, *cosine, *sine);
            }
        }
    }
}

/// Where positions come from.
#[derive(Clone, Copy)]
enum Positions<'a> {
    From(i64),
    /// One for each token of the sequence.
    Tokens(&'a [i32]),
    /// One for each batch row and token.
    Rows(&'a [i32]),
}

impl Positions<'_> {
    fn of(&self, row: usize) -> i64 {
        match self {
            Self::From(first) => first + row as i64,
            Self::Tokens(positions) | Self::Rows(positions) => i64::from(positions[row]),
        }
    }
}

/// Where cosines and sines come from.
#[derive(Clone, Copy)]
enum Turns<'a> {
    Frequencies(Frequencies<'a>),
    /// Rows by position, of cosines and of sines.
    Tables(&'a [f32], &'a [f32]),
}

/// Integers: batch, seq, heads, head_dim, rotary_dim, interleaved, x and y are `[batch, heads, seq, head_dim]`, positions (0 from offset, 1 one per
/// token, 2 one per batch row and token), offset (i32), scaling (0 none, then in the order of [`Scaling`]), length of the sequence (0: the
/// largest position and 1), YaRN's truncate, rows of tables (0: none). Numbers: base, factor, max_position, then of YaRN beta_fast, beta_slow,
/// attention factor (0: its own), mscale, mscale_all_dim; of llama3 low, high; of LongRoPE the attention factor. Inputs: x (absent: what
/// the output holds), positions, LongRoPE's factors, tables of cosines and sines `[rows, rotary_dim / 2]`. Output: y.
pub struct Rotary<'a> {
    sizes: [usize; 4],
    rotary_dim: usize,
    style: Style,
    heads_outside: bool,
    positions: Positions<'a>,
    turns: Turns<'a>,
    x: Option<&'a [f32]>,
}

fn scaling<'a>(arguments: &Arguments<'a>, rotary_dim: usize) -> Result<Scaling<'a>, Error> {
    let float = |i| arguments.finite(i);
    let [factor, max_position] = [float(1)?, float(2)?];
    let given = |x: f64| (x != 0.0).then_some(x);
    Ok(match arguments.integer(9)? {
        0 => Scaling::None,
        1 => Scaling::Linear { factor },
        2 => Scaling::Ntk { factor },
        3 => Scaling::DynamicNtk { factor, max_position },
        4 => Scaling::Yarn {
            factor,
            max_position,
            beta_fast: float(3)?,
            beta_slow: float(4)?,
            truncate: arguments.flag(11)?,
            attention: given(float(5)?),
            mscale: float(6)?,
            mscale_all_dim: float(7)?,
        },
        5 => Scaling::Llama3 { factor, max_position, low: float(3)?, high: float(4)? },
        6 => Scaling::LongRope {
            factor,
            max_position,
            factors: arguments.f32(2, &[rotary_dim])?,
            attention: given(float(3)?),
        },
        _ => return Err(Error::new(Reason::Kind, Field::Call)),
    })
}

impl<'a> Rotary<'a> {
    /// Rows of positions: of one sequence, or of each.
    fn rows(&self) -> usize {
        match self.positions {
            Positions::Rows(positions) => positions.len(),
            _ => self.sizes[1],
        }
    }

    /// Cosines, then sines, of rows `first..`, as many as `table` holds.
    fn fill(&self, first: usize, table: &mut [f32]) {
        let pairs = self.rotary_dim / 2;
        let rows = table.chunks_exact_mut(self.rotary_dim).enumerate();
        match self.turns {
            Turns::Frequencies(frequencies) => {
                for i in 0..pairs {
                    let inverse = frequencies.inverse(i);
                    for (r, row) in table.chunks_exact_mut(self.rotary_dim).enumerate() {
                        (row[i], row[pairs + i]) = frequencies.turn(self.positions.of(first + r), inverse);
                    }
                }
            }
            Turns::Tables(cosines, sines) => {
                for (r, row) in rows {
                    let from = self.positions.of(first + r) as usize * pairs;
                    row[..pairs].copy_from_slice(&cosines[from..from + pairs]);
                    row[pairs..].copy_from_slice(&sines[from..from + pairs]);
                }
            }
        }
    }

    /// Turns all heads of one token of one batch row.
    fn turn(&self, b: usize, i: usize, table: &[f32], y: &mut [f32]) {
        let [_, seq, heads, head_dim] = self.sizes;
        let (cosines, sines) = table.split_at(self.rotary_dim / 2);
        for head in 0..heads {
            let row = if self.heads_outside { (b * heads + head) * seq + i } else { (b * seq + i) * heads + head };
            let y = &mut y[row * head_dim..][..head_dim];
            if let Some(x) = self.x {
                y.copy_from_slice(&x[row * head_dim..][..head_dim]);
            }
            let (turned, rest) = y.split_at_mut(self.rotary_dim);
            rotate(self.style, cosines, sines, turned);
            rest.iter_mut().for_each(|x| *x = canonical(*x));
        }
    }
}

impl<'a> Operator<'a> for Rotary<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i| arguments.integer(i);
        let wrong = Error::new(Reason::Value, Field::Call);
        let sizes = [integer(0)?, integer(1)?, integer(2)?, integer(3)?];
        let [batch, seq, _, head_dim] = sizes;
        let rotary_dim = integer(4)?;
        if rotary_dim > head_dim {
            return Err(wrong);
        }
        product(&sizes)?;
        let missing = Error::new(Reason::Kind, Field::Input);
        let positions = match integer(7)? {
            0 => Positions::From(arguments.signed(8)?),
            1 => Positions::Tokens(arguments.optional_i32(1, &[seq])?.ok_or(missing)?),
            2 => Positions::Rows(arguments.optional_i32(1, &[batch, seq])?.ok_or(missing)?),
            _ => return Err(wrong),
        };
        let (smallest, largest) = match positions {
            Positions::From(first) => (first, first + seq as i64 - 1),
            Positions::Tokens(list) | Positions::Rows(list) => {
                let end = |x: Option<&i32>| x.map_or(0, |x| i64::from(*x));
                (end(list.iter().min()), end(list.iter().max()))
            }
        };
        if largest >= 1 << 31 {
            return Err(wrong);
        }
        let parameters =
            RopeParameters { rotary_dim, base: arguments.finite(0)?, scaling: scaling(arguments, rotary_dim)? };
        parameters.check()?;
        let turns = match integer(12)? {
            0 => {
                let length = integer(10)?;
                let length = if length == 0 { (largest + 1) as f64 } else { length as f64 };
                Turns::Frequencies(parameters.frequencies(length))
            }
            rows => {
                if seq > 0 && (smallest < 0 || largest >= rows as i64) {
                    return Err(wrong);
                }
                let sizes = [rows, rotary_dim / 2];
                Turns::Tables(arguments.f32(3, &sizes)?, arguments.f32(4, &sizes)?)
            }
        };
        let x = match arguments.input(0) {
            Input::Absent => None,
            _ => Some(arguments.f32(0, &sizes)?),
        };
        let style = if arguments.flag(5)? { Style::Interleaved } else { Style::Half };
        Ok(Self { sizes, rotary_dim, style, heads_outside: arguments.flag(6)?, positions, turns, x })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let rows = self.rows();
        let workspace = product(&[TILE_ROWS.min(rows), self.rotary_dim])?;
        Ok(Plan { shared: 0, workspace, tiles: [0, rows.div_ceil(TILE_ROWS)] })
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [batch, seq, ..] = self.sizes;
        let [y] = outputs(out)?;
        let y = y.f32(&self.sizes)?;
        for tile in tiles {
            let first = tile * TILE_ROWS;
            let n = TILE_ROWS.min(self.rows() - first);
            let table = &mut scratch.workspace[..n * self.rotary_dim];
            self.fill(first, table);
            for (r, table) in table.chunks_exact(self.rotary_dim).enumerate() {
                let row = first + r;
                if let Positions::Rows(_) = self.positions {
                    self.turn(row / seq, row % seq, table, y);
                } else {
                    (0..batch).for_each(|b| self.turn(b, row, table, y));
                }
            }
        }
        Ok(())
    }
}
