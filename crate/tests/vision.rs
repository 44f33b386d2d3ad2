//! The operators of space, channels and time: stated order to the bit, f64 within the stated bound, tails, empty sizes, NaN.

mod painted;

use painted::{paint, Paint};
use saccade::error::Reason;
use saccade::ops::{plan, run, Arguments, Input, Output};

const U: f64 = 1.0 / 16_777_216.0;
const LENGTHS: [usize; 17] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 129, 200];

const POOL: u32 = 30;
const CONVOLUTION: u32 = 31;
const GATE: u32 = 32;
const WEIGHTED_SUM: u32 = 33;

fn bell(seed: u32, count: usize) -> Vec<f32> {
    paint(&Paint { rule: "bell".into(), seed, gain: None }, count)
}

/// Runs an operator tile by tile, the last first; outputs and scratch are full of NaN before.
fn call(
    number: u32,
    integers: &[usize],
    floats: &[f64],
    inputs: &[Option<&[f32]>],
    outputs: &[usize],
) -> Vec<Vec<f32>> {
    let integers: Vec<u32> = integers.iter().map(|n| *n as u32).collect();
    let inputs: Vec<Input<'_>> = inputs.iter().map(|x| x.map_or(Input::Absent, Input::F32)).collect();
    let arguments = Arguments { integers: &integers, floats, inputs: &inputs };
    let planned = plan(number, &arguments).unwrap();
    let mut scratch = vec![f32::NAN; planned.scratch().unwrap()];
    let mut results: Vec<Vec<f32>> = outputs.iter().map(|n| vec![f32::NAN; *n]).collect();
    let absent = |n: &usize| *n == usize::MAX;
    for phase in 0..planned.tiles.len() {
        for tile in (0..planned.tiles[phase]).rev() {
            let mut outputs: Vec<Output<'_>> = results.iter_mut().map(|x| Output::F32(x)).collect();
            while outputs.len() < 2 {
                outputs.push(Output::Absent);
            }
            run(number, &arguments, &mut outputs, &mut scratch, phase, tile..tile + 1).unwrap();
        }
    }
    assert!(!outputs.iter().any(absent));
    results
}

fn one(number: u32, integers: &[usize], inputs: &[Option<&[f32]>], count: usize) -> Vec<f32> {
    call(number, integers, &[0.0], inputs, &[count]).remove(0)
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// The sum of a row: blocks of 64, four sums in a block, blocks along the aligned tree.
fn row_sum(row: &[f32]) -> f32 {
    fn tree(blocks: &[f32]) -> f32 {
        match blocks.len() {
            0 => 0.0,
            1 => blocks[0],
            n => {
                let left = n.next_power_of_two() / 2;
                tree(&blocks[..left]) + tree(&blocks[left..])
            }
        }
    }
    let block = |block: &[f32]| {
        let part = |r: usize| block.iter().skip(r).step_by(4).fold(0.0f32, |sum, x| sum + x);
        (part(0) + part(2)) + (part(1) + part(3))
    };
    tree(&row.chunks(64).map(block).collect::<Vec<_>>())
}

/// One sum per segment of 64, the segments' sums in order.
fn column_sum(terms: &[f32]) -> f32 {
    let segments = terms.chunks(64).map(|segment| segment.iter().fold(0.0f32, |sum, x| sum + x));
    segments.fold(0.0, |total, segment| total + segment)
}

#[test]
fn averages_and_maxima_along_places_and_channels() {
    for (i, &places) in LENGTHS.iter().enumerate() {
        let (batch, channels) = (2, 3);
        let x = bell(i as u32, batch * channels * places);
        let y = one(POOL, &[batch, channels, places, 0, 2], &[Some(&x)], batch * 2 * channels);
        for b in 0..batch {
            for c in 0..channels {
                let row = &x[(b * channels + c) * places..][..places];
                let average = if places == 0 { 0.0 } else { row_sum(row) / places as f32 };
                let exact = row.iter().map(|x| f64::from(*x)).sum::<f64>() / places.max(1) as f64;
                let size = row.iter().map(|x| f64::from(x.abs())).sum::<f64>() / places.max(1) as f64;
                let largest = row.iter().copied().reduce(f32::max).unwrap_or(0.0);
                assert_eq!(y[(b * 2) * channels + c].to_bits(), average.to_bits(), "{places} places");
                assert_eq!(y[(b * 2 + 1) * channels + c], largest);
                assert!((f64::from(average) - exact).abs() <= U * 21.0 * size);
            }
        }
        // The same numbers down the channels.
        let (channels, places) = (places, 21);
        let x = bell(i as u32 + 100, batch * channels * places);
        let y = one(POOL, &[batch, channels, places, 1, 3], &[Some(&x)], batch * 2 * places);
        for b in 0..batch {
            for p in 0..places {
                let column: Vec<f32> = (0..channels).map(|c| x[(b * channels + c) * places + p]).collect();
                let average = column_sum(&column) / channels.max(1) as f32;
                let largest = column.iter().copied().reduce(f32::max).unwrap_or(0.0);
                assert_eq!(y[b * 2 * places + p], largest);
                assert_eq!(y[(b * 2 + 1) * places + p].to_bits(), average.to_bits(), "{channels} channels");
            }
        }
    }
}

#[test]
fn every_choice_of_parts() {
    let x = bell(3, 5 * 6);
    for along in [0, 1] {
        let n = [5, 6][along];
        let both = one(POOL, &[1, 5, 6, along, 2], &[Some(&x)], 2 * n);
        let (average, largest) = both.split_at(n);
        assert_eq!(one(POOL, &[1, 5, 6, along, 0], &[Some(&x)], n), average);
        assert_eq!(one(POOL, &[1, 5, 6, along, 1], &[Some(&x)], n), largest);
        assert_eq!(one(POOL, &[1, 5, 6, along, 3], &[Some(&x)], 2 * n), [largest, average].concat());
    }
}

#[test]
fn a_maximum_shows_nan_and_has_no_negative_zero() {
    for at in 0..19 {
        for along in [0, 1] {
            let sizes = if along == 0 { [1, 1, 19] } else { [1, 19, 1] };
            let mut x = bell(8, 19);
            x[at] = f32::from_bits(0xffc0_1234);
            let y = one(POOL, &[sizes[0], sizes[1], sizes[2], along, 2], &[Some(&x)], 2);
            assert_eq!(bits(&y), [0x7fc0_0000; 2], "NaN at {at}");
            let mut x = vec![-0.0; 19];
            x[at] = 0.0;
            let y = one(POOL, &[sizes[0], sizes[1], sizes[2], along, 1], &[Some(&x)], 1);
            assert_eq!(bits(&y), [0], "zeros");
            x.fill(f32::NEG_INFINITY);
            let y = one(POOL, &[sizes[0], sizes[1], sizes[2], along, 1], &[Some(&x)], 1);
            assert_eq!(y, [f32::NEG_INFINITY]);
        }
    }
}

/// Every tap inside the plane, in the stated order, in f32 and f64, with the sum of magnitudes and the count.
fn convolve(sizes: [usize; 7], x: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<(f32, f64, f64, usize)> {
    let [batch, inner, height, width, outer, kernel_rows, kernel_columns] = sizes;
    let mut results = Vec::new();
    for at in 0..batch * outer * height * width {
        let (c, r) = (at % width, at / width % height);
        let (o, b) = (at / (width * height) % outer, at / (width * height * outer));
        let (mut sum, mut exact, mut size, mut taps) = (0.0f32, 0.0f64, 0.0f64, 0);
        for i in 0..inner {
            for u in 0..kernel_rows {
                for v in 0..kernel_columns {
                    let (row, column) =
                        ((r + u).wrapping_sub(kernel_rows / 2), (c + v).wrapping_sub(kernel_columns / 2));
                    if row < height && column < width {
                        let x = x[((b * inner + i) * height + row) * width + column];
                        let w = w[((o * inner + i) * kernel_rows + u) * kernel_columns + v];
                        sum += x * w;
                        exact += f64::from(x) * f64::from(w);
                        size += (f64::from(x) * f64::from(w)).abs();
                        taps += 1;
                    }
                }
            }
        }
        if let Some(bias) = bias {
            sum += bias[o];
            exact += f64::from(bias[o]);
            size += f64::from(bias[o].abs());
        }
        results.push((sum, exact, size, taps));
    }
    results
}

#[test]
fn convolution_in_its_order_and_within_its_bound() {
    let mut seed = 0;
    for width in [1, 2, 3, 4, 5, 7, 8, 9, 17, 64, 65] {
        for (height, kernel) in [(1, [1, 1]), (1, [1, 5]), (4, [3, 3]), (3, [7, 7]), (5, [5, 1]), (9, [7, 3])] {
            for (batch, inner, outer) in [(1, 1, 1), (2, 2, 1), (1, 3, 4)] {
                seed += 3;
                let sizes = [batch, inner, height, width, outer, kernel[0], kernel[1]];
                let x = bell(seed, batch * inner * height * width);
                let w = bell(seed + 1, outer * inner * kernel[0] * kernel[1]);
                let bias = bell(seed + 2, outer);
                for bias in [None, Some(&bias[..])] {
                    let y = one(CONVOLUTION, &sizes, &[Some(&x), Some(&w), bias], batch * outer * height * width);
                    for (at, (got, want)) in y.iter().zip(convolve(sizes, &x, &w, bias)).enumerate() {
                        let (sum, exact, size, taps) = want;
                        assert_eq!(got.to_bits(), sum.to_bits(), "{sizes:?} element {at}");
                        assert!((f64::from(*got) - exact).abs() <= U * (taps as f64 + 1.0) * size);
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_outside_the_plane_is_added_whatever_its_weight() {
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for tap in 0..9 {
            for width in [1, 2, 3, 6, 9] {
                let x: Vec<f32> = bell(5, 2 * 3 * width).iter().map(|x| x.abs() + 1.0).collect();
                let mut w = bell(6, 2 * 9);
                w[9 + tap] = poison;
                let sizes = [1, 2, 3, width, 1, 3, 3];
                let y = one(CONVOLUTION, &sizes, &[Some(&x), Some(&w), None], 3 * width);
                for (got, (want, ..)) in y.iter().zip(convolve(sizes, &x, &w, None)) {
                    let want = if want.is_nan() { 0x7fc0_0000 } else { want.to_bits() };
                    assert_eq!(got.to_bits(), want, "tap {tap}, width {width}");
                }
            }
        }
    }
}

#[test]
fn planes_without_elements() {
    for sizes in [[0, 2, 3, 4, 1, 3, 3], [1, 2, 0, 4, 1, 3, 3], [1, 2, 3, 0, 1, 3, 3], [1, 2, 3, 4, 0, 3, 3]] {
        let x = vec![1.0; sizes[0] * sizes[1] * sizes[2] * sizes[3]];
        let w = vec![1.0; sizes[4] * sizes[1] * 9];
        assert!(one(CONVOLUTION, &sizes, &[Some(&x), Some(&w), None], 0).is_empty());
    }
}

#[test]
fn gates_per_channel_place_and_element() {
    for (i, &places) in LENGTHS.iter().enumerate() {
        let (batch, channels) = (2, 5);
        let x = bell(i as u32, batch * channels * places);
        for over in 0..3 {
            let count = [channels, places, channels * places][over];
            for parts in [1, 2] {
                for sigmoid in [0, 1] {
                    let scores = bell(50 + i as u32, batch * parts * count);
                    let integers = [batch, channels, places, parts, over, sigmoid];
                    let inputs = [Some(&x[..]), Some(&scores[..])];
                    let results = call(GATE, &integers, &[], &inputs, &[batch * count, x.len()]);
                    let alone = call(GATE, &integers, &[], &[None, Some(&scores)], &[batch * count]);
                    assert_eq!(bits(&alone[0]), bits(&results[0]));
                    for at in 0..x.len() {
                        let (b, c, p) = (at / (channels * places), at / places % channels, at % places);
                        let of = [c, p, c * places + p][over];
                        let score = |part: usize| scores[(b * parts + part) * count + of];
                        let sum = if parts == 1 { score(0) } else { score(0) + score(1) };
                        let gate = results[0][b * count + of];
                        if sigmoid == 0 {
                            assert_eq!(gate.to_bits(), sum.to_bits());
                        } else {
                            let exact: f64 = (0..parts).map(|part| f64::from(score(part))).sum();
                            let exact = 1.0 / (1.0 + (-exact).exp());
                            let size: f64 = (0..parts).map(|part| f64::from(score(part).abs())).sum();
                            assert!((f64::from(gate) - exact).abs() <= U * (size + 3.6), "{gate} {exact}");
                        }
                        assert_eq!(results[1][at].to_bits(), (x[at] * gate).to_bits());
                    }
                }
            }
        }
    }
}

#[test]
fn gates_of_extreme_scores() {
    let scores = [f32::NEG_INFINITY, -1e30, -90.0, -0.0, 90.0, f32::INFINITY, f32::from_bits(0xffff_ffff)];
    let x = [2.0; 7];
    let results = call(GATE, &[1, 7, 1, 1, 0, 1], &[], &[Some(&x), Some(&scores)], &[7, 7]);
    assert_eq!(results[0][..6], [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]);
    assert_eq!(results[1][..6], [0.0, 0.0, 0.0, 1.0, 2.0, 2.0]);
    assert_eq!([results[0][6].to_bits(), results[1][6].to_bits()], [0x7fc0_0000; 2]);
}

#[test]
fn weighted_sums_over_places_and_channels() {
    for (i, &length) in LENGTHS.iter().enumerate() {
        for over in [0, 1] {
            let batch = 2;
            let (channels, places) = if over == 0 { (3, length) } else { (length, 21) };
            let kept = if over == 0 { channels } else { places };
            let x = bell(i as u32, batch * channels * places);
            let weights: Vec<f32> = bell(70 + i as u32, batch * length).iter().map(|w| w / 8.0).collect();
            let results = call(
                WEIGHTED_SUM,
                &[batch, channels, places, over],
                &[1e-12],
                &[Some(&x), Some(&weights)],
                &[batch * kept, batch * kept],
            );
            for b in 0..batch {
                for k in 0..kept {
                    let element = |j: usize| match over {
                        0 => x[(b * channels + k) * places + j],
                        _ => x[(b * channels + j) * places + k],
                    };
                    let sum = |terms: &dyn Fn(usize) -> f32| {
                        let terms: Vec<f32> = (0..length).map(terms).collect();
                        if over == 0 {
                            row_sum(&terms)
                        } else {
                            column_sum(&terms)
                        }
                    };
                    let weight = |j: usize| weights[b * length + j];
                    let mean = sum(&|j| weight(j) * element(j));
                    let [got, deviation] = [0, 1].map(|output: usize| results[output][b * kept + k]);
                    assert_eq!(got.to_bits(), mean.to_bits(), "over {over}, {length}");
                    let exact: f64 = (0..length).map(|j| f64::from(weight(j)) * f64::from(element(j))).sum();
                    let size: f64 = (0..length).map(|j| (f64::from(weight(j)) * f64::from(element(j))).abs()).sum();
                    let additions = if over == 0 { 20.0 } else { length.min(64) as f64 + length.div_ceil(64) as f64 };
                    assert!((f64::from(got) - exact).abs() <= U * (additions + 2.0) * size);
                    let variance = sum(&|j| weight(j) * ((element(j) - mean) * (element(j) - mean)));
                    let larger = if variance < 1e-12 { 1e-12 } else { variance };
                    assert_eq!(deviation.to_bits(), larger.sqrt().to_bits(), "deviation over {over}, {length}");
                }
            }
        }
    }
}

#[test]
fn what_has_weight_zero_never_shows() {
    for over in [0, 1] {
        let sizes = if over == 0 { [1, 1, 70, over] } else { [1, 70, 1, over] };
        let mut x = bell(4, 70);
        let mut weights: Vec<f32> = bell(5, 70).iter().map(|w| w.abs() + 0.1).collect();
        let hidden = [(0, f32::NAN, 0.0), (33, f32::INFINITY, -0.0), (69, f32::NEG_INFINITY, 0.0)];
        for (at, _, weight) in hidden {
            (x[at], weights[at]) = (0.0, weight);
        }
        let clean = call(WEIGHTED_SUM, &sizes, &[0.0], &[Some(&x), Some(&weights)], &[1, 1]);
        for (at, poison, _) in hidden {
            x[at] = poison;
        }
        let poisoned = call(WEIGHTED_SUM, &sizes, &[0.0], &[Some(&x), Some(&weights)], &[1, 1]);
        assert_eq!(clean, poisoned, "over {over}");
        weights[33] = 1e-30;
        let seen = call(WEIGHTED_SUM, &sizes, &[0.0], &[Some(&x), Some(&weights)], &[1, 1]);
        assert_eq!(seen[0], [f32::INFINITY]);
        assert_eq!(bits(&seen[1]), [0x7fc0_0000]);
    }
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let x = [1.0; 12];
    let refused = |number, integers: &[u32], floats: &[f64], inputs: &[Input<'_>]| {
        plan(number, &Arguments { integers, floats, inputs }).unwrap_err().reason
    };
    let f32 = |n: usize| Input::F32(&x[..n]);
    assert_eq!(refused(POOL, &[1, 3, 4, 0, 4], &[], &[f32(12)]), Reason::Kind);
    assert_eq!(refused(POOL, &[1, 3, 5, 0, 0], &[], &[f32(12)]), Reason::Bounds);
    assert_eq!(refused(CONVOLUTION, &[1, 1, 3, 4, 1, 1, 2], &[], &[f32(12), f32(2)]), Reason::Value);
    assert_eq!(refused(CONVOLUTION, &[1, 0, 3, 4, 1, 1, 1], &[], &[f32(0), f32(0)]), Reason::Value);
    assert_eq!(refused(CONVOLUTION, &[1, 1, 3, 4, 1, 1, 3], &[], &[f32(12), f32(2)]), Reason::Bounds);
    assert_eq!(refused(CONVOLUTION, &[1 << 20, 1, 1 << 20, 1, 1, 1, 1], &[], &[f32(12), f32(1)]), Reason::Size);
    assert_eq!(refused(GATE, &[1, 3, 4, 0, 0, 1], &[], &[f32(12), f32(0)]), Reason::Value);
    assert_eq!(refused(GATE, &[1, 3, 4, 1, 3, 1], &[], &[f32(12), f32(3)]), Reason::Kind);
    assert_eq!(refused(GATE, &[1, 3, 4, 1, 1, 1], &[], &[f32(12), f32(3)]), Reason::Bounds);
    assert_eq!(refused(WEIGHTED_SUM, &[1, 3, 4, 0], &[f64::NAN], &[f32(12), f32(4)]), Reason::Value);
    assert_eq!(refused(WEIGHTED_SUM, &[1, 3, 4, 0], &[-1.0], &[f32(12), f32(4)]), Reason::Value);
    assert_eq!(refused(WEIGHTED_SUM, &[1, 3, 4, 1], &[0.0], &[f32(12), f32(4)]), Reason::Bounds);
}
