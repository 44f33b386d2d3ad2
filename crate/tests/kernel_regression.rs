//! The learned width against the recorded descent and against f64.

use saccade::ops::{plan, run, Arguments, Input, Output};
use serde_json::Value;

const NUMBER: u32 = 21;

struct Problem {
    x: Vec<f32>,
    y: Vec<f32>,
    samples: usize,
    features: usize,
    outputs: usize,
}

/// Width, loss and gradient before each step and after the last.
fn fit(problem: &Problem, epochs: u32, width: f64, rate: f64) -> Result<Vec<[f32; 3]>, saccade::error::Error> {
    let Problem { x, y, samples, features, outputs } = problem;
    let inputs = [Input::F32(x), Input::F32(y)];
    let mut history = vec![0.0; 3 * (epochs as usize + 1)];
    let mut alone = history.clone();
    let (mut added, mut state) = (vec![-1; 4 * samples * outputs], [-1; 2]);
    // All steps at once, then one by one in tiles that come backwards: the same bits.
    for step in 0..epochs + 2 {
        let integers = [*samples as u32, *features as u32, *outputs as u32, epochs, step];
        let arguments = Arguments { integers: &integers, floats: &[width, rate], inputs: &inputs };
        let plan = plan(NUMBER, &arguments)?;
        let mut scratch = vec![f32::NAN; plan.scratch()?];
        if step == 0 {
            run(NUMBER, &arguments, &mut [Output::F32(&mut history)], &mut scratch, 1, 0..1)?;
            continue;
        }
        let mut outputs = [Output::F32(&mut alone), Output::I32(&mut added), Output::I32(&mut state)];
        for i in (0..*samples).rev() {
            run(NUMBER, &arguments, &mut outputs, &mut scratch, 0, i..i + 1)?;
        }
        run(NUMBER, &arguments, &mut outputs, &mut scratch, 1, 0..1)?;
    }
    assert_eq!(
        alone.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
        history.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    );
    Ok(history.as_chunks::<3>().0.to_vec())
}

fn decode(tensor: &Value) -> Vec<f32> {
    let text = tensor["data"].as_str().unwrap().trim_end_matches('=');
    let digit = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let (mut bits, mut count, mut bytes) = (0u32, 0, vec![]);
    for c in text.bytes() {
        (bits, count) = (bits << 6 | u32::from(digit(c)), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

fn recorded() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/classic/nadaraya_watson__learned.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn the_recorded_descent() {
    let case = recorded();
    let (x, y) = (decode(&case["inputs"]["x_train"]), decode(&case["inputs"]["y_train"]));
    let problem = Problem { samples: x.len(), x, y, features: 1, outputs: 1 };
    let history = fit(&problem, 5, 1.0, 0.01).unwrap();
    let mut worst = 0f64;
    let mut compare = |got: f32, want: f64| worst = worst.max((f64::from(got) / want - 1.0).abs());
    for (got, want) in
        history.iter().zip(case["history"].as_array().or(case["expected"]["history"].as_array()).unwrap())
    {
        compare(got[0], 1.0 / want["w"].as_f64().unwrap());
        compare(got[1], want["loss"].as_f64().unwrap());
        compare(got[2], want["grad"].as_f64().unwrap());
    }
    compare(history[5][0], 1.0 / case["expected"]["w"].as_f64().unwrap());
    println!("largest relative difference {worst:e}");
    // One rounding to f32 is 6e-8.
    assert!(worst < 2e-7, "{worst:e}");
}

/// Loss and gradient with nothing but the formula.
fn reference(problem: &Problem, w: f64) -> (f64, f64) {
    let Problem { x, y, samples, features, outputs } = problem;
    let (mut loss, mut gradient) = (0.0, 0.0);
    for i in 0..*samples {
        let others: Vec<usize> = (0..*samples).filter(|j| *j != i).collect();
        let square = |j: usize| -> f64 {
            (0..*features).map(|d| (f64::from(x[i * features + d]) - f64::from(x[j * features + d])).powi(2)).sum()
        };
        let least = others.iter().map(|j| square(*j)).fold(f64::INFINITY, f64::min);
        let kernel = |j: usize| (-(square(j) - least) * w * w / 2.0).exp();
        let total: f64 = others.iter().map(|j| kernel(*j)).sum();
        for output in 0..*outputs {
            let y = |j: usize| f64::from(y[j * outputs + output]);
            let f = others.iter().map(|j| kernel(*j) * y(*j)).sum::<f64>() / total;
            let slope = -w * others.iter().map(|j| kernel(*j) * (y(*j) - f) * square(*j)).sum::<f64>() / total;
            loss += (f - y(i)).powi(2);
            gradient += 2.0 * (f - y(i)) * slope;
        }
    }
    (loss, gradient)
}

fn paint(samples: usize, features: usize, outputs: usize) -> Problem {
    let number = |i: usize| ((i.wrapping_mul(2_654_435_761) >> 7) % 4096) as f32 / 1024.0 - 2.0;
    let x = (0..samples * features).map(number).collect();
    let y = (0..samples * outputs).map(|i| number(i + 12_345)).collect();
    Problem { x, y, samples, features, outputs }
}

#[test]
fn loss_and_gradient_are_those_of_the_formula() {
    let mut worst = (0f64, 0f64);
    for samples in [2, 3, 4, 5, 7, 8, 9, 63, 64, 65] {
        for (features, outputs) in [(1, 1), (3, 1), (2, 3)] {
            let problem = paint(samples, features, outputs);
            for width in [0.01, 0.3, 1.0, 5.0, 1e6] {
                let got = fit(&problem, 0, width, 1.0).unwrap()[0];
                let (loss, gradient) = reference(&problem, 1.0 / width);
                assert_eq!(got[0], width as f32);
                worst.0 = worst.0.max((f64::from(got[1]) - loss).abs() / loss);
                // Terms of both signs: against the size of what is added.
                let size = loss * 16.0 / width;
                worst.1 = worst.1.max((f64::from(got[2]) - gradient).abs() / (gradient.abs() + size));
            }
        }
    }
    println!("loss {:e}, gradient {:e}", worst.0, worst.1);
    assert!(worst.0 < 4e-7 && worst.1 < 4e-7, "{worst:?}");
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let problem = paint(40, 1, 1);
    for w in [0.7, 1.0, 3.0] {
        let step = 1e-5;
        let slope = (reference(&problem, w + step).0 - reference(&problem, w - step).0) / (2.0 * step);
        let got = f64::from(fit(&problem, 0, 1.0 / w, 1.0).unwrap()[0][2]);
        assert!((got / slope - 1.0).abs() < 1e-5, "{got} {slope}");
    }
}

#[test]
fn descent_descends_and_survives_bad_numbers() {
    let problem = paint(64, 1, 1);
    let history = fit(&problem, 50, 0.2, 1e-3).unwrap();
    assert!(history.windows(2).all(|pair| pair[1][1] <= pair[0][1]));
    assert!(history[50][1] < history[0][1]);
    // A width far below every distance: the nearest sample alone predicts.
    let nearest = fit(&problem, 0, 1e-30, 1.0).unwrap()[0];
    assert!(nearest[1].is_finite() && nearest[2] == 0.0, "{nearest:?}");
    // Another unit of length changes nothing else, however large its squares are.
    let unit = 2f32.powi(80);
    let far = Problem { x: problem.x.iter().map(|x| x * unit).collect(), ..paint(64, 1, 1) };
    let (near, far) = (fit(&problem, 0, 0.5, 1.0).unwrap()[0], fit(&far, 0, 0.5 * f64::from(unit), 1.0).unwrap()[0]);
    assert_eq!([far[0] / unit, far[1], far[2] / unit], near);
    let mut spoilt = paint(5, 1, 1);
    spoilt.x[2] = f32::NAN;
    for x in fit(&spoilt, 1, 1.0, 0.1).unwrap()[0].iter().skip(1) {
        assert_eq!(x.to_bits(), 0x7fc0_0000);
    }
    for (samples, width) in [(1, 1.0), (5, 0.0), (5, -1.0), (5, f64::NAN)] {
        let problem = paint(samples, 1, 1);
        assert!(fit(&problem, 0, width, 1.0).is_err());
    }
}
