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
//! Loop: rows are first laid out contiguously in the workspace, scaled and with -Infinity where hidden; so there is one
//! kernel, and any axis has the bits of the last. Where the axis is not the last one a tile is 16 neighbours, so that a cache line is
//! read and written once, and rows are set apart, since a power of two between them would put them all in one set of the
//! cache. 1000 x 1000 took 1.7 ns an element along axis 1 and 3.7 along axis 0 (4 neighbours side by side: 9).

use super::sum::{TreeSum, BLOCK};
use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::exp::Exp2;
use crate::kernel::ln::{ln, log_sum_exp};
use crate::kernel::reduce::{exp_and_sum, row_max};
use crate::kernel::{Lanes, Native, CANONICAL_NAN};
use core::ops::Range;

/// Axes of a tensor.
const AXES: usize = 8;
/// Rows of a tile, where the axis is not the last one: a cache line of neighbours.
const ROWS: usize = 16;
/// Elements between two rows of a tile.
const GAP: usize = 16;
const LN2: f64 = core::f64::consts::LN_2;
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

/// What a row of scores comes to.
enum State {
    /// Nothing is visible.
    Empty,
    /// Something visible is NaN or +Infinity.
    Nan,
    /// The largest score, and the sum of the exponentials.
    Sum(f32, f32),
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

    /// Where row (outer, inner) begins in x.
    fn start(&self, outer: usize, inner: usize) -> usize {
        outer * self.length * self.inner + inner
    }

    /// The scores of rows (outer, inner..inner + n), scaled, -Infinity where hidden, each padded to whole vectors.
    #[inline(never)]
    fn gather(&self, outer: usize, inner: usize, n: usize, rows: &mut [f32]) {
        let (padded, pitch) = (self.padded(), self.pitch());
        if padded == 0 {
            return;
        }
        let x = &self.x[self.start(outer, inner)..];
        if self.inner == 1 {
            rows[..self.length].copy_from_slice(&x[..self.length]);
        } else {
            for (k, neighbours) in x.chunks(self.inner).take(self.length).enumerate() {
                for (r, t) in neighbours[..n].iter().enumerate() {
                    rows[r * pitch + k] = *t;
                }
            }
        }
        for r in 0..n {
            let row = &mut rows[r * pitch..][..padded];
            scale(self.factor, row);
            self.hide(outer, inner + r, row);
        }
    }

    /// The reverse of [`Self::gather`]: rows to where they lie in the result.
    fn scatter(&self, outer: usize, inner: usize, n: usize, rows: &[f32], out: &mut [f32]) {
        let pitch = self.pitch();
        let out = out.get_mut(self.start(outer, inner)..).unwrap_or_default();
        if self.inner == 1 {
            out[..self.length].copy_from_slice(&rows[..self.length]);
        } else {
            for (k, neighbours) in out.chunks_mut(self.inner).take(self.length).enumerate() {
                for (r, w) in neighbours[..n].iter_mut().enumerate() {
                    *w = rows[r * pitch + k];
                }
            }
        }
    }

    /// -Infinity for what is not visible of a row, and for what is not its own.
    fn hide(&self, outer: usize, inner: usize, row: &mut [f32]) {
        let mut length = self.length;
        if let Some((lengths, sizes)) = &self.lengths {
            length = length.min(lengths[self.locate(sizes, outer, inner).0].max(0) as usize);
        }
        row[length..].fill(f32::NEG_INFINITY);
        if let Some((mask, sizes)) = &self.mask {
            let (mut at, along) = self.locate(sizes, outer, inner);
            for t in &mut row[..length] {
                if mask[at] == 0 {
                    *t = f32::NEG_INFINITY;
                }
                at += along;
            }
        }
    }

    /// Brings the rows of a tile to their form.
    fn finish(&self, tile: usize, workspace: &mut [f32], out: &mut [f32]) {
        let (padded, pitch) = (self.padded(), self.pitch());
        let groups = self.inner.div_ceil(ROWS);
        let (outer, inner) = (tile / groups, tile % groups * ROWS);
        let n = ROWS.min(self.inner - inner);
        self.gather(outer, inner, n, workspace);
        let mut states = [const { State::Empty }; ROWS];
        for (r, of_row) in states[..n].iter_mut().enumerate() {
            *of_row = state(&mut workspace[r * pitch..][..padded]);
        }
        if self.form == Form::LogSumExp {
            for (r, of_row) in states[..n].iter().enumerate() {
                out[outer * self.inner + inner + r] = match of_row {
                    State::Empty => f32::NEG_INFINITY,
                    State::Nan => CANONICAL_NAN,
                    State::Sum(m, l) => log_sum_exp(*m, *l),
                };
            }
            return;
        }
        let log = self.form == Form::Logarithms;
        if log {
            // The exponentials have taken the place of the scores.
            self.gather(outer, inner, n, workspace);
        }
        for (r, of_row) in states[..n].iter().enumerate() {
            let row = &mut workspace[r * pitch..][..padded];
            match of_row {
                State::Empty => row.fill(if log { f32::NEG_INFINITY } else { 0.0 }),
                State::Nan => row.fill(CANONICAL_NAN),
                State::Sum(m, l) if log => {
                    let (m, ln_l) = (f64::from(*m), ln(f64::from(*l)));
                    for t in row {
                        *t = ((f64::from(*t) - m) * LN2 - ln_l) as f32;
                    }
                }
                State::Sum(_, l) => {
                    for p in row.as_chunks_mut().0 {
                        Native::load(p).div(Native::splat(*l)).store(p);
                    }
                }
            }
        }
        self.scatter(outer, inner, n, workspace, out);
    }
}

/// `t = x * factor` in place; finite where x is.
fn scale(factor: f32, row: &mut [f32]) {
    let (infinity, largest) = (Native::splat(f32::INFINITY), Native::splat(f32::MAX));
    for four in row.as_chunks_mut::<4>().0 {
        let x = Native::load(four);
        let t = x.mul(Native::splat(factor));
        let magnitude = t.abs();
        let finite = Native::select(magnitude.less(infinity), magnitude, largest).copy_sign(t);
        Native::select(x.abs().less(infinity), finite, t).store(four);
    }
}

/// The state of a row, whose scores become their exponentials.
#[inline(never)]
fn state(row: &mut [f32]) -> State {
    let m = row_max::<Native>(row.as_chunks().0);
    if m == f32::NEG_INFINITY {
        return if row.iter().any(|t| t.is_nan()) { State::Nan } else { State::Empty };
    }
    let exp2 = Exp2::<Native>::new();
    let mut tree = TreeSum::new();
    for block in row.chunks_mut(BLOCK) {
        tree.push(exp_and_sum(&exp2, block.as_chunks_mut().0, m));
    }
    // A NaN among the scores gives a NaN here, and so does Infinity - Infinity.
    let l = tree.total();
    if l.is_nan() {
        State::Nan
    } else {
        State::Sum(m, l)
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
        Ok(Plan {
            shared: 0,
            workspace: product(&[ROWS.min(self.inner), self.pitch()])?,
            tiles: [0, product(&[self.outer, self.inner.div_ceil(ROWS)])?],
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
