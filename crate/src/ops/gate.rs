//! A gate: `y = x * g`, `g = sigmoid(s)` or g = s, one number per channel, per place or per element.
//!
//! Shapes: x and y `[batch, channels, places]`; g `[batch, channels]`, `[batch, places]` or `[batch, channels, places]`; the
//! scores s have `parts` such arrays in each batch row, `[batch, parts, …]`, which are added in order.
//!
//! Order: s is the first part, then the others are added; the sigmoid is that of `ops::activation`; y is one product.
//! Bound: y is within `|x| * (u * |s'| + 3.6 u)` of the exact sigmoid's product, s' the largest sum of parts' magnitudes,
//! first order, u = 2^-24 (the gate's slope is at most 1/4, an addition of parts adds u |s|).
//!
//! Source: Hu, Shen and Sun 2018 (per channel); Woo et al. 2018 (per channel, then per place).

use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::row::{row, row_of, row_of_mut, Step};
use core::ops::Range;

/// Integers: batch, channels, places, parts, over (0 channels, 1 places, 2 elements), sigmoid. Inputs: x (absent where only
/// the gate is wanted), s. Outputs: g, y (absent with x).
pub struct Gate<'a> {
    batch: usize,
    channels: usize,
    places: usize,
    parts: usize,
    over: Over,
    sigmoid: bool,
    x: Option<&'a [f32]>,
    scores: &'a [f32],
}

/// What a gate is one number for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Channels,
    Places,
    Elements,
}

impl Gate<'_> {
    /// Gates of a batch row.
    fn count(&self) -> usize {
        match self.over {
            Over::Channels => self.channels,
            Over::Places => self.places,
            Over::Elements => self.channels * self.places,
        }
    }

    /// The gates of a batch row.
    #[inline(never)]
    fn gates(&self, gates: &mut [f32], batch: usize) {
        let count = self.count();
        let gates = row_of_mut(gates, batch, count);
        for part in 0..self.parts {
            let scores = row_of(self.scores, batch * self.parts + part, count);
            let (step, x, y) =
                if part == 0 { (Step::Product, scores, &[1.0][..]) } else { (Step::Add, &[][..], scores) };
            row(step, gates, x, y);
        }
        if self.sigmoid {
            row(Step::Sigmoid, gates, &[], &[]);
        }
    }

    /// One channel of one batch row times its gates.
    #[inline(never)]
    fn product(&self, x: &[f32], gates: &[f32], y: &mut [f32], channel: usize) {
        let (i, n) = match self.over {
            Over::Channels => (channel, 1),
            Over::Places => (channel / self.channels, self.places),
            Over::Elements => (channel, self.places),
        };
        let (y, x) = (row_of_mut(y, channel, self.places), row_of(x, channel, self.places));
        row(Step::Product, y, x, row_of(gates, i, n));
    }
}

impl<'a> Operator<'a> for Gate<'a> {
    #[inline(never)]
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i| arguments.integer(i);
        let [batch, channels, places, parts] = [integer(0)?, integer(1)?, integer(2)?, integer(3)?];
        let (over, count) = match integer(4)? {
            0 => (Over::Channels, channels),
            1 => (Over::Places, places),
            2 => (Over::Elements, product(&[channels, places])?),
            _ => return Err(Error::new(Reason::Kind, Field::Call)),
        };
        if parts == 0 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        let x = arguments.optional_f32(0, &[batch, channels, places])?;
        let scores = arguments.f32(1, &[batch, parts, count])?;
        Ok(Self { batch, channels, places, parts, over, sigmoid: arguments.flag(5)?, x, scores })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let rows = if self.x.is_some() { product(&[self.batch, self.channels])? } else { 0 };
        Ok(Plan { tiles: [self.batch, rows], ..Plan::default() })
    }

    fn work(&self) -> usize {
        amount(&[self.batch, self.channels, self.places, 8])
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, phase: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [gates, y] = outputs(out)?;
        let gates = gates.f32(&[self.batch, self.count()])?;
        if phase == 0 {
            for batch in tiles {
                self.gates(gates, batch);
            }
        } else if let Some(x) = self.x {
            let y = y.f32(&[self.batch, self.channels, self.places])?;
            for row in tiles {
                self.product(x, gates, y, row);
            }
        }
        Ok(())
    }
}
