//! A normaliser by its numbers, and rows of scores to try it on.

#![allow(dead_code)]

use saccade::ops::pooling::normalize::Normalize;
use saccade::ops::Arguments;

pub const SOFTMAX: u32 = 0;
pub const SUM: u32 = 1;
pub const HARDMAX: u32 = 2;
pub const TOP_K: u32 = 3;
pub const THRESHOLD: u32 = 4;
pub const SAMPLE: u32 = 5;
pub const GUMBEL: u32 = 6;
pub const SPARSEMAX: u32 = 7;
pub const SIGMOID: u32 = 8;
pub const HIDDEN: f32 = f32::NEG_INFINITY;
pub const U: f64 = 1.0 / 16_777_216.0;
pub const LENGTHS: [usize; 14] = [1, 3, 4, 5, 7, 8, 9, 63, 64, 65, 127, 128, 129, 1000];

/// A normaliser's integers after its kind, and its number.
#[derive(Clone, Copy)]
pub struct Choice {
    pub kind: u32,
    pub count: u32,
    pub hard: u32,
    pub seed: u64,
    pub number: f64,
}

pub fn choice(kind: u32) -> Choice {
    Choice { kind, count: 1, hard: 0, seed: 7, number: 1.0 }
}

pub fn read(choice: Choice, logarithms: bool) -> Result<Normalize, saccade::error::Error> {
    let integers = [choice.kind, choice.count, choice.hard, choice.seed as u32, (choice.seed >> 32) as u32];
    let arguments = Arguments { integers: &integers, floats: &[choice.number], inputs: &[] };
    Normalize::read(&arguments, 0, 0, logarithms)
}

/// The weights of a row of any length, which is padded as the operator pads it.
pub fn weights_of_row(choice: Choice, row: u64, scores: &[f32]) -> Vec<f32> {
    let normalize = read(choice, false).unwrap();
    let mut padded = scores.to_vec();
    padded.resize(scores.len().next_multiple_of(4), HIDDEN);
    // What an earlier row left in the workspace must not matter, nor that it is larger.
    let mut workspace = vec![f32::NAN; normalize.workspace(padded.len()).unwrap() + 100];
    workspace.iter_mut().skip(1).step_by(2).for_each(|left| *left = 0.0);
    normalize.apply(row, &mut padded, &mut workspace);
    for pad in &padded[scores.len()..] {
        assert_eq!(pad.to_bits(), 0, "a padded key has a weight");
    }
    padded.truncate(scores.len());
    padded
}

pub fn weights(choice: Choice, scores: &[f32]) -> Vec<f32> {
    weights_of_row(choice, 0, scores)
}

/// Numbers in [-4, 4) with ties now and then.
pub fn paint(n: usize, seed: u32) -> Vec<f32> {
    (0..n as u32)
        .map(|i| {
            let mut x = (seed.wrapping_mul(0x9e37_79b9)).wrapping_add(i);
            x = (x ^ x >> 16).wrapping_mul(0x85eb_ca6b);
            x = (x ^ x >> 13).wrapping_mul(0xc2b2_ae35);
            ((x >> 16) as i32 - 32_768) as f32 / 8192.0
        })
        .collect()
}

/// With a key hidden here and there.
pub fn paint_hidden(n: usize, seed: u32) -> Vec<f32> {
    let hide = paint(n, seed + 1000);
    paint(n, seed).into_iter().zip(hide).map(|(s, h)| if h < -2.0 { HIDDEN } else { s }).collect()
}

pub fn rows() -> impl Iterator<Item = Vec<f32>> {
    LENGTHS
        .into_iter()
        .flat_map(|n| (0..4).map(move |seed| if seed < 2 { paint(n, seed) } else { paint_hidden(n, seed) }))
}

/// Softmax in f64.
pub fn softmax_reference(scores: &[f32], temperature: f64) -> Vec<f64> {
    let m = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(f64::from(*s)));
    if m == f64::NEG_INFINITY {
        return vec![0.0; scores.len()];
    }
    let p: Vec<f64> = scores.iter().map(|s| ((f64::from(*s) - m) / temperature).exp()).collect();
    let l: f64 = p.iter().sum();
    p.iter().map(|p| p / l).collect()
}
