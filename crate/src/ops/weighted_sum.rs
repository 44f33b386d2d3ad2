//! Weighted sums of a feature map: `y = sum w x` over its places or over its channels, and the weighted deviation.
//!
//! Shapes: x `[batch, channels, places]`. Over the places w is `[batch, places]` and y `[batch, channels]`; over the channels w
//! is `[batch, channels]` and y `[batch, places]`. Frames of time are channels here, their features places. The deviation is
//! `sqrt(max(sum w (x - y)^2, floor))`, with y the stored mean (weights that add up to one).
//!
//! Order: over the places, the products' sum as a row (`ops::sum`); over the channels, per place, in segments of 64 from channel
//! 0: in a segment `s = +0`, then `s = s + (w * x)` ascending; the segments' sums are added in order. What has weight 0 adds
//! nothing, so that NaN or Infinity there cannot show. The deviation's square is `(x - y) * (x - y)`, its sum has the same order.
//! Bound: `u * (k + 2) * sum |w x|`, with k the additions on an element's way; first order, u = 2^-24.
//!
//! Source: the context vector of Bahdanau, Cho and Bengio 2015; Xu et al. 2015 over places; the deviation is the attentive
//! statistics pooling of Okabe, Koshinaka and Shinoda 2018.

use super::sum::{block_sum, TreeSum, BLOCK};
use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::row::{row, row_of, Step};
use crate::kernel::{Native, CANONICAL_NAN};
use core::ops::Range;

/// Channels of a segment.
const SEGMENT: usize = 64;
/// Places of a tile: four buffers of them stay in the first cache.
pub(super) const CHUNK: usize = 512;
/// f32 elements that [`column_sums`] works in.
pub(super) const SEGMENTS_SUM: usize = 2 * CHUNK;

/// Integers: batch, channels, places, over (0 places, 1 channels). Numbers: the floor of the variance. Inputs: x, w. Outputs: y,
/// deviation (optional).
pub struct WeightedSum<'a> {
    batch: usize,
    channels: usize,
    places: usize,
    over_channels: bool,
    floor: f32,
    x: &'a [f32],
    weights: &'a [f32],
}

impl WeightedSum<'_> {
    fn kept(&self) -> usize {
        if self.over_channels {
            self.places
        } else {
            self.channels
        }
    }

    /// Tiles of a batch row.
    fn per_batch(&self) -> usize {
        if self.over_channels {
            self.places.div_ceil(CHUNK)
        } else {
            self.channels
        }
    }

    /// One channel, over its places.
    fn row(&self, x: &[f32], weights: &[f32], y: &mut f32, deviation: Option<&mut f32>) {
        *y = row_sum(x, weights, None);
        *y = if y.is_nan() { CANONICAL_NAN } else { *y };
        if let Some(deviation) = deviation {
            let variance = &mut [row_sum(x, weights, Some(*y))];
            row(Step::Root, variance, &[], &[self.floor]);
            *deviation = variance[0];
        }
    }

    /// Some places, over their channels.
    fn columns(
        &self,
        x: &[f32],
        weights: &[f32],
        places: Range<usize>,
        y: &mut [f32],
        deviation: Option<&mut [f32]>,
        workspace: &mut [f32],
    ) {
        let weights = Some(weights);
        column_sums(x, self.places, places.clone(), self.channels, weights, None, y, workspace);
        if let Some(deviation) = deviation {
            column_sums(x, self.places, places, self.channels, weights, Some(y), deviation, workspace);
            row(Step::Root, deviation, &[], &[self.floor]);
        }
    }
}

/// Per place the sum over its channels of x, or of (x - mean)^2, times the weight, to `total`.
#[inline(never)]
pub(super) fn column_sums(
    x: &[f32],
    width: usize,
    places: Range<usize>,
    channels: usize,
    weights: Option<&[f32]>,
    mean: Option<&[f32]>,
    total: &mut [f32],
    workspace: &mut [f32],
) {
    let (segment, squares) = workspace.split_at_mut(CHUNK);
    let (segment, squares) = (&mut segment[..places.len()], &mut squares[..places.len()]);
    total.fill(0.0);
    for first in (0..channels).step_by(SEGMENT) {
        segment.fill(0.0);
        for channel in first..channels.min(first + SEGMENT) {
            let weight = weights.map_or(1.0, |weights| weights[channel]);
            if weight == 0.0 {
                continue;
            }
            let mut x = &row_of(x, channel, width)[places.clone()];
            if let Some(mean) = mean {
                row(Step::SquareOfDifference, squares, x, mean);
                x = squares;
            }
            row(Step::AddProduct, segment, x, &[weight]);
        }
        row(Step::Add, total, &[], segment);
    }
}

/// The sum along a row of x, or of (x - mean)^2, times the weights; a single weight is that of all.
#[inline(never)]
pub(super) fn row_sum(x: &[f32], weights: &[f32], mean: Option<f32>) -> f32 {
    let mut tree = TreeSum::new();
    for (i, mut x) in x.chunks(BLOCK).enumerate() {
        let weights = if weights.len() > 1 { &weights[i * BLOCK..][..x.len()] } else { weights };
        let (mut squares, mut products) = ([0.0; BLOCK], [0.0; BLOCK]);
        if let Some(mean) = mean {
            row(Step::SquareOfDifference, &mut squares[..x.len()], x, &[mean]);
            x = &squares[..x.len()];
        }
        let products = &mut products[..x.len()];
        row(Step::Weigh, products, x, weights);
        tree.push(block_sum::<Native>(products));
    }
    tree.total()
}

impl<'a> Operator<'a> for WeightedSum<'a> {
    #[inline(never)]
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [batch, channels, places] = [arguments.integer(0)?, arguments.integer(1)?, arguments.integer(2)?];
        let over_channels = arguments.flag(3)?;
        let floor = arguments.finite(0)? as f32;
        if floor < 0.0 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        let x = arguments.f32(0, &[batch, channels, places])?;
        let weights = arguments.f32(1, &[batch, if over_channels { channels } else { places }])?;
        Ok(Self { batch, channels, places, over_channels, floor, x, weights })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let workspace = if self.over_channels { SEGMENTS_SUM } else { 0 };
        Ok(Plan { shared: 0, workspace, tiles: [0, product(&[self.batch, self.per_batch()])?] })
    }

    fn work(&self) -> usize {
        amount(&[self.batch, self.channels, self.places, 4])
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y, deviation] = outputs(out)?;
        let kept = self.kept();
        let y = y.f32(&[self.batch, kept])?;
        let mut deviation = deviation.optional_f32(&[self.batch, kept])?;
        let reduced = if self.over_channels { self.channels } else { self.places };
        for tile in tiles {
            let (batch, i) = (tile / self.per_batch(), tile % self.per_batch());
            let x = row_of(self.x, batch, self.channels * self.places);
            let weights = row_of(self.weights, batch, reduced);
            let kept_here = if self.over_channels { i * CHUNK..kept.min((i + 1) * CHUNK) } else { i..i + 1 };
            let at = batch * kept + kept_here.start..batch * kept + kept_here.end;
            let deviation = deviation.as_mut().map(|deviation| &mut deviation[at.clone()]);
            if self.over_channels {
                self.columns(x, weights, kept_here, &mut y[at], deviation, scratch.workspace);
            } else {
                let x = row_of(x, i, self.places);
                self.row(x, weights, &mut y[at.start], deviation.map(|deviation| &mut deviation[0]));
            }
        }
        Ok(())
    }
}
