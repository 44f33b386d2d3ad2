//! Layer normalisation: f64 within the stated bound, tails, axes, NaN, constant rows, large means, empty sizes.

mod call;

use call::{bell, bits, call, call_in_steps};
use saccade::error::Reason;
use saccade::ops::{plan, Arguments, Input};

const LAYER_NORM: u32 = 12;
const U: f64 = 1.0 / (1 << 24) as f64;

struct Rows {
    outer: usize,
    n: usize,
    inner: usize,
    root_mean_square: bool,
    epsilon: f64,
    x: Vec<f32>,
    weight: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
}

fn optional(x: &Option<Vec<f32>>) -> Input<'_> {
    x.as_deref().map_or(Input::Absent, Input::F32)
}

impl Rows {
    fn painted(outer: usize, n: usize, inner: usize) -> Self {
        let x = bell(1, outer * n * inner);
        let (weight, bias) = (Some(bell(2, n)), Some(bell(3, n)));
        Self { outer, n, inner, root_mean_square: false, epsilon: 1e-5, x, weight, bias }
    }

    fn integers(&self) -> [u32; 4] {
        [self.outer as u32, self.n as u32, self.inner as u32, u32::from(self.root_mean_square)]
    }

    fn run(&self) -> Vec<f32> {
        let inputs = [Input::F32(&self.x), optional(&self.weight), optional(&self.bias)];
        call(LAYER_NORM, &self.integers(), &[self.epsilon], &inputs, self.x.len())
    }

    /// The largest error as a share of the bound.
    fn margin(&self) -> f64 {
        let got = self.run();
        let mut worst = 0.0f64;
        for row in 0..self.outer * self.inner {
            let at = |i: usize| (row / self.inner * self.n + i) * self.inner + row % self.inner;
            let x: Vec<f64> = (0..self.n).map(|i| f64::from(self.x[at(i)])).collect();
            let n = self.n as f64;
            let mean_of = |f: &dyn Fn(f64) -> f64| x.iter().map(|x| f(*x)).sum::<f64>() / n;
            let mean = if self.root_mean_square { 0.0 } else { mean_of(&|x| x) };
            let variance = mean_of(&|x| (x - mean) * (x - mean));
            let k = 19.0 + (n / 64.0).ceil().log2().ceil();
            let of_mean = if self.root_mean_square { 0.0 } else { (k + 1.0) * mean_of(&f64::abs) };
            let epsilon = f64::from(self.epsilon as f32);
            let r = 1.0 / (variance + epsilon).sqrt();
            let v =
                (of_mean * mean_of(&|x| (x - mean).abs()) + (k + 4.0) * variance / 2.0) / (variance + epsilon) + 3.0;
            for (i, x) in x.iter().enumerate() {
                let weight = self.weight.as_ref().map_or(1.0, |w| f64::from(w[i]));
                let bias = self.bias.as_ref().map_or(0.0, |b| f64::from(b[i]));
                let d = x - mean;
                let y = d * r * weight + bias;
                let bound = U * (weight.abs() * r * (of_mean + d.abs()) + (weight * d * r).abs() * (3.0 + v) + y.abs());
                worst = worst.max((f64::from(got[at(i)]) - y).abs() / bound.max(1e-300));
            }
        }
        worst
    }
}

#[test]
fn stays_within_its_bound_at_every_tail() {
    let mut worst = 0.0f64;
    for n in (2..=65).chain([127, 128, 129, 768, 1000]) {
        for root_mean_square in [false, true] {
            worst = worst.max(Rows { root_mean_square, ..Rows::painted(3, n, 1) }.margin());
            worst = worst.max(Rows { root_mean_square, ..Rows::painted(2, n, 3) }.margin());
        }
    }
    println!("{worst:.3} of the bound");
    assert!(worst > 0.01 && worst < 1.0, "{worst}");
}

#[test]
fn a_large_mean_costs_no_digits() {
    for offset in [1e3f32, 1e6, -3e7] {
        let mut rows = Rows { weight: None, bias: None, ..Rows::painted(1, 256, 1) };
        // Differences that the offset leaves exact.
        rows.x = (0..256).map(|i| offset + (i % 16) as f32 * 8.0).collect();
        let got = rows.run();
        let plain: Vec<f32> = (0..256).map(|i| (i % 16) as f32 * 8.0).collect();
        let expected = Rows { x: plain, ..rows }.run();
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 0.05, "{offset}: {got} {expected}");
        }
    }
}

#[test]
fn a_row_is_the_same_along_any_axis_and_beside_any_rows() {
    let (outer, n) = (5, 67);
    let rows = Rows::painted(outer, n, 1);
    let y = rows.run();
    let turned: Vec<f32> = (0..n * outer).map(|i| rows.x[i % outer * n + i / outer]).collect();
    let across = Rows { outer: 1, inner: outer, x: turned, ..Rows::painted(1, n, outer) }.run();
    for i in 0..outer * n {
        assert_eq!(y[i].to_bits(), across[i % n * outer + i / n].to_bits());
    }
    for row in 0..outer {
        let alone = Rows { outer: 1, x: rows.x[row * n..][..n].to_vec(), ..Rows::painted(1, n, 1) }.run();
        assert_eq!(bits(&alone), bits(&y[row * n..][..n]));
    }
    let inputs = [Input::F32(&rows.x), optional(&rows.weight), optional(&rows.bias)];
    let stepwise = call_in_steps(LAYER_NORM, &rows.integers(), &[rows.epsilon], &inputs, &[outer * n], 1).unwrap();
    assert_eq!(bits(&stepwise[0]), bits(&y));
}

#[test]
fn nan_and_infinity_stay_in_their_row() {
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let clean = Rows::painted(3, 70, 1);
        let mut poisoned = Rows::painted(3, 70, 1);
        poisoned.x[70 + 69] = poison;
        let (clean, got) = (clean.run(), poisoned.run());
        assert!(got[70..140].iter().all(|y| y.to_bits() == 0x7fc0_0000));
        assert_eq!(bits(&clean[..70]), bits(&got[..70]));
        assert_eq!(bits(&clean[140..]), bits(&got[140..]));
    }
}

#[test]
fn a_constant_row_is_its_bias() {
    for n in [1, 4, 64, 65, 256] {
        let rows = Rows { x: vec![0.5; 2 * n], ..Rows::painted(2, n, 1) };
        let y = rows.run();
        assert_eq!(bits(&y[..n]), bits(rows.bias.as_ref().unwrap()));
        // Without an epsilon 0 is divided by 0.
        let undefined = Rows { epsilon: 0.0, ..rows }.run();
        assert!(undefined.iter().all(|y| y.to_bits() == 0x7fc0_0000));
    }
}

#[test]
fn empty_sizes_give_nothing() {
    for (outer, n, inner) in [(0, 5, 1), (3, 0, 1), (3, 5, 0)] {
        assert!(Rows::painted(outer, n, inner).run().is_empty());
    }
}

#[test]
fn refuses_what_does_not_fit() {
    let x = [0.0; 6];
    let refused = |integers: &[u32], epsilon: f64, inputs: &[Input<'_>]| {
        plan(LAYER_NORM, &Arguments { integers, floats: &[epsilon], inputs }).unwrap_err().reason
    };
    assert_eq!(refused(&[2, 4, 1, 0], 1e-5, &[Input::F32(&x)]), Reason::Bounds);
    assert_eq!(refused(&[2, 3, 1, 0], 1e-5, &[Input::F32(&x), Input::F32(&x)]), Reason::Bounds);
    assert_eq!(refused(&[2, 3, 1, 0], -1.0, &[Input::F32(&x)]), Reason::Value);
    assert_eq!(refused(&[2, 3, 1, 0], f64::NAN, &[Input::F32(&x)]), Reason::Value);
    assert_eq!(refused(&[2, 3, 1], 1e-5, &[Input::F32(&x)]), Reason::Value);
}
