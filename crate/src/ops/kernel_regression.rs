//! The width of a Gaussian kernel, learned: gradient descent on the leave-one-out error of Nadaraya-Watson regression.
//!
//! With `w = 1 / width`, `K_ij = exp(-(w |x_i - x_j|)^2 / 2)` and every sum over j without i:
//! - `f_i = sum_j K_ij y_j / sum_j K_ij`, the prediction at x_i from all the other samples;
//! - `loss = sum_i |f_i - y_i|^2`;
//! - `dloss/dw = 2 sum_i (f_i - y_i) df_i/dw`, where `df_i/dw = -w sum_j K_ij (y_j - f_i) |x_i - x_j|^2 / sum_j K_ij`;
//! - `w <- | w - rate * dloss/dw |`, the loss being even in w.
//!
//! Order: per i, in f64, `d_j = sum over features of ((x_i - x_j) w)^2` and `D_j = f32(d_j - the smallest d)`, at most the largest
//! finite f32; the p_j of softmax of `-D_j / 2`, which is K up to a factor that cancels, so that a sample far from all others still
//! has a prediction; then in f64, j ascending, `sum p`, `sum p D`, `sum p y`, `sum p y D`, and
//! `-w df/dw = (sum p y D - f sum p D) / sum p`. Loss and gradient add i ascending, for each i the outputs ascending. w stays f64.
//!
//! Error: `3 u` in each p_j beside the rounding of its exponent, `u |ln p_j|`; all else is f64.
//!
//! Source: Nadaraya (1964), Watson (1964); leave one out: Stone (1974). One tile, since each step needs the one before it.

use super::pooling::normalize::softmax::exponentials;
use super::{outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::{Native, CANONICAL_NAN};
use core::ops::Range;

/// Numbers of one step in the history: the width, the loss and the gradient before it.
const STEP: usize = 3;

/// Integers: samples, features, outputs, epochs. Numbers: the first width, the rate. Inputs: x `[samples, features]`, y
/// `[samples, outputs]`. Output: `[epochs + 1, 3]`, width, loss and dloss/dw before each step and after the last.
pub struct KernelRegression<'a> {
    samples: usize,
    features: usize,
    outputs: usize,
    epochs: usize,
    width: f64,
    rate: f64,
    x: &'a [f32],
    y: &'a [f32],
}

impl KernelRegression<'_> {
    #[inline(never)]
    fn squared_distance(&self, i: usize, j: usize, w: f64) -> f64 {
        let sample = |i: usize| &self.x[i * self.features..][..self.features];
        sample(i).iter().zip(sample(j)).fold(0.0, |sum, (a, b)| {
            let difference = (f64::from(*a) - f64::from(*b)) * w;
            sum + difference * difference
        })
    }

    /// Loss and dloss/dw.
    fn loss(&self, w: f64, distances: &mut [f32], weights: &mut [f32]) -> (f64, f64) {
        let (mut loss, mut gradient) = (0.0, 0.0);
        for i in 0..self.samples {
            let mut nearest = f64::INFINITY;
            for j in 0..self.samples {
                let distance = self.squared_distance(i, j, w);
                if j != i && distance < nearest {
                    nearest = distance;
                }
            }
            for (j, (distance, score)) in distances.iter_mut().zip(weights.iter_mut()).take(self.samples).enumerate() {
                let beyond = (self.squared_distance(i, j, w) - nearest) as f32;
                // So far away p is 0, and its product with the distance must be.
                *distance = if beyond > f32::MAX { f32::MAX } else { beyond };
                *score = *distance * -0.5;
            }
            // The sample itself takes no part, nor does what pads the row.
            (distances[i], weights[i]) = (0.0, f32::NEG_INFINITY);
            weights[self.samples..].fill(f32::NEG_INFINITY);
            exponentials::<Native>(weights, core::f32::consts::LOG2_E);
            for output in 0..self.outputs {
                let y = |j: usize| f64::from(self.y[j * self.outputs + output]);
                let (mut total, mut total_distance, mut sum, mut slope) = (0.0, 0.0, 0.0, 0.0);
                for (j, (p, d)) in weights.iter().zip(distances.iter()).take(self.samples).enumerate() {
                    let (p, d) = (f64::from(*p), f64::from(*d));
                    total += p;
                    total_distance += p * d;
                    sum += p * y(j);
                    slope += p * y(j) * d;
                }
                let prediction = sum / total;
                let error = prediction - y(i);
                loss += error * error;
                gradient += error * ((slope - prediction * total_distance) / total);
            }
        }
        // At w = 0 the loss has its largest value or its smallest: it is even.
        (loss, if w == 0.0 { 0.0 } else { -2.0 * gradient / w })
    }
}

impl<'a> Operator<'a> for KernelRegression<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i: usize| arguments.integer(i);
        let (samples, features, outputs) = (integer(0)?, integer(1)?, integer(2)?);
        let (width, rate) = (arguments.finite(0)?, arguments.finite(1)?);
        if samples < 2 || width <= 0.0 {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        Ok(Self {
            samples,
            features,
            outputs,
            epochs: integer(3)?,
            width,
            rate,
            x: arguments.f32(0, &[samples, features])?,
            y: arguments.f32(1, &[samples, outputs])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let workspace = product(&[self.samples.next_multiple_of(4), 2])?;
        Ok(Plan { workspace, tiles: [0, 1], ..Plan::default() })
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [history] = outputs(out)?;
        let history = history.f32(&[self.epochs.checked_add(1).ok_or(Error::new(Reason::Size, Field::Out))?, STEP])?;
        if tiles.is_empty() {
            return Ok(());
        }
        let (distances, weights) = scratch.workspace.split_at_mut(self.samples.next_multiple_of(4));
        let mut w = 1.0 / self.width;
        let (steps, _) = history.as_chunks_mut::<STEP>();
        for step in steps {
            let (loss, gradient) = self.loss(w, distances, weights);
            *step = [1.0 / w, loss, gradient].map(|x| if x.is_nan() { CANONICAL_NAN } else { x as f32 });
            w = (w - self.rate * gradient).abs();
        }
        Ok(())
    }
}
