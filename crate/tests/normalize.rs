//! Every normaliser against f64 and plain rules: bounds, ties, hidden keys, empty rows, tails.

mod weights;

use weights::*;

/// First order: the factor and the product (on each of t and m), their difference, exp2 (here and in the sum), the sum, the quotient.
fn softmax_bound(s: f32, m: f32, temperature: f64, w: f64) -> f64 {
    let t = f64::from(s.abs().max(m.abs())) / temperature;
    w * U * (2.0 * (5.0 * t + 2.6) + 19.0 + 4.0 + 1.0) + 2f64.powi(-125)
}

#[test]
fn softmax_is_within_its_bound() {
    let mut margin = 0f64;
    for scores in rows() {
        for temperature in [1.0, 0.1, 3.7] {
            let got = weights(Choice { number: temperature, ..choice(SOFTMAX) }, &scores);
            let m = scores.iter().copied().fold(HIDDEN, f32::max);
            for ((got, want), s) in got.iter().zip(softmax_reference(&scores, temperature)).zip(&scores) {
                let s = if *s == HIDDEN { 0.0 } else { *s };
                margin = margin.max((f64::from(*got) - want).abs() / softmax_bound(s, m, temperature, want));
            }
        }
    }
    println!("softmax: {margin:.3} of its bound");
    assert!(margin < 0.5, "{margin}");
}

#[test]
fn sum_divides_by_the_sum() {
    for scores in rows() {
        let got = weights(choice(SUM), &scores);
        let visible = |s: f32| if s == HIDDEN { 0.0 } else { f64::from(s) };
        let sum: f64 = scores.iter().map(|s| visible(*s)).sum();
        let size: f64 = scores.iter().map(|s| visible(*s).abs()).sum();
        for (got, s) in got.iter().zip(&scores) {
            let want = if size > 0.0 { visible(*s) / sum } else { 0.0 };
            assert!(
                (f64::from(*got) - want).abs() <= want.abs() * U * (2.0 + 23.0 * size / sum.abs().max(1e-300)) + 1e-40,
                "{got} {want}"
            );
        }
    }
    assert_eq!(weights(choice(SUM), &[1.0, 3.0, HIDDEN, -2.0]), [0.5, 1.5, 0.0, -1.0]);
    let nothing = weights(choice(SUM), &[1.0, -1.0, 0.0, HIDDEN]);
    assert_eq!(nothing, [f32::INFINITY, f32::NEG_INFINITY, 0.0, 0.0]);
}

#[test]
fn sum_of_a_kernel_is_softmax_of_its_logarithm() {
    let kernel = read(choice(SUM), true).unwrap();
    let mut far = [-1000.0, -1001.0, HIDDEN, -2000.0];
    kernel.apply(0, &mut far, &mut []);
    assert_eq!(far.to_vec(), weights(choice(SOFTMAX), &[-1000.0, -1001.0, HIDDEN, -2000.0]));
    assert!((far[0] - 0.731_058_6).abs() < 1e-4);
}

#[test]
fn hardmax_takes_the_first_of_the_largest() {
    assert_eq!(weights(choice(HARDMAX), &[1.0, 5.0, HIDDEN, 5.0, 2.0]), [0.0, 1.0, 0.0, 0.0, 0.0]);
    assert_eq!(weights(choice(HARDMAX), &[-0.0, 0.0]), [1.0, 0.0]);
    assert_eq!(weights(choice(HARDMAX), &[f32::MIN]), [1.0]);
    for scores in rows() {
        let got = weights(choice(HARDMAX), &scores);
        let m = scores.iter().copied().fold(HIDDEN, f32::max);
        let first = scores.iter().position(|s| *s == m && m > HIDDEN);
        for (j, w) in got.iter().enumerate() {
            assert_eq!(*w, f32::from(Some(j) == first));
        }
    }
}

/// Which keys are the k largest, of equal ones the lower index first.
fn largest_keys(scores: &[f32], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|j| scores[*j] > HIDDEN).collect();
    order.sort_by(|a, b| scores[*b].partial_cmp(&scores[*a]).unwrap().then(a.cmp(b)));
    order.truncate(k);
    order
}

#[test]
fn top_k_is_softmax_over_the_k_largest() {
    for scores in rows() {
        for k in [1, 2, 3, 7, 64, 65, scores.len(), 5000] {
            let keys = largest_keys(&scores, k);
            let alone: Vec<f32> =
                (0..scores.len()).map(|j| if keys.contains(&j) { scores[j] } else { HIDDEN }).collect();
            let got = weights(Choice { count: k as u32, ..choice(TOP_K) }, &scores);
            assert_eq!(got, weights(choice(SOFTMAX), &alone), "k {k} of {}", scores.len());
        }
    }
    let ties = [2.0, -0.0, 0.0, 2.0, 0.0, -0.0, 2.0];
    let got = weights(Choice { count: 4, ..choice(TOP_K) }, &ties);
    let kept: Vec<usize> = (0..7).filter(|j| got[*j] > 0.0).collect();
    assert_eq!(kept, [0, 1, 3, 6]);
    let extremes = [f32::MIN, f32::MAX, -1e-45, 1e-45, 0.0];
    let got = weights(Choice { count: 2, ..choice(TOP_K) }, &extremes.map(|s| s / 4.0));
    assert_eq!(got, [0.0, 1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn threshold_drops_small_weights() {
    for scores in rows() {
        let all = weights(choice(SOFTMAX), &scores);
        let m = scores.iter().copied().fold(HIDDEN, f32::max);
        for t in [0.0, 1e-3, 0.02, 0.3, 1.0] {
            let got = weights(Choice { number: t, ..choice(THRESHOLD) }, &scores);
            let stays = |j: usize| scores[j] > HIDDEN && (all[j] >= t as f32 || scores[j] == m);
            let sum: f64 = (0..scores.len()).filter(|j| stays(*j)).map(|j| f64::from(all[j])).sum();
            for (j, w) in got.iter().enumerate() {
                let want = if stays(j) { f64::from(all[j]) / sum } else { 0.0 };
                assert!((f64::from(*w) - want).abs() <= want * U * 50.0, "{w} {want}");
            }
        }
    }
    assert_eq!(weights(Choice { number: 0.9, ..choice(THRESHOLD) }, &[1.0, 1.0, 0.9, HIDDEN]), [0.5, 0.5, 0.0, 0.0]);
}

/// By sorting, as the paper has it.
fn sparsemax_reference(scores: &[f32]) -> Vec<f64> {
    let mut sorted: Vec<f64> = scores.iter().map(|s| f64::from(*s)).filter(|s| s.is_finite()).collect();
    sorted.sort_by(|a, b| b.partial_cmp(a).unwrap());
    let (mut sum, mut tau) = (0.0, f64::INFINITY);
    for (k, z) in sorted.iter().enumerate() {
        sum += z - sorted[0];
        if 1.0 + (k + 1) as f64 * (z - sorted[0]) > sum {
            tau = sorted[0] + (sum - 1.0) / (k + 1) as f64;
        }
    }
    scores.iter().map(|s| (f64::from(*s) - tau).max(0.0)).collect()
}

#[test]
fn sparsemax_is_the_projection_on_the_simplex() {
    let geometric = |n: usize, base: f32| (0..n).map(|j| -base.powi(j as i32 % 140)).collect::<Vec<f32>>();
    let more =
        [geometric(300, 0.5), geometric(500, 0.9), vec![3.0; 1000], vec![1e30, -1e30, 1e-30], vec![16_777_216.0; 5]];
    let small = rows().map(|row| row.into_iter().map(|s| s / 1000.0).collect());
    for scores in rows().chain(more).chain(small) {
        let got = weights(choice(SPARSEMAX), &scores);
        let support = got.iter().filter(|w| **w > 0.0).count() as f64;
        for (got, want) in got.iter().zip(sparsemax_reference(&scores)) {
            let scale = scores.iter().filter(|s| s.is_finite()).fold(1.0, |m: f64, s| m.max(f64::from(s.abs())));
            let bound = U * want + (support + 2.0) * scale * 2f64.powi(-51);
            assert!((f64::from(*got) - want).abs() <= bound, "{got} {want}");
        }
        let total: f64 = got.iter().map(|w| f64::from(*w)).sum();
        assert!((total - 1.0).abs() <= U + support * 2f64.powi(-50) || scores.iter().all(|s| *s == HIDDEN));
    }
    assert_eq!(weights(choice(SPARSEMAX), &[0.5, 0.25, HIDDEN, -3.0]), [0.625, 0.375, 0.0, 0.0]);
}

#[test]
fn sigmoid_looks_at_each_key_alone() {
    for scores in rows() {
        for (w, s) in weights(choice(SIGMOID), &scores).iter().zip(&scores) {
            let want = 1.0 / (1.0 + (-f64::from(*s)).exp());
            assert!((f64::from(*w) - want).abs() <= want * U * (8.0 + 3.0 * f64::from(s.abs().min(100.0))) + 1e-37);
        }
    }
}

#[test]
fn hidden_keys_and_spoilt_rows() {
    let choices = (SOFTMAX..=SIGMOID).map(choice).chain([Choice { hard: 1, ..choice(GUMBEL) }]);
    for choice in choices {
        assert_eq!(weights(choice, &[]), [0f32; 0]);
        for n in LENGTHS {
            for w in weights(choice, &vec![HIDDEN; n]) {
                assert_eq!(w.to_bits(), 0, "kind {}", choice.kind);
            }
            for bad in [f32::NAN, f32::from_bits(0xff80_0001), f32::INFINITY] {
                let mut scores = paint_hidden(n, 9);
                scores[n / 2] = bad;
                for (w, s) in weights(choice, &scores).iter().zip(&scores) {
                    let want = if *s == HIDDEN { 0 } else { 0x7fc0_0000 };
                    assert_eq!(w.to_bits(), want, "kind {} length {n}", choice.kind);
                }
            }
            let one = weights(choice, &[&vec![HIDDEN; n - 1][..], &[0.25]].concat());
            let want = if choice.kind == SIGMOID { one[n - 1] } else { 1.0 };
            assert_eq!(one[n - 1], want, "kind {}", choice.kind);
            assert!(one[..n - 1].iter().all(|w| w.to_bits() == 0));
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |choice: Choice| read(choice, false).is_err();
    assert!(refused(choice(9)));
    for number in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-50, 1e300] {
        assert!(refused(Choice { number, ..choice(SOFTMAX) }), "{number}");
        assert!(refused(Choice { number, ..choice(GUMBEL) }), "{number}");
    }
    for number in [-0.01, 1.01, f64::NAN] {
        assert!(refused(Choice { number, ..choice(THRESHOLD) }), "{number}");
    }
    assert!(refused(Choice { count: 0, ..choice(TOP_K) }));
    assert!(refused(Choice { count: 0, ..choice(SAMPLE) }));
    assert!(refused(Choice { count: (1 << 24) + 1, ..choice(SAMPLE) }));
}
