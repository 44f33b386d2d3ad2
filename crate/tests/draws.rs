//! Random weights: equal to plain loops over the same words, spread as their probabilities say, and dependent on nothing else.

mod weights;

use saccade::kernel::philox::{open_uniform, Purpose, Words};
use weights::*;

fn uniform(seed: u64, row: u64, purpose: Purpose, i: usize) -> f64 {
    open_uniform(Words::new(seed, row, purpose).four(i as u32 / 4)[i % 4])
}

/// `-ln(-ln u)` of each key, with the standard library's logarithm.
fn noise(seed: u64, row: u64, n: usize) -> Vec<f32> {
    (0..n).map(|j| -(-uniform(seed, row, Purpose::Gumbel, j).ln()).ln() as f32).collect()
}

/// The statistic of Pearson for counts against expected ones, keys under five expected counts taken together.
fn chi_square(counts: &[f64], probabilities: &[f64], draws: f64) -> (f64, f64) {
    let (mut chi, mut bins, mut rest) = (0.0, 0.0, (0.0, 0.0));
    for (count, p) in counts.iter().zip(probabilities) {
        if p * draws < 5.0 {
            rest = (rest.0 + count, rest.1 + p * draws);
        } else {
            (chi, bins) = (chi + (count - p * draws).powi(2) / (p * draws), bins + 1.0);
        }
    }
    if rest.1 > 0.0 {
        (chi, bins) = (chi + (rest.0 - rest.1).powi(2) / rest.1, bins + 1.0);
    }
    (chi, bins - 1.0)
}

/// Mean of the statistic plus four and a half of its standard deviations.
fn assert_plausible((chi, freedom): (f64, f64)) {
    let bound = freedom + 4.5 * (2.0 * freedom).sqrt();
    println!("chi-square {chi:.1} at {freedom} degrees of freedom");
    assert!(chi < bound, "{chi} at {freedom}");
}

#[test]
fn sample_is_the_inverse_of_the_cumulative_sum() {
    for scores in rows() {
        for draws in [1, 2, 5, 100] {
            for (seed, row) in [(0, 0), (7, 3), ((1 << 53) - 1, 1 << 33)] {
                let sample = Choice { count: draws, seed, ..choice(SAMPLE) };
                let got = weights_of_row(sample, row, &scores);
                // p up to the one factor that no choice depends on.
                let w: Vec<f64> = exponentials(&scores);
                let total = w.iter().fold(0.0, |sum, w| sum + w);
                let mut want = vec![0.0; scores.len()];
                for i in 0..draws as usize {
                    let target = uniform(seed, row, Purpose::Sample, i) * total;
                    let mut sum = 0.0;
                    let drawn = w.iter().position(|w| {
                        sum += w;
                        sum > target
                    });
                    if let Some(drawn) = drawn {
                        want[drawn] += 1.0;
                    }
                }
                assert_eq!(got, want.iter().map(|n| *n / draws as f32).collect::<Vec<f32>>());
            }
        }
    }
}

/// The f32 exponentials that sample adds, in f64.
fn exponentials(scores: &[f32]) -> Vec<f64> {
    use saccade::kernel::{exp::exp2, portable::F32x4, Lanes};
    let t: Vec<f32> = scores.iter().map(|s| s * std::f32::consts::LOG2_E).collect();
    let m = t.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let p = |t: f32| f64::from(exp2(F32x4::splat(t - m)).to_array()[0]);
    t.into_iter().map(|t| if t == HIDDEN { 0.0 } else { p(t) }).collect()
}

#[test]
fn sample_draws_by_the_softmax_weights() {
    let scores = paint_hidden(100, 5);
    let probabilities = softmax_reference(&scores, 1.0);
    let draws = 100_000;
    let many = weights(Choice { count: draws, ..choice(SAMPLE) }, &scores);
    let counts: Vec<f64> = many.iter().map(|w| (f64::from(*w) * f64::from(draws)).round()).collect();
    assert_eq!(counts.iter().sum::<f64>(), f64::from(draws));
    assert_plausible(chi_square(&counts, &probabilities, f64::from(draws)));

    let mut counts = vec![0.0; scores.len()];
    for row in 0..50_000 {
        for (count, w) in counts.iter_mut().zip(weights_of_row(choice(SAMPLE), row, &scores)) {
            *count += f64::from(w);
        }
    }
    assert_plausible(chi_square(&counts, &probabilities, 50_000.0));
}

#[test]
fn gumbel_is_softmax_of_scores_under_noise() {
    for scores in rows() {
        for (seed, row) in [(7, 0), (1 << 40, 9)] {
            let noisy: Vec<f32> = scores.iter().zip(noise(seed, row, scores.len())).map(|(s, g)| s + g).collect();
            for number in [0.5, 2.0] {
                let got = weights_of_row(Choice { seed, number, ..choice(GUMBEL) }, row, &scores);
                assert_eq!(got, weights(Choice { number, ..choice(SOFTMAX) }, &noisy));
            }
            let hard = weights_of_row(Choice { seed, hard: 1, ..choice(GUMBEL) }, row, &scores);
            assert_eq!(hard, weights(choice(HARDMAX), &noisy));
        }
    }
}

#[test]
fn gumbel_noise_has_its_mean_and_variance() {
    let noise: Vec<f64> = (0..2000).flat_map(|row| noise(11, row, 64)).map(f64::from).collect();
    let n = noise.len() as f64;
    let mean = noise.iter().sum::<f64>() / n;
    let variance = noise.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / n;
    // Four standard errors: sqrt(1.645 / n), and sqrt((5.4 - 1) 1.645^2 / n).
    assert!((mean - 0.577_215_7).abs() < 4.0 * (1.645 / n).sqrt(), "{mean}");
    assert!((variance - 1.644_934).abs() < 4.0 * (4.4f64 * 2.706 / n).sqrt(), "{variance}");
}

#[test]
fn hard_gumbel_draws_by_the_softmax_weights() {
    let scores = paint_hidden(100, 6);
    let mut counts = vec![0.0; scores.len()];
    for row in 0..50_000 {
        for (count, w) in counts.iter_mut().zip(weights_of_row(Choice { hard: 1, ..choice(GUMBEL) }, row, &scores)) {
            *count += f64::from(w);
        }
    }
    assert_plausible(chi_square(&counts, &softmax_reference(&scores, 1.0), 50_000.0));
}

#[test]
fn a_key_keeps_its_noise_whatever_else_is_hidden() {
    let scores = paint(70, 3);
    let all = weights(choice(GUMBEL), &scores);
    let mut fewer = scores.clone();
    fewer[2..40].fill(HIDDEN);
    let some = weights(choice(GUMBEL), &fewer);
    let ratio = |j: usize| f64::from(all[j]) / f64::from(some[j]);
    for j in [0, 1, 40, 69] {
        assert!((ratio(j) / ratio(1) - 1.0).abs() < 1e-6);
    }
}

#[test]
fn seeds_rows_and_purposes_draw_apart() {
    let scores = [0.0; 64];
    let drawn = |choice: Choice, row: u64| weights_of_row(choice, row, &scores).iter().position(|w| *w == 1.0);
    let sample = |seed: u64| Choice { seed, ..choice(SAMPLE) };
    let hard = |seed: u64| Choice { seed, hard: 1, ..choice(GUMBEL) };
    for choose in [&sample as &dyn Fn(u64) -> Choice, &hard] {
        let by_row: Vec<_> = (0..200).map(|row| drawn(choose(1), row)).collect();
        let by_seed: Vec<_> = (0..200).map(|seed| drawn(choose(seed), 1)).collect();
        let high: Vec<_> = (0..200).map(|seed| drawn(choose(1 + (seed << 32)), 0)).collect();
        for draws in [by_row, by_seed, high] {
            let distinct: std::collections::HashSet<_> = draws.iter().collect();
            // 200 draws from 64 keys leave 2.7 of them out on average.
            assert!(distinct.len() > 52, "{}", distinct.len());
        }
    }
}
