//! The average and the maximum of a feature map, along its places or along its channels: what a gate is computed from.
//!
//! Shapes: x `[batch, channels, places]`, a place being a pixel, a moment or any position. Along the places y is `[batch,
//! parts, channels]`, along the channels `[batch, parts, places]`; the parts are the average, the maximum or both, in the
//! order asked for.
//!
//! Order: along the places the sum of a row (`ops::sum`); along the channels, per place, in segments of 64 from channel 0: in
//! a segment one sum from +0, ascending; the segments' sums are added in order. Then the sum is divided by f32(count). The
//! maximum is NaN where an element is NaN, and +0 where it is a zero. Of no element both are +0. Bound of the average: `u * (k + 1) * mean |x|`, with k
//! the roundings of an element's way through the sum: `18 + ceil(log2(blocks))`, or `min(channels, 64) + segments`.
//!
//! Source: pooling over a whole plane, Lin, Chen and Yan 2014; both together, Woo et al. 2018.

use super::sum::BLOCK;
use super::weighted_sum::{column_sums, row_sum, CHUNK, SEGMENTS_SUM};
use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::row::{row, row_of, row_of_mut, Step};
use core::ops::Range;

/// Integers: batch, channels, places, along (0 places, 1 channels), parts (0 average, 1 maximum, 2 average and maximum,
/// 3 maximum and average). Input: x. Output: y.
pub struct AverageMaximum<'a> {
    batch: usize,
    channels: usize,
    places: usize,
    along_channels: bool,
    /// Where in y's parts the average and the maximum go.
    at: [Option<usize>; 2],
    x: &'a [f32],
}

impl AverageMaximum<'_> {
    fn parts(&self) -> usize {
        self.at.iter().flatten().count()
    }

    /// Elements of one part.
    fn kept(&self) -> usize {
        if self.along_channels {
            self.places
        } else {
            self.channels
        }
    }

    /// One channel: all its places.
    fn row(&self, y: &mut [f32], channel: usize, x: &[f32]) {
        let [average, largest] = self.at;
        if let Some(part) = average {
            let average = row_of_mut(y, part * self.channels + channel, 1);
            average[0] = row_sum(x, &[1.0], None);
            row(Step::Divide, average, &[], &[x.len().max(1) as f32]);
        }
        if let Some(part) = largest {
            let mut largest = [if x.is_empty() { 0.0 } else { f32::NEG_INFINITY }; BLOCK];
            for x in x.chunks(BLOCK) {
                row(Step::Larger, &mut largest[..x.len()], x, &[]);
            }
            let mut n = BLOCK;
            while n > 1 {
                n /= 2;
                let (low, high) = largest.split_at_mut(n);
                row(Step::Larger, low, &high[..n], &[]);
            }
            y[part * self.channels + channel] = largest[0];
        }
    }

    /// Some places: all their channels.
    fn columns(&self, y: &mut [f32], x: &[f32], places: Range<usize>, workspace: &mut [f32]) {
        let [average, largest] = self.at.map(|part| part.map(|part| part * self.places));
        if let Some(at) = average {
            let y = &mut y[at + places.start..at + places.end];
            column_sums(x, self.places, places.clone(), self.channels, None, None, y, workspace);
            row(Step::Divide, y, &[], &[self.channels.max(1) as f32]);
        }
        if let Some(at) = largest {
            let y = &mut y[at + places.start..at + places.end];
            y.fill(if self.channels == 0 { 0.0 } else { f32::NEG_INFINITY });
            for x in x.chunks_exact(self.places) {
                row(Step::Larger, y, &x[places.clone()], &[]);
            }
        }
    }

    #[inline(never)]
    fn tile(&self, y: &mut [f32], tile: usize, workspace: &mut [f32]) {
        let (batch, i) = (tile / self.per_batch(), tile % self.per_batch());
        let y = &mut y[batch * self.parts() * self.kept()..];
        let x = row_of(self.x, batch, self.channels * self.places);
        if self.along_channels {
            let places = i * CHUNK..self.places.min((i + 1) * CHUNK);
            self.columns(y, x, places, workspace);
        } else {
            self.row(y, i, row_of(x, i, self.places));
        }
    }

    /// Tiles of a batch row.
    fn per_batch(&self) -> usize {
        if self.along_channels {
            self.places.div_ceil(CHUNK)
        } else {
            self.channels
        }
    }
}

impl<'a> Operator<'a> for AverageMaximum<'a> {
    #[inline(never)]
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [batch, channels, places] = [arguments.integer(0)?, arguments.integer(1)?, arguments.integer(2)?];
        let at = match arguments.integer(4)? {
            0 => [Some(0), None],
            1 => [None, Some(0)],
            2 => [Some(0), Some(1)],
            3 => [Some(1), Some(0)],
            _ => return Err(Error::new(Reason::Kind, Field::Call)),
        };
        let x = arguments.f32(0, &[batch, channels, places])?;
        Ok(Self { batch, channels, places, along_channels: arguments.flag(3)?, at, x })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let workspace = if self.along_channels { SEGMENTS_SUM } else { 0 };
        Ok(Plan { shared: 0, workspace, tiles: [0, product(&[self.batch, self.per_batch()])?] })
    }

    fn work(&self) -> usize {
        amount(&[self.batch, self.channels, self.places, 4])
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let y = y.f32(&[self.batch, self.parts(), self.kept()])?;
        for tile in tiles {
            self.tile(y, tile, scratch.workspace);
        }
        Ok(())
    }
}
