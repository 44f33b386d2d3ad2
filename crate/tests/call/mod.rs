//! Calling an operator by its number, with scratch memory full of NaN and canaries behind it.
#![allow(dead_code)]

use saccade::error::Error;
use saccade::ops::{plan, run, Arguments, Input, Output};

/// Runs all phases of an operator, `step` tiles at a time; f32 outputs of the lengths given come back.
pub fn call_in_steps(
    number: u32,
    integers: &[u32],
    floats: &[f64],
    inputs: &[Input<'_>],
    lengths: &[usize],
    step: usize,
) -> Result<Vec<Vec<f32>>, Error> {
    const CANARY: u32 = 0xdead_beef;
    let arguments = Arguments { integers, floats, inputs };
    let plan = plan(number, &arguments)?;
    let needed = plan.scratch()?;
    let mut scratch = vec![f32::NAN; needed + 64];
    scratch[needed..].fill(f32::from_bits(CANARY));
    let mut results: Vec<Vec<f32>> = lengths.iter().map(|n| vec![f32::from_bits(CANARY); *n]).collect();
    for (phase, tiles) in plan.tiles.into_iter().enumerate() {
        for first in (0..tiles).step_by(step) {
            let mut outputs: Vec<Output<'_>> = results.iter_mut().map(|data| Output::F32(data)).collect();
            run(number, &arguments, &mut outputs, &mut scratch[..needed], phase, first..first + step)?;
        }
    }
    assert!(scratch[needed..].iter().all(|x| x.to_bits() == CANARY));
    Ok(results)
}

/// [`call_in_steps`], all tiles at once, for one output.
pub fn call(number: u32, integers: &[u32], floats: &[f64], inputs: &[Input<'_>], length: usize) -> Vec<f32> {
    call_in_steps(number, integers, floats, inputs, &[length], usize::MAX).unwrap().remove(0)
}

/// Numbers of both signs, sums of four words: near a normal distribution of deviation 0.58.
pub fn bell(seed: u32, count: usize) -> Vec<f32> {
    let mix = |mut x: u32| {
        x = (x ^ x >> 16).wrapping_mul(0x85eb_ca6b);
        x = (x ^ x >> 13).wrapping_mul(0xc2b2_ae35);
        x ^ x >> 16
    };
    let half = |i: u32| {
        let word = mix(seed.wrapping_mul(0x9e37_79b9).wrapping_add(i));
        i32::from(word as i16) + i32::from((word >> 16) as i16)
    };
    (0..count as u32).map(|i| (half(2 * i) + half(2 * i + 1)) as f32 / 65_536.0).collect()
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}
