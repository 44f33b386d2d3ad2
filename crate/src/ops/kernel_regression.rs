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
//! Source: Nadaraya (1964), Watson (1964); leave one out: Stone (1974).
//!
//! Tiles: each step needs the one before it, but what a sample adds to a step needs no other sample. A call of one step computes that in
//! tiles and adds it up in a tile of its own; a call of all steps is one tile.

use super::pooling::normalize::softmax::exponentials;
use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::{Native, CANONICAL_NAN};
use core::ops::Range;

/// Numbers of one step in the history: the width, the loss and the gradient before it.
const STEP: usize = 3;
/// Integers that hold an f64.
const WORDS: usize = 2;
/// f64 numbers that a sample adds for each output: to the loss, and to `-w / 2` times the gradient.
const ADDED: usize = 2;
/// What a pair of samples costs, in multiply-adds of the micro-kernel.
const WORK_PER_PAIR: usize = 256;

/// Integers: samples, features, outputs, epochs, and a step to do alone, counted from 1 (0: all of them). Numbers: the first width,
/// the rate. Inputs: x `[samples, features]`, y `[samples, outputs]`. Outputs: `[epochs + 1, 3]`, width, loss and dloss/dw before each step
/// and after the last; for a step alone what each sample adds, `[samples, outputs, 2]`, and w, `[1]`, which go from one call to the
/// next: f64 in two integers.
pub struct KernelRegression<'a> {
    samples: usize,
    features: usize,
    outputs: usize,
    epochs: usize,
    /// Counted from 1; 0: all of them.
    step: usize,
    width: f64,
    rate: f64,
    x: &'a [f32],
    y: &'a [f32],
}

fn load(words: &[i32; WORDS]) -> f64 {
    f64::from_bits(u64::from(words[0] as u32) | u64::from(words[1] as u32) << 32)
}

fn words(x: f64) -> [i32; WORDS] {
    let bits = x.to_bits();
    [bits as i32, (bits >> 32) as i32]
}

fn add(sums: &mut [f64; ADDED], added: [f64; ADDED]) {
    for (sum, x) in sums.iter_mut().zip(added) {
        *sum += x;
    }
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

    /// What sample `i` adds, output by output: to the loss, and to `-w / 2` times the gradient.
    #[inline(never)]
    fn sample(&self, i: usize, w: f64, workspace: &mut [f32], add: &mut dyn FnMut(usize, [f64; ADDED])) {
        let (distances, weights) = workspace.split_at_mut(self.samples.next_multiple_of(4));
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
            add(output, [error * error, error * ((slope - prediction * total_distance) / total)]);
        }
    }

    /// A step's line of the history, and w after it.
    fn end(&self, w: f64, [loss, gradient]: [f64; ADDED], line: &mut [f32; STEP]) -> f64 {
        // At w = 0 the loss has its largest value or its smallest: it is even.
        let gradient = if w == 0.0 { 0.0 } else { -2.0 * gradient / w };
        *line = [1.0 / w, loss, gradient].map(|x| if x.is_nan() { CANONICAL_NAN } else { x as f32 });
        (w - self.rate * gradient).abs()
    }
}

impl<'a> Operator<'a> for KernelRegression<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [samples, features, outputs, epochs, step] = arguments.integers()?;
        let (width, rate) = (arguments.finite(0)?, arguments.finite(1)?);
        if samples < 2 || width <= 0.0 || step > epochs.saturating_add(1) {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        let x = arguments.f32(0, &[samples, features])?;
        let y = arguments.f32(1, &[samples, outputs])?;
        Ok(Self { samples, features, outputs, epochs, step, width, rate, x, y })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let workspace = product(&[self.samples.next_multiple_of(4), 2])?;
        let tiles = if self.step > 0 { self.samples } else { 0 };
        Ok(Plan { workspace, tiles: [tiles, 1], ..Plan::default() })
    }

    fn work(&self) -> usize {
        amount(&[self.samples, self.samples, WORK_PER_PAIR])
    }

    fn run(
        &self,
        out: &mut [Output<'_>],
        scratch: Scratch<'_>,
        phase: usize,
        tiles: Range<usize>,
    ) -> Result<(), Error> {
        let absent = Error::new(Reason::Kind, Field::Out);
        let (history, between) = out.split_first_mut().ok_or(absent)?;
        let history = history.f32(&[self.epochs.checked_add(1).ok_or(Error::new(Reason::Size, Field::Out))?, STEP])?;
        let lines = history.as_chunks_mut::<STEP>().0;
        if tiles.is_empty() {
            return Ok(());
        }
        let first = 1.0 / self.width;
        if self.step == 0 {
            let mut w = first;
            for line in lines {
                let mut sums = [0.0; ADDED];
                for i in 0..self.samples {
                    self.sample(i, w, scratch.workspace, &mut |_, added| add(&mut sums, added));
                }
                w = self.end(w, sums, line);
            }
            return Ok(());
        }
        let [added, state] = outputs(between)?;
        let added = added.optional_i32(&[self.samples, self.outputs, ADDED, WORDS])?.ok_or(absent)?;
        let added = added.as_chunks_mut::<WORDS>().0.as_chunks_mut::<ADDED>().0;
        let state = state.optional_i32(&[WORDS])?.and_then(|state| state.first_chunk_mut()).ok_or(absent)?;
        let w = if self.step == 1 { first } else { load(state) };
        if phase == 0 {
            for i in tiles {
                let of_sample = &mut added[i * self.outputs..][..self.outputs];
                self.sample(i, w, scratch.workspace, &mut |output, added| of_sample[output] = added.map(words));
            }
            return Ok(());
        }
        let mut sums = [0.0; ADDED];
        for each in added {
            add(&mut sums, each.map(|words| load(&words)));
        }
        *state = words(self.end(w, sums, &mut lines[self.step - 1]));
        Ok(())
    }
}
