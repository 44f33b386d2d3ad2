//! Masked softmax and log-sum-exp along one axis of a tensor.
//!
//! Formula: with `t = x * c`, `c = f32(LOG2E / temperature)`, over the visible elements of a row: `m = max t`,
//! `p = exp2(t - m)`, `l = sum p`; softmax `w = p / l`, its logarithm `(t - m) ln2 - ln l`, log-sum-exp `m ln2 + ln l`.
//!
//! Shapes: x has 8 axes, the first ones of size 1 where it has fewer; a row runs along one of them. A mask (bytes, not 0 =
//! visible) and lengths (the elements from each row's length on are hidden) broadcast to x; the axis has size 1 in the
//! lengths. Softmax has x's shape, log-sum-exp `[outer, inner]`: what lies before the axis and behind it.
//!
//! Order: where x is finite and t is not, t is the largest finite f32 with its sign, so that a row filled with -3.4e38 is
//! uniform. The sum is that of `ops::sum` over all elements, the hidden ones being +0. The logarithms are one f64
//! expression, rounded once. A t of -Infinity is hidden. A row without visible elements is +0 (logarithms: -Infinity); a visible
//! NaN or +Infinity makes the row NaN; what is hidden never shows. The bits of a row do not depend on where it lies.
//!
//! Error, first order, u = 2^-24, `h_j = ln2 (2 |t_j| + |t_j - m|) + 2.6`, `H = sum w h + 19 + ceil(log2 blocks)`: softmax
//! `u w_j (h_j + H + 2)`, its logarithm `u (2 ln2 |t_j| + H + |y|)`, log-sum-exp `u (H + |y|)`.
//!
//! Source: Bridle 1990; the shift by the maximum as in Blanchard, Higham and Higham 2021.
//!
//! Loop: scores are first laid into the workspace, scaled and with -Infinity where hidden, and leave it in one go: so there is one
//! pass from the input to the exponentials, and one division on the way out. Four rows are worked on together. Along the last
//! axis they stay rows; along another one a tile is 16 neighbours, so that a cache line is read and written once, and four
//! neighbours are the lanes of a vector: nothing is transposed.

use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::ln::{ln, log_sum_exp};
use crate::kernel::softmax::{largest, scaled, scaled_finite, sum_columns, sum_rows, Finish, LANES};
use crate::kernel::{canonical, Lanes, Native, CANONICAL_NAN};
use core::ops::Range;

/// Axes of a tensor.
const AXES: usize = 8;
/// Rows of a tile, where the axis is not the last one: a cache line of neighbours.
const NEIGHBOURS: usize = 16;
/// Elements between two rows in the workspace, lest a power of two between them puts them all in one set of the cache.
const GAP: usize = 16;
const WRONG: Error = Error::new(Reason::Value, Field::Call);

/// A size per axis.
type Sizes = [usize; AXES];

/// What is made of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Weights,
    Logarithms,
    LogSumExp,
}

/// Softmax (form 0), its logarithm (1) or log-sum-exp (2). Integers: form, axis, sizes of x, of the mask and of the lengths (8
/// each). Number: temperature. Inputs: x, mask (optional), lengths (optional). Output: x's shape, or `[outer, inner]`.
pub struct Softmax<'a> {
    form: Form,
    axis: usize,
    sizes: Sizes,
    outer: usize,
    length: usize,
    inner: usize,
    factor: f32,
    x: &'a [f32],
    mask: Option<(&'a [u8], Sizes)>,
    lengths: Option<(&'a [i32], Sizes)>,
}

/// The sizes at `at` among the integers.
#[inline(never)]
fn sizes_at(arguments: &Arguments<'_>, at: usize) -> Result<Sizes, Error> {
    let sizes = arguments.integers.get(at..).and_then(|rest| rest.first_chunk::<AXES>());
    Ok(sizes.ok_or(WRONG)?.map(|size| size as usize))
}

/// The rows of a tile: `n` of them from row `first` on, rows (outer, inner) being counted `outer * inner sizes + inner`.
struct Tile {
    first: usize,
    n: usize,
}

impl Softmax<'_> {
    /// f32 elements of a row in the workspace: whole vectors.
    fn padded(&self) -> usize {
        self.length.next_multiple_of(4)
    }

    /// f32 elements from one row in the workspace to the next.
    fn pitch(&self) -> usize {
        self.padded() + GAP
    }

    /// Where the element of an operand of the given sizes lies that belongs to row (outer, inner), and the operand's step
    /// along the axis.
    #[inline(never)]
    fn locate(&self, sizes: &Sizes, outer: usize, inner: usize) -> (usize, usize) {
        let (mut offset, mut step, mut along) = (0, 1, 0);
        let (mut outer, mut inner) = (outer, inner);
        // Opaque, so that the loop stays one: eight copies of it would be a kilobyte.
        for axis in (0..core::hint::black_box(AXES)).rev() {
            let index = if axis > self.axis { &mut inner } else { &mut outer };
            let broadcasts = sizes[axis] == 1;
            if axis == self.axis {
                along = if broadcasts { 0 } else { step };
            } else {
                offset += if broadcasts { 0 } else { *index % self.sizes[axis] * step };
                *index /= self.sizes[axis];
            }
            step *= sizes[axis];
        }
        (offset, along)
    }

    /// Whether rows run along the last axis: then they lie one behind the other in the workspace, else four side by side.
    fn in_rows(&self) -> bool {
        self.inner == 1
    }

    /// Rows that a tile may have, and how many tiles there are for each index before the axis (or for all of them, where rows run along the
    /// last axis).
    fn tiling(&self) -> (usize, usize) {
        if self.in_rows() {
            (LANES, self.outer.div_ceil(LANES))
        } else {
            (NEIGHBOURS, self.inner.div_ceil(NEIGHBOURS))
        }
    }

    fn tile(&self, tile: usize) -> Tile {
        let (rows, tiles) = self.tiling();
        if self.in_rows() {
            let first = tile * rows;
            return Tile { first, n: rows.min(self.outer - first) };
        }
        let inner = tile % tiles * rows;
        Tile { first: tile / tiles * self.inner + inner, n: rows.min(self.inner - inner) }
    }

    /// Where a row begins in x.
    fn start(&self, row: usize) -> usize {
        row / self.inner * self.length * self.inner + row % self.inner
    }

    /// Lays the scores of a tile into the workspace; `finite` where some are found to be infinite. Gives whether some are.
    #[inline(never)]
    fn gather(&self, tile: &Tile, scores: &mut [f32], finite: bool) -> bool {
        let factor = Native::splat(self.factor);
        let mut most = Native::splat(0.0);
        let mut score = |x: &[f32; 4]| {
            if finite {
                scaled_finite(x, factor)
            } else {
                scaled(x, factor, &mut most)
            }
        };
        let x = &self.x[self.start(tile.first)..];
        if self.in_rows() {
            for (row, x) in scores.chunks_mut(self.pitch()).zip(x.chunks_exact(self.length)).take(tile.n) {
                let (fours, rest) = x.as_chunks::<4>();
                let (to, _) = row.as_chunks_mut::<4>();
                for (t, x) in to.iter_mut().zip(fours) {
                    score(x).store(t);
                }
                if !rest.is_empty() {
                    let mut last = [0.0; 4];
                    last[..rest.len()].copy_from_slice(rest);
                    score(&last).store(&mut to[fours.len()]);
                    row[self.length..self.padded()].fill(f32::NEG_INFINITY);
                }
            }
        } else {
            let vectors = tile.n.div_ceil(LANES);
            let (scores, _) = scores.as_chunks_mut::<4>();
            for (k, x) in x.chunks(self.inner).take(self.length).enumerate() {
                let mut line = [0.0; NEIGHBOURS];
                let line = x.first_chunk().filter(|_| tile.n == NEIGHBOURS).unwrap_or_else(|| {
                    line[..tile.n].copy_from_slice(&x[..tile.n]);
                    &line
                });
                for (v, x) in line.as_chunks::<4>().0.iter().enumerate().take(vectors) {
                    score(x).store(&mut scores[v * self.pitch() + k]);
                }
            }
        }
        most.to_array().contains(&f32::INFINITY)
    }

    /// -Infinity for what is not visible of the rows of a tile.
    #[inline(never)]
    fn hide(&self, tile: &Tile, scores: &mut [f32]) {
        let pitch = self.pitch();
        for r in 0..tile.n {
            let (at, step) =
                if self.in_rows() { (r * pitch, 1) } else { (r / LANES * LANES * pitch + r % LANES, LANES) };
            let row = scores[at..].iter_mut().step_by(step).take(self.length);
            let (outer, inner) = ((tile.first + r) / self.inner, (tile.first + r) % self.inner);
            let length = self
                .lengths
                .as_ref()
                .map_or(self.length, |(lengths, sizes)| lengths[self.locate(sizes, outer, inner).0].max(0) as usize);
            let (mask, mut at, along) = self.mask.as_ref().map_or((&[1][..], 0, 0), |(mask, sizes)| {
                let (at, along) = self.locate(sizes, outer, inner);
                (mask, at, along)
            });
            for (k, t) in row.enumerate() {
                if k >= length || mask[at] == 0 {
                    *t = f32::NEG_INFINITY;
                }
                at += along;
            }
        }
    }

    /// Brings the rows of a tile to their form.
    fn finish(&self, tile: usize, workspace: &mut [f32], out: &mut [f32]) {
        let tile = self.tile(tile);
        let pitch = self.pitch();
        if self.length == 0 {
            if self.form == Form::LogSumExp {
                out[tile.first..][..tile.n].fill(f32::NEG_INFINITY);
            }
            return;
        }
        if self.gather(&tile, workspace, false) {
            self.gather(&tile, workspace, true);
        }
        if self.mask.is_some() || self.lengths.is_some() {
            self.hide(&tile, workspace);
        }
        for v in 0..tile.n.div_ceil(LANES) {
            let four = Tile { first: tile.first + v * LANES, n: LANES.min(tile.n - v * LANES) };
            let part = if self.in_rows() { four.n } else { LANES };
            let (m, l) = self.state(&mut workspace[v * LANES * pitch..][..part * pitch], part);
            let (m, l) = (m.to_array(), l.to_array());
            if self.form == Form::LogSumExp {
                for (r, to) in out[four.first..][..four.n].iter_mut().enumerate() {
                    *to = canonical(log_sum_exp(m[r], l[r]));
                }
                continue;
            }
            // Of a row in which nothing is visible every exponential is +0.
            let l = l.map(|l| if l == 0.0 { 1.0 } else { l });
            let finish = match self.form {
                Form::Logarithms => Finish::Logarithms(m.map(f64::from), l.map(|l| ln(f64::from(l)))),
                _ => Finish::Weights(Native::load(&l)),
            };
            self.scatter(&four, &workspace[v * LANES * pitch..], finish, out);
            if l.iter().any(|l| l.is_nan()) {
                for r in (0..four.n).filter(|r| l[*r].is_nan()) {
                    let row = out[self.start(four.first + r)..].iter_mut().step_by(self.inner).take(self.length);
                    row.for_each(|w| *w = CANONICAL_NAN);
                }
            }
        }
    }

    /// The largest scores of up to four rows, and the sums of their exponentials. A NaN or +Infinity makes the sum NaN; without anything
    /// visible both are 0.
    fn state(&self, scores: &mut [f32], n: usize) -> (Native, Native) {
        let store = self.form == Form::Weights;
        let (pitch, padded) = (self.pitch(), self.padded());
        let shift = |m: f32| if m == f32::NEG_INFINITY { 0.0 } else { m };
        if self.in_rows() {
            let mut m = [0.0; LANES];
            for (row, m) in scores.chunks(pitch).zip(&mut m).take(n) {
                let [a, b, c, d] = largest(row[..padded].as_chunks().0).to_array();
                let larger = |a: f32, b: f32| if a < b { b } else { a };
                *m = shift(larger(larger(a, c), larger(b, d)));
            }
            let m = Native::load(&m);
            let sum = if store { sum_rows::<true> } else { sum_rows::<false> };
            return (m, sum(scores, pitch, padded, m));
        }
        let columns = &mut scores.as_chunks_mut().0[..self.length];
        let m = Native::load(&largest(columns).to_array().map(shift));
        (m, if store { sum_columns::<true>(columns, m) } else { sum_columns::<false>(columns, m) })
    }

    /// Up to four rows of the workspace to where they lie in the result.
    #[inline(never)]
    fn scatter(&self, rows: &Tile, scores: &[f32], finish: Finish, out: &mut [f32]) {
        let out = &mut out[self.start(rows.first)..];
        if self.in_rows() {
            for r in 0..rows.n {
                let (from, _) = scores[r * self.pitch()..].as_chunks::<4>();
                let (fours, rest) = out[r * self.length..][..self.length].as_chunks_mut::<4>();
                let finish = finish.of_row(r);
                finish.row(from, fours);
                if !rest.is_empty() {
                    rest.copy_from_slice(&finish.apply(&from[fours.len()]).to_array()[..rest.len()]);
                }
            }
            return;
        }
        for (x, to) in scores.as_chunks::<4>().0.iter().zip(out.chunks_mut(self.inner)).take(self.length) {
            let w = finish.apply(x);
            match to.first_chunk_mut() {
                Some(to) if rows.n == LANES => w.store(to),
                _ => to[..rows.n].copy_from_slice(&w.to_array()[..rows.n]),
            }
        }
    }
}

impl<'a> Operator<'a> for Softmax<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let form = match arguments.integer(0)? {
            0 => Form::Weights,
            1 => Form::Logarithms,
            2 => Form::LogSumExp,
            _ => return Err(WRONG),
        };
        let factor = (core::f64::consts::LOG2_E / arguments.finite(0)?) as f32;
        let axis = arguments.integer(1)?;
        if axis >= AXES || !(factor > 0.0 && factor.is_finite()) {
            return Err(WRONG);
        }
        let [sizes, mask_sizes, lengths_sizes] =
            [sizes_at(arguments, 2)?, sizes_at(arguments, 2 + AXES)?, sizes_at(arguments, 2 + 2 * AXES)?];
        let fits = |size: usize, of_x: usize| size == 1 || size == of_x;
        let all_fit =
            (0..core::hint::black_box(AXES)).all(|a| fits(mask_sizes[a], sizes[a]) && fits(lengths_sizes[a], sizes[a]));
        if !all_fit || lengths_sizes[axis] != 1 {
            return Err(WRONG);
        }
        Ok(Self {
            form,
            axis,
            sizes,
            outer: product(&sizes[..axis])?,
            length: sizes[axis],
            inner: product(&sizes[axis + 1..])?,
            factor,
            x: arguments.f32(0, &sizes)?,
            mask: arguments.optional_bool(1, &mask_sizes)?.map(|mask| (mask, mask_sizes)),
            lengths: arguments.optional_i32(2, &lengths_sizes)?.map(|lengths| (lengths, lengths_sizes)),
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let (rows, tiles) = self.tiling();
        let tiles = if self.in_rows() { tiles } else { product(&[self.outer, tiles])? };
        Ok(Plan {
            shared: 0,
            workspace: product(&[rows.min(self.inner.next_multiple_of(LANES)), self.pitch()])?,
            tiles: [0, tiles],
        })
    }

    fn work(&self) -> usize {
        amount(&[self.outer, self.length, self.inner, 16])
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [out] = outputs(out)?;
        let length = if self.form == Form::LogSumExp { 1 } else { self.length };
        let out = out.f32(&[self.outer, length, self.inner])?;
        for tile in tiles {
            self.finish(tile, scratch.workspace, out);
        }
        Ok(())
    }
}
