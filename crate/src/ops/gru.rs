//! The recurrence of a gated recurrent unit (GRU) over a sequence, given the projections of its inputs.
//!
//! Formula, as PyTorch has it (the reset gate acts on the projected state), with `g = h W_hhᵀ + b_hh` and the given
//! `a = x W_ihᵀ + b_ih`, each of three parts r, z, n: `r = sigmoid(a_r + g_r)`, `z = sigmoid(a_z + g_z)`,
//! `n = tanh(a_n + r * g_n)`, `h' = (1 - z) * n + z * h`.
//!
//! Shapes: a `[batch, time, 3 hidden]`, W_hh `[3 hidden, hidden]`, b_hh `[3 hidden]`, first states `[states, batch, hidden]`, lengths
//! `[batch]`; outputs `[batch, time, directions * hidden]` and last states `[states, batch, hidden]`. A call writes the columns
//! of one direction and one state, so that directions and layers share their results.
//!
//! Order: g is the matrix product of `ops::linear`; the formula is evaluated as written, each product rounded before its sum.
//! A backward direction starts at the last element of each row's own length. From a row's length on, its state
//! stays as it is and its outputs are +0; what the projections hold there never shows. A row has the same bits in any batch.
//!
//! Error of a step, first order, u = 2^-24, `d_g` that of the product: sigmoid and tanh carry theirs into h' by at most 1/4 and 1, and add
//! 4 u each; the tests state the sum. A step contracts what it is given only where z < 1: nothing is promised over a sequence.
//!
//! Source: Cho et al. 2014; the reset gate inside as in Chung et al. 2014 and cuDNN.
//!
//! Loop: W_hh is packed once; a tile takes 32 batch rows through all of time, since they share the packed columns.

use super::activation::Activation;
use super::linear::{Linear, Weight};
use super::{amount, outputs, product, row, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::row_tile::COLUMNS;
use crate::kernel::{Lanes, Native};
use core::ops::Range;

/// Batch rows of a tile.
const TILE_ROWS: usize = 32;

/// Integers: batch, time, hidden, 1 for backward, directions, direction, states, state. Inputs: a, W_hh, b_hh (optional),
/// first states (optional: zeros), lengths (optional). Outputs: outputs (optional), last states (optional).
pub struct Gru<'a> {
    batch: usize,
    time: usize,
    hidden: usize,
    backward: bool,
    directions: usize,
    direction: usize,
    states: usize,
    state: usize,
    projections: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    first: Option<&'a [f32]>,
    lengths: Option<&'a [i32]>,
}

impl Gru<'_> {
    /// W_hh, by rows or packed.
    fn weight<'a>(&'a self, packed: Option<&'a [f32]>) -> Weight<'a> {
        let data = packed.unwrap_or(self.weight);
        Weight { data, packed: packed.is_some(), outer: 3 * self.hidden, inner: self.hidden }
    }

    fn tile_rows(&self) -> usize {
        TILE_ROWS.min(self.batch)
    }

    fn length(&self, row: usize) -> usize {
        self.lengths.map_or(self.time, |lengths| self.time.min(lengths[row].max(0) as usize))
    }

    /// Takes the batch rows of a tile through all of time.
    fn recur(
        &self,
        tile: usize,
        weight: Weight<'_>,
        workspace: &mut [f32],
        y: &mut Option<&mut [f32]>,
        last: &mut Option<&mut [f32]>,
    ) -> Result<(), Error> {
        let hidden = self.hidden;
        let from = tile * TILE_ROWS;
        let rows = TILE_ROWS.min(self.batch - from);
        let (states, rest) = workspace.split_at_mut(rows * hidden);
        let (gates, workspace) = rest.split_at_mut(rows * 3 * hidden);
        let start = (self.state * self.batch + from) * hidden;
        match self.first {
            Some(first) => states.copy_from_slice(&first[start..][..rows * hidden]),
            None => states.fill(0.0),
        }
        let longest = (0..rows).map(|row| self.length(from + row)).max().unwrap_or(0);
        for step in 0..longest {
            let product = Linear::of_packed(states, weight, self.bias);
            let scratch = Scratch { shared: &mut [], workspace: &mut *workspace };
            product.run(&mut [Output::F32(&mut *gates)], scratch, 1, 0..product.plan()?.tiles[1])?;
            for (row, state) in states.chunks_exact_mut(hidden).enumerate() {
                let length = self.length(from + row);
                if step >= length {
                    continue;
                }
                let at = (from + row) * self.time + if self.backward { length - 1 - step } else { step };
                let projections = &self.projections[at * 3 * hidden..][..3 * hidden];
                cell(projections, &gates[row * 3 * hidden..][..3 * hidden], state);
                if let Some(y) = y {
                    row::copy(&mut y[(at * self.directions + self.direction) * hidden..][..hidden], state);
                }
            }
        }
        for (row, state) in states.chunks_exact(hidden).enumerate() {
            if let Some(y) = y {
                for step in self.length(from + row)..self.time {
                    let at = (from + row) * self.time + step;
                    y[(at * self.directions + self.direction) * hidden..][..hidden].fill(0.0);
                }
            }
            if let Some(last) = last {
                let to = &mut last[start + row * hidden..][..hidden];
                for (to, h) in to.iter_mut().zip(state) {
                    *to = Native::splat(*h).canonical().to_array()[0];
                }
            }
        }
        Ok(())
    }
}

/// One step of one row: `a` and `g` are the three parts r, z, n one behind the other; `h` becomes the next state.
#[inline(never)]
fn cell(a: &[f32], g: &[f32], h: &mut [f32]) {
    let hidden = h.len();
    for from in (0..hidden).step_by(4) {
        let part = |of: &[f32], part: usize| four(&of[part * hidden..][..hidden], from);
        let r = Activation::Sigmoid.apply(part(a, 0).add(part(g, 0)));
        let z = Activation::Sigmoid.apply(part(a, 1).add(part(g, 1)));
        let n = Activation::Tanh.apply(part(a, 2).add(r.mul(part(g, 2))));
        let next = Native::splat(1.0).sub(z).mul(n).add(z.mul(four(h, from))).canonical().to_array();
        for (h, next) in h[from..].iter_mut().zip(next) {
            *h = next;
        }
    }
}

/// Up to four elements from `from` on; zeros behind the last.
#[inline(always)]
fn four(x: &[f32], from: usize) -> Native {
    x[from..].first_chunk().map_or_else(|| padded(&x[from..]), Native::load)
}

#[inline(never)]
fn padded(x: &[f32]) -> Native {
    let mut four = [0.0; 4];
    for (to, x) in four.iter_mut().zip(x) {
        *to = *x;
    }
    Native::load(&four)
}

impl<'a> Operator<'a> for Gru<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i| arguments.integer(i);
        let [batch, time, hidden] = [integer(0)?, integer(1)?, integer(2)?];
        let [directions, direction, states, state] = [integer(4)?, integer(5)?, integer(6)?, integer(7)?];
        if hidden == 0 || direction >= directions || state >= states {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        let wide = product(&[3, hidden])?;
        product(&[batch, time, directions, hidden])?;
        Ok(Self {
            batch,
            time,
            hidden,
            backward: arguments.flag(3)?,
            directions,
            direction,
            states,
            state,
            projections: arguments.f32(0, &[batch, time, wide])?,
            weight: arguments.f32(1, &[wide, hidden])?,
            bias: arguments.optional_f32(2, &[wide])?,
            first: arguments.optional_f32(3, &[states, batch, hidden])?,
            lengths: arguments.optional_i32(4, &[batch])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let rows = self.tile_rows();
        // Sizes matter here, not elements: the projections stand for the states, where there are any.
        let states = &self.projections[..if self.time == 0 { 0 } else { rows * self.hidden }];
        let linear = Linear::of_packed(states, self.weight(Some(&[])), self.bias).plan()?;
        let own = product(&[rows, 4, self.hidden])?;
        let columns = self.weight(None).columns();
        Ok(Plan {
            shared: product(&[columns, COLUMNS, self.hidden])?,
            workspace: own.checked_add(linear.workspace).ok_or(Error::new(Reason::Size, Field::Call))?,
            tiles: [columns, self.batch.div_ceil(TILE_ROWS)],
        })
    }

    fn work(&self) -> usize {
        amount(&[self.batch, self.time, self.hidden, 3 * self.hidden])
    }

    fn run(
        &self,
        out: &mut [Output<'_>],
        scratch: Scratch<'_>,
        phase: usize,
        tiles: Range<usize>,
    ) -> Result<(), Error> {
        let [y, last] = outputs(out)?;
        let mut y = y.optional_f32(&[self.batch, self.time, self.directions, self.hidden])?;
        let mut last = last.optional_f32(&[self.states, self.batch, self.hidden])?;
        if phase == 0 {
            let packed = scratch.shared.as_chunks_mut().0.chunks_exact_mut(self.hidden);
            for (columns, to) in packed.enumerate().take(tiles.end).skip(tiles.start) {
                self.weight(None).pack_all(0, columns, to);
            }
            return Ok(());
        }
        for tile in tiles {
            self.recur(tile, self.weight(Some(scratch.shared)), scratch.workspace, &mut y, &mut last)?;
        }
        Ok(())
    }
}
