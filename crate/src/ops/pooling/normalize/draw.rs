//! Random weights: keys drawn by their softmax weights, and Gumbel noise.
//!
//! - sample: `p` of softmax; `C_j` = p_0 + … + p_j, added in f64 from index 0 on; draw i takes `u = (word_i + 1/2) / 2^32` and the first
//!   key with `C_j > u * C_last`. The weight is the number of times a key was drawn, over the number of draws.
//! - gumbel: `s + f32(-ln(-ln u))`, u of word j for key j, both logarithms in f64 (`kernel::ln`); then softmax at a temperature
//!   (Jang, Gu and Poole 2017; Maddison, Mnih and Teh 2017), or hardmax, which draws one key by its softmax weight (Gumbel 1954).
//!
//! Words are those of `kernel::philox` for the seed, the row and the purpose, so that a draw depends on nothing else. A key keeps
//! its word whatever else is hidden.

use super::softmax::exponentials;
use crate::error::{Error, Field, Reason};
use crate::kernel::ln::ln;
use crate::kernel::philox::{open_uniform, Words};
use crate::kernel::Native;

/// Keys between two stored sums: a draw goes to its block by bisection, then adds at most so many numbers.
const BLOCK: usize = 64;

/// f32 elements for the counts of a row, and for `C` before each block.
pub(super) fn workspace(length: usize) -> Result<usize, Error> {
    let sums = length.div_ceil(BLOCK) * 3;
    length.checked_add(sums).ok_or(Error::new(Reason::Size, Field::Scratch))
}

/// An f64 as three f32, exactly: each takes the leading digits of what the former left.
fn split(x: f64) -> [f32; 3] {
    let high = x as f32;
    let rest = x - f64::from(high);
    let middle = rest as f32;
    [high, middle, (rest - f64::from(middle)) as f32]
}

fn join([high, middle, low]: &[f32; 3]) -> f64 {
    f64::from(*high) + (f64::from(*middle) + f64::from(*low))
}

/// Draws keys and leaves how often each was drawn, as a share of all draws.
#[inline(never)]
pub(super) fn sample(scores: &mut [f32], factor: f32, words: Words, draws: u32, workspace: &mut [f32]) {
    if !exponentials::<Native>(scores, factor) {
        return;
    }
    let (counts, sums) = workspace.split_at_mut(scores.len());
    let (sums, _) = sums.as_chunks_mut::<3>();
    let sums = &mut sums[..scores.len().div_ceil(BLOCK)];
    let mut total = 0.0;
    for (sum, block) in sums.iter_mut().zip(scores.chunks(BLOCK)) {
        *sum = split(total);
        total = block.iter().fold(total, |total, p| total + f64::from(*p));
    }
    counts.fill(0.0);
    for draw in 0..draws {
        let word = words.four(draw / 4)[(draw % 4) as usize];
        let target = open_uniform(word) * total;
        let block = sums.partition_point(|sum| join(sum) <= target) - 1;
        let mut reached = join(&sums[block]);
        for (p, count) in scores.iter().zip(counts.iter_mut()).skip(block * BLOCK) {
            reached += f64::from(*p);
            if reached > target {
                *count += 1.0;
                break;
            }
        }
    }
    for (weight, count) in scores.iter_mut().zip(counts) {
        *weight = *count / draws as f32;
    }
}

/// Adds standard Gumbel noise to every score; a hidden one stays hidden.
#[inline(never)]
pub(super) fn add_gumbel(scores: &mut [f32], words: Words) {
    let (fours, _) = scores.as_chunks_mut::<4>();
    for (block, four) in fours.iter_mut().enumerate() {
        for (s, word) in four.iter_mut().zip(words.four(block as u32)) {
            *s += -ln(-ln(open_uniform(word))) as f32;
        }
    }
}
