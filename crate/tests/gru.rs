//! The recurrence of a GRU: one step against f64 within the stated bound, and its laws over batches, lengths and directions.

mod call;

use call::{bell, bits, call_in_steps};
use saccade::ops::Input;

const GRU: u32 = 11;

#[derive(Clone)]
struct Case {
    batch: usize,
    time: usize,
    hidden: usize,
    projections: Vec<f32>,
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    first: Option<Vec<f32>>,
    lengths: Option<Vec<i32>>,
    backward: bool,
}

impl Case {
    fn painted(batch: usize, time: usize, hidden: usize) -> Self {
        Self {
            batch,
            time,
            hidden,
            projections: bell(1, batch * time * 3 * hidden).iter().map(|x| 3.0 * x).collect(),
            weight: bell(2, 3 * hidden * hidden),
            bias: Some(bell(3, 3 * hidden)),
            first: Some(bell(4, batch * hidden)),
            lengths: None,
            backward: false,
        }
    }

    /// Outputs and last states.
    fn run(&self) -> [Vec<f32>; 2] {
        self.run_beside(1, 0, usize::MAX)
    }

    /// As direction `direction` of `directions`, `step` tiles at a time.
    fn run_beside(&self, directions: usize, direction: usize, step: usize) -> [Vec<f32>; 2] {
        let [batch, time, hidden] = [self.batch, self.time, self.hidden];
        let backward = usize::from(self.backward);
        let integers = [batch, time, hidden, backward, directions, direction, directions, direction].map(|n| n as u32);
        let spread: Option<Vec<f32>> = self.first.as_ref().map(|first| {
            let mut all = vec![f32::NAN; directions * batch * hidden];
            all[direction * batch * hidden..][..batch * hidden].copy_from_slice(first);
            all
        });
        let inputs = [
            Input::F32(&self.projections),
            Input::F32(&self.weight),
            self.bias.as_ref().map_or(Input::Absent, |bias| Input::F32(bias)),
            spread.as_ref().map_or(Input::Absent, |first| Input::F32(first)),
            self.lengths.as_ref().map_or(Input::Absent, |lengths| Input::I32(lengths)),
        ];
        let sizes = [batch * time * directions * hidden, directions * batch * hidden];
        call_in_steps(GRU, &integers, &[], &inputs, &sizes, step).unwrap().try_into().unwrap()
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn a_step_is_within_its_bound() {
    let u = 2f64.powi(-24);
    let mut worst = 0.0f64;
    for hidden in [1, 3, 4, 5, 7, 8, 9, 63, 64, 65, 130] {
        let case = Case::painted(3, 1, hidden);
        let [y, last] = case.run();
        assert_eq!(bits(&y), bits(&last));
        let (first, bias) = (case.first.unwrap(), case.bias.unwrap());
        let roundings = hidden.min(64) as f64 + hidden.div_ceil(64) as f64 + 1.0;
        for (b, j) in (0..3).flat_map(|b| (0..hidden).map(move |j| (b, j))) {
            // A gate's two summands, the product's error bound included.
            let gate = |part: usize| {
                let row = part * hidden + j;
                let h = &first[b * hidden..][..hidden];
                let products =
                    || h.iter().zip(&case.weight[row * hidden..]).map(|(h, w)| f64::from(*h) * f64::from(*w));
                let bias = f64::from(bias[row]);
                let size = products().map(f64::abs).sum::<f64>() + bias.abs();
                let a = f64::from(case.projections[b * 3 * hidden + row]);
                (a, products().sum::<f64>() + bias, u * roundings * size)
            };
            let logistic =
                |(a, g, error): (f64, f64, f64)| (sigmoid(a + g), (error + u * (a + g).abs()) / 4.0 + 4.0 * u);
            let (r, r_error) = logistic(gate(0));
            let (z, z_error) = logistic(gate(1));
            let (a, g, g_error) = gate(2);
            let n_error = g.abs() * r_error + r * g_error + u * ((r * g).abs() + (a + r * g).abs()) + 4.0 * u;
            let n = (a + r * g).tanh();
            let h = f64::from(first[b * hidden + j]);
            let next = (1.0 - z) * n + z * h;
            let bound = (n - h).abs() * z_error
                + (1.0 - z) * n_error
                + u * (2.0 * ((1.0 - z) * n).abs() + (z * h).abs() + next.abs());
            worst = worst.max((f64::from(y[b * hidden + j]) - next).abs() / bound);
        }
    }
    println!("{worst:.3} of the bound");
    assert!(worst > 0.0 && worst < 0.5, "{worst}");
}

#[test]
fn a_sequence_is_its_steps() {
    for hidden in [1, 5, 64, 66] {
        let case = Case::painted(2, 7, hidden);
        let [y, last] = case.run();
        let mut state = case.first.clone();
        for t in 0..7 {
            let step = |b: usize| case.projections[(b * 7 + t) * 3 * hidden..][..3 * hidden].to_vec();
            let one = Case { time: 1, projections: [step(0), step(1)].concat(), first: state, ..case.clone() };
            let [now, next] = one.run();
            for b in 0..2 {
                assert_eq!(bits(&now[b * hidden..][..hidden]), bits(&y[(b * 7 + t) * hidden..][..hidden]));
            }
            state = Some(next);
        }
        assert_eq!(bits(&state.unwrap()), bits(&last));
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_batch() {
    let (batch, time, hidden) = (67, 3, 9);
    let case = Case::painted(batch, time, hidden);
    let [y, last] = case.run();
    let [y_in_steps, _] = case.run_beside(1, 0, 1);
    assert_eq!(bits(&y_in_steps), bits(&y));
    for b in [0, 1, 31, 32, 66] {
        let alone = Case {
            batch: 1,
            projections: case.projections[b * time * 3 * hidden..][..time * 3 * hidden].to_vec(),
            first: Some(case.first.as_ref().unwrap()[b * hidden..][..hidden].to_vec()),
            ..case.clone()
        };
        let [y_alone, last_alone] = alone.run();
        assert_eq!(bits(&y_alone), bits(&y[b * time * hidden..][..time * hidden]));
        assert_eq!(bits(&last_alone), bits(&last[b * hidden..][..hidden]));
    }
}

#[test]
fn lengths_end_rows_and_turn_them_there() {
    let (batch, time, hidden) = (4, 5, 6);
    let lengths = [5, 0, 3, 1];
    for backward in [false, true] {
        let clean = Case { lengths: Some(lengths.to_vec()), backward, ..Case::painted(batch, time, hidden) };
        let mut poisoned = clean.clone();
        for (b, length) in lengths.into_iter().enumerate() {
            poisoned.projections[(b * time + length as usize) * 3 * hidden..(b + 1) * time * 3 * hidden].fill(f32::NAN);
        }
        let [y, last] = clean.run();
        let [y_poisoned, last_poisoned] = poisoned.run();
        assert_eq!((bits(&y), bits(&last)), (bits(&y_poisoned), bits(&last_poisoned)));
        for (b, length) in lengths.into_iter().enumerate() {
            let length = length as usize;
            let mut steps: Vec<Vec<f32>> =
                (0..length).map(|t| clean.projections[(b * time + t) * 3 * hidden..][..3 * hidden].to_vec()).collect();
            if backward {
                steps.reverse();
            }
            let forward = Case {
                batch: 1,
                time: length,
                projections: steps.concat(),
                first: Some(clean.first.as_ref().unwrap()[b * hidden..][..hidden].to_vec()),
                lengths: None,
                backward: false,
                ..clean.clone()
            };
            let [y_alone, last_alone] = forward.run();
            assert_eq!(bits(&last_alone), bits(&last[b * hidden..][..hidden]));
            for t in 0..time {
                let got = &y[(b * time + t) * hidden..][..hidden];
                if t >= length {
                    assert!(got.iter().all(|x| x.to_bits() == 0));
                } else {
                    let from = if backward { length - 1 - t } else { t };
                    assert_eq!(bits(got), bits(&y_alone[from * hidden..][..hidden]));
                }
            }
        }
    }
}

#[test]
fn directions_share_their_results() {
    let case = Case { first: None, bias: None, ..Case::painted(3, 4, 5) };
    let canary = 0xdead_beef;
    for direction in 0..2 {
        let [alone, last_alone] = case.run();
        let [y, last] = case.run_beside(2, direction, usize::MAX);
        for (i, columns) in y.chunks_exact(5).enumerate() {
            if i % 2 == direction {
                assert_eq!(bits(columns), bits(&alone[i / 2 * 5..][..5]));
            } else {
                assert!(columns.iter().all(|x| x.to_bits() == canary));
            }
        }
        assert_eq!(bits(&last[direction * 15..][..15]), bits(&last_alone));
        assert!(last[(1 - direction) * 15..][..15].iter().all(|x| x.to_bits() == canary));
    }
}

#[test]
fn empty_sizes_nan_and_refusals() {
    let none = Case::painted(0, 3, 4);
    assert_eq!(none.run(), [vec![], vec![]]);
    let still = Case::painted(2, 0, 4);
    assert_eq!(still.run()[1], still.first.unwrap());
    let mut poisoned = Case::painted(2, 2, 3);
    let [clean, _] = poisoned.run();
    poisoned.projections[0] = f32::NAN;
    let [y, last] = poisoned.run();
    assert_eq!(y[0].to_bits(), 0x7fc0_0000);
    assert!(y[..3].iter().skip(1).all(|x| x.is_finite()));
    assert!(last[..3].iter().all(|x| x.to_bits() == 0x7fc0_0000));
    assert_eq!(bits(&y[6..]), bits(&clean[6..]));

    let data = vec![0.0; 64];
    let inputs = [Input::F32(&data[..12]), Input::F32(&data[..12])];
    let good = [1, 2, 2, 0, 1, 0, 1, 0];
    let outputs = [4, 2];
    assert!(call_in_steps(GRU, &good, &[], &inputs, &outputs, 1).is_ok());
    for (at, wrong) in [(0, 2), (1, 3), (2, 0), (2, 3), (4, 0), (5, 1), (6, 0), (7, 1), (1, u32::MAX)] {
        let mut integers = good;
        integers[at] = wrong;
        assert!(call_in_steps(GRU, &integers, &[], &inputs, &outputs, 1).is_err(), "{integers:?}");
    }
    assert!(call_in_steps(GRU, &good, &[], &inputs, &[3, 2], 1).is_err());
    let short = [Input::F32(&data[..12]), Input::F32(&data[..12]), Input::F32(&data[..5])];
    assert!(call_in_steps(GRU, &good, &[], &short, &outputs, 1).is_err());
}
