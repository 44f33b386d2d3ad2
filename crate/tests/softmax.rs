//! Softmax, its logarithm and log-sum-exp: against f64 within the stated bound, and the laws of axes, masks and lengths.

mod call;

use call::{bell, bits, call, call_in_steps};
use saccade::ops::Input;

const SOFTMAX: u32 = 10;
const LENGTHS: [usize; 18] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 127, 128, 129, 200, 577, 4096];
const NAN: u32 = 0x7fc0_0000;

/// A call along an axis; sizes of mask and lengths are given beside their elements.
#[derive(Clone, Copy, Default)]
struct Call<'a> {
    sizes: &'a [u32],
    axis: usize,
    log: bool,
    temperature: f64,
    mask: Option<(&'a [u32], &'a [u8])>,
    lengths: Option<(&'a [u32], &'a [i32])>,
}

impl Call<'_> {
    fn integers(&self, form: u32) -> Vec<u32> {
        let missing = 8 - self.sizes.len();
        let padded = |sizes: Option<&[u32]>| {
            let mut all = [1; 8];
            if let Some(sizes) = sizes {
                all[missing..].copy_from_slice(sizes);
            }
            all
        };
        let lists = [Some(self.sizes), self.mask.map(|mask| mask.0), self.lengths.map(|lengths| lengths.0)].map(padded);
        [&[form, (self.axis + missing) as u32], lists.as_flattened()].concat()
    }

    fn inputs<'b>(&'b self, x: &'b [f32]) -> [Input<'b>; 3] {
        let mask = self.mask.map_or(Input::Absent, |mask| Input::Bool(mask.1));
        [Input::F32(x), mask, self.lengths.map_or(Input::Absent, |lengths| Input::I32(lengths.1))]
    }

    fn softmax(&self, x: &[f32]) -> Vec<f32> {
        let temperature = if self.temperature == 0.0 { 1.0 } else { self.temperature };
        call(SOFTMAX, &self.integers(u32::from(self.log)), &[temperature], &self.inputs(x), x.len())
    }

    fn log_sum_exp(&self, x: &[f32]) -> Vec<f32> {
        let rows = self.sizes.iter().enumerate().filter(|(a, _)| *a != self.axis).map(|(_, n)| *n as usize).product();
        let temperature = if self.temperature == 0.0 { 1.0 } else { self.temperature };
        call(SOFTMAX, &self.integers(2), &[temperature], &self.inputs(x), rows)
    }
}

fn row(sizes: &[u32]) -> Call<'_> {
    Call { sizes, axis: sizes.len() - 1, ..Call::default() }
}

/// The largest share of the bound that the errors of one row take: softmax, its logarithm, log-sum-exp.
fn margins(x: &[f32], temperature: f64, results: [&[f32]; 3]) -> [f64; 3] {
    let u = 2f64.powi(-24);
    let scores: Vec<f64> = x.iter().map(|x| f64::from(*x) / temperature).collect();
    let m = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let l: f64 = scores.iter().map(|s| (s - m).exp()).sum();
    let h = |s: f64| 2.0 * s.abs() + (s - m).abs() + 2.6;
    let blocks = x.len().div_ceil(64) as f64;
    let all: f64 = scores.iter().map(|s| (s - m).exp() / l * h(*s)).sum::<f64>() + 19.0 + blocks.log2().ceil();
    let mut worst = [0.0f64; 3];
    for (j, s) in scores.iter().enumerate() {
        let (w, y) = ((s - m).exp() / l, s - m - l.ln());
        let plain = (f64::from(results[0][j]) - w).abs() / (u * w * (h(*s) + all + 2.0) + f64::from(f32::MIN_POSITIVE));
        let log = (f64::from(results[1][j]) - y).abs() / (u * (2.0 * s.abs() + all + y.abs()));
        (worst[0], worst[1]) = (worst[0].max(plain), worst[1].max(log));
    }
    let y = m + l.ln();
    worst[2] = (f64::from(results[2][0]) - y).abs() / (u * (all + y.abs()));
    worst
}

#[test]
fn within_the_bound() {
    let mut worst = [0.0f64; 3];
    for (seed, n) in LENGTHS.into_iter().enumerate().skip(1) {
        for gain in [0.01, 1.0, 30.0, 1000.0] {
            for temperature in [1.0, 0.3, 7.0] {
                let x: Vec<f32> = bell(seed as u32, n).iter().map(|x| x * gain).collect();
                let sizes = [n as u32];
                let plain = Call { temperature, ..row(&sizes) };
                let log = Call { log: true, ..plain };
                let of_row = margins(&x, temperature, [&plain.softmax(&x), &log.softmax(&x), &plain.log_sum_exp(&x)]);
                worst = std::array::from_fn(|i| worst[i].max(of_row[i]));
            }
        }
    }
    println!("softmax {:.3}, its logarithm {:.3}, log-sum-exp {:.3} of the bound", worst[0], worst[1], worst[2]);
    // A temperature whose factor rounds by nearly half a unit, and scores of opposite signs, almost reach it.
    assert!(worst.iter().all(|margin| *margin > 0.0 && *margin < 1.0), "{worst:?}");
}

#[test]
fn any_axis_has_the_bits_of_the_last() {
    for (seed, n) in LENGTHS.into_iter().enumerate() {
        for inner in [1, 2, 3, 5, 15, 16, 17] {
            let x = bell(seed as u32 + 50, 2 * n * inner);
            let sizes = [2, n as u32, inner as u32];
            let middle = Call { sizes: &sizes, axis: 1, ..Call::default() };
            let results = [middle.softmax(&x), Call { log: true, ..middle }.softmax(&x), middle.log_sum_exp(&x)];
            for (o, i) in (0..2).flat_map(|o| (0..inner).map(move |i| (o, i))) {
                let at = |k: usize| (o * n + k) * inner + i;
                let alone: Vec<f32> = (0..n).map(|k| x[at(k)]).collect();
                let sizes = [n as u32];
                let last = row(&sizes);
                let column = |y: &[f32]| (0..n).map(|k| y[at(k)]).collect::<Vec<_>>();
                assert_eq!(bits(&column(&results[0])), bits(&last.softmax(&alone)));
                assert_eq!(bits(&column(&results[1])), bits(&Call { log: true, ..last }.softmax(&alone)));
                assert_eq!(results[2][o * inner + i].to_bits(), last.log_sum_exp(&alone)[0].to_bits());
            }
        }
    }
}

#[test]
fn a_mask_is_a_score_of_minus_infinity_and_hides_anything() {
    let (outer, n, inner) = (2, 67, 5);
    let sizes = [outer as u32, n as u32, inner as u32];
    for mask_sizes in [[2, 67, 5], [1, 67, 5], [2, 1, 5], [2, 67, 1], [1, 67, 1], [1, 1, 5], [1, 1, 1]] {
        let count = mask_sizes.iter().product::<u32>() as usize;
        let mask: Vec<u8> = bell(3, count).iter().map(|x| u8::from(*x > -0.2) * 7).collect();
        let mut hidden = bell(4, outer * n * inner);
        let mut poisoned = hidden.clone();
        for (o, k, i) in (0..outer).flat_map(|o| (0..n).flat_map(move |k| (0..inner).map(move |i| (o, k, i)))) {
            let place = |index: usize, size: u32| if size == 1 { 0 } else { index };
            let at = (place(o, mask_sizes[0]) * mask_sizes[1] as usize + place(k, mask_sizes[1]))
                * mask_sizes[2] as usize
                + place(i, mask_sizes[2]);
            if mask[at] == 0 {
                hidden[(o * n + k) * inner + i] = f32::NEG_INFINITY;
                poisoned[(o * n + k) * inner + i] = [f32::NAN, f32::INFINITY, f32::MAX][k % 3];
            }
        }
        for log in [false, true] {
            let open = Call { sizes: &sizes, axis: 1, log, ..Call::default() };
            let masked = Call { mask: Some((&mask_sizes, &mask)), ..open };
            assert_eq!(bits(&masked.softmax(&poisoned)), bits(&open.softmax(&hidden)), "{mask_sizes:?}");
            assert_eq!(bits(&masked.log_sum_exp(&poisoned)), bits(&open.log_sum_exp(&hidden)));
        }
    }
}

#[test]
fn lengths_hide_what_lies_behind() {
    let (batch, queries, keys) = (3, 4, 70);
    let sizes = [batch as u32, queries as u32, keys as u32];
    let x = bell(9, batch * queries * keys);
    let check = |length_sizes: [u32; 3], lengths: &[i32]| {
        let mut poisoned = x.clone();
        let got_of = |x: &[f32]| {
            let call = Call { sizes: &sizes, axis: 2, lengths: Some((&length_sizes, lengths)), ..Call::default() };
            (call.softmax(x), call.log_sum_exp(x))
        };
        let clean = got_of(&x);
        for (r, row_of_x) in poisoned.chunks_exact_mut(keys).enumerate() {
            let length = lengths[if length_sizes[1] == 1 { r / queries } else { r }].clamp(0, keys as i32) as usize;
            row_of_x[length..].fill(f32::NAN);
            let got = &clean.0[r * keys..][..keys];
            let alone = [length as u32];
            assert_eq!(bits(&got[..length]), bits(&row(&alone).softmax(&row_of_x[..length])));
            assert!(got[length..].iter().all(|w| w.to_bits() == 0));
        }
        let poisoned = got_of(&poisoned);
        assert_eq!((bits(&poisoned.0), bits(&poisoned.1)), (bits(&clean.0), bits(&clean.1)));
    };
    check([3, 1, 1], &[70, 0, 33]);
    check([3, 4, 1], &[0, 1, 2, 3, 64, 65, 66, 70, 9, 63, -5, 99]);
}

#[test]
fn rows_of_nothing_nan_and_infinity() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let three = |x: &[f32]| {
        let sizes = [x.len() as u32];
        let call = row(&sizes);
        (bits(&call.softmax(x)), bits(&Call { log: true, ..call }.softmax(x)), bits(&call.log_sum_exp(x)))
    };
    let minus = (-inf).to_bits();
    assert_eq!(three(&[-inf, -inf]), (vec![0; 2], vec![minus; 2], vec![minus]));
    for x in [[nan, 1.0], [inf, 1.0], [nan, -inf], [inf, -inf], [inf, inf], [nan, nan]] {
        assert_eq!(three(&x), (vec![NAN; 2], vec![NAN; 2], vec![NAN]), "{x:?}");
    }
    assert_eq!(three(&[5.0]).0, [1f32.to_bits()]);
    assert_eq!(three(&[5.0]).1, [0f32.to_bits()]);
    // Finite scores never turn into something else: equal ones are uniform, however large.
    for x in [f32::MAX, -f32::MAX, 3e38, -3.4e38, 0.0, 1e-40] {
        assert_eq!(three(&[x, x]).0, [0.5f32.to_bits(); 2], "{x:e}");
    }
    assert_eq!(three(&[f32::MAX, -f32::MAX]).0, [1f32.to_bits(), 0]);
    let empty = [2, 0];
    let rows = Call { sizes: &empty, axis: 1, ..Call::default() };
    assert_eq!(bits(&rows.log_sum_exp(&[])), [minus; 2]);
}

#[test]
fn tiles_in_any_steps_have_the_same_bits() {
    let sizes = [5, 66, 7];
    let x = bell(12, 5 * 66 * 7);
    let call = Call { sizes: &sizes, axis: 1, ..Call::default() };
    let integers = call.integers(0);
    let whole = call.softmax(&x);
    for step in [1, 3] {
        let parts = call_in_steps(SOFTMAX, &integers, &[1.0], &call.inputs(&x), &[x.len()], step).unwrap();
        assert_eq!(bits(&parts[0]), bits(&whole));
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let x = [0.0; 6];
    let refused = |integers: &[u32], floats: &[f64], inputs: &[Input<'_>]| {
        call_in_steps(SOFTMAX, integers, floats, inputs, &[6], 1).unwrap_err()
    };
    let sizes = [2, 3];
    let (good, input) = (row(&sizes).integers(0), [Input::F32(&x)]);
    assert!(call_in_steps(SOFTMAX, &good, &[1.0], &input, &[6], 1).is_ok());
    for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-39, 1e60] {
        refused(&good, &[temperature], &input);
    }
    refused(&good, &[], &input);
    refused(&good[..25], &[1.0], &input);
    refused(&good, &[1.0], &[Input::F32(&x[..5])]);
    refused(&good, &[1.0], &[Input::I32(&[0; 6])]);
    // Form, axis, sizes of x, of the mask, of the lengths; and lengths along the axis.
    for (at, wrong) in [(0, 3), (1, 8), (8, 4), (8, u32::MAX), (17, 2), (24, 3), (25, 3)] {
        let mut integers = good.clone();
        integers[at] = wrong;
        refused(&integers, &[1.0], &input);
    }
    let with = |at: usize, size: u32| {
        let mut integers = good.clone();
        integers[at] = size;
        integers
    };
    refused(&with(17, 3), &[1.0], &[Input::F32(&x), Input::Bool(&[1; 2])]);
    refused(&with(24, 2), &[1.0], &[Input::F32(&x), Input::Absent, Input::I32(&[1])]);
    assert!(call_in_steps(SOFTMAX, &good, &[1.0], &input, &[5], 1).is_err());
}
