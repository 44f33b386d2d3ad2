//! Attention pooling against f64, score by score, and what must not change its bits.

mod pooled;

use pooled::{bits, check, numbers, Call};

#[test]
fn every_score_is_within_its_bound_at_every_tail() {
    for score in 0..=6 {
        let mut share = [0.0f64; 2];
        for kv_len in [1, 3, 4, 5, 7, 8, 9, 63, 64, 65, 130] {
            for (q_len, features, value_dim) in [(1, 1, 1), (3, 2, 7), (4, 7, 8), (5, 64, 9), (9, 65, 17), (2, 130, 3)]
            {
                let gain = if score < 3 { 1.5 } else { 0.6 };
                let mut call = Call::new(score, [1, q_len, kv_len, 1, 1, features, value_dim], gain);
                if score > 3 {
                    call.parameter = 0.35 * (features as f64).sqrt();
                }
                if features == 7 && [1, 2].contains(&score) {
                    call.bias = Some(numbers(9, features, 1.0));
                }
                let [a, b] = check(&call);
                share = [share[0].max(a), share[1].max(b)];
            }
        }
        println!("score {score}: share of the bound {:.3} (scores), {:.3} (out)", share[0], share[1]);
    }
}

#[test]
fn additive_changes_ways_at_its_limits_and_stays_within_the_bound() {
    for gain in [0.01, 5.0, 14.9, 15.5, 30.0, 200.0] {
        let mut call = Call::new(2, [1, 6, 21, 1, 1, 33, 4], gain);
        check(&call);
        // Some rows and some keys beyond the limit.
        for (i, q) in call.query.iter_mut().enumerate() {
            *q *= if i / 33 % 3 == 0 { 9.0 } else { 0.3 };
        }
        for (i, k) in call.key.iter_mut().enumerate() {
            *k *= if i / 33 % 5 == 0 { 9.0 } else { 0.3 };
        }
        check(&call);
    }
    let mut call = Call::new(2, [1, 4, 9, 1, 1, 5, 4], 1.0);
    call.last.as_mut().unwrap()[1] = 2e18;
    assert!(call.run().scores.iter().all(|s| s.is_finite()));
}

#[test]
fn a_tanh_of_two_exponentials_is_within_its_absolute_bound() {
    let mut worst = 0.0f64;
    for (seed, gain) in [0.1, 1.0, 3.0, 7.0, 14.99].into_iter().enumerate() {
        let mut call = Call::new(2, [1, 400, 512, 1, 1, 1, 1], 1.0);
        (call.query, call.key) = (numbers(seed, 400, gain), numbers(seed + 50, 512, gain));
        call.last = Some(vec![1.0]);
        for (n, score) in call.run().scores.iter().enumerate() {
            let (a, b) = (f64::from(call.query[n / 512]), f64::from(call.key[n % 512]));
            worst = worst.max((f64::from(*score) - (a + b).tanh()).abs());
        }
    }
    println!("error of a tanh: {worst:.3e}");
    assert!(worst < 5e-7);
}

#[test]
fn networks_of_every_depth() {
    for activation in 0..=4 {
        for (features, widths) in [(1, vec![]), (9, vec![5]), (65, vec![66, 3]), (4, vec![130, 1])] {
            let mut call = Call::new(1, [2, 5, 11, 1, 1, features, 6], 1.2);
            call.activation = activation;
            call.bias = Some(numbers(8, features, 0.5));
            let mut inner = features;
            for (l, width) in widths.iter().enumerate() {
                let gain = 1.0 / inner as f32;
                call.deep.push((numbers(20 + l, width * inner, gain), (l == 0).then(|| numbers(30, *width, 0.3))));
                inner = *width;
            }
            call.widths = widths;
            call.last = Some(numbers(5, inner, 1.0));
            call.constant = Some(0.25);
            check(&call);
        }
    }
}

#[test]
fn layouts_groups_lengths_and_masks() {
    for score in 0..=6 {
        let mut call = Call::new(score, [2, 5, 10, 4, 2, 6, 5], 0.5);
        call.parameter = 1.3;
        call.by_head = true;
        check(&call);
        call.by_head = false;
        call.lengths = Some((vec![0, 7], false));
        check(&call);
        call.lengths = Some(((0..10).map(|i| (i * 3) % 11).collect(), true));
        call.mask = Some(((0..2 * 5 * 10).map(|i| u8::from(i % 3 != 0) * 2).collect(), [2, 1, 5, 10]));
        check(&call);
        call.mask = Some(((0..4 * 10).map(|i| u8::from(i % 4 != 1)).collect(), [1, 4, 1, 10]));
        check(&call);
    }
    let mut call = Call::new(0, [2, 3, 12, 2, 2, 5, 3], 1.0);
    call.shared = true;
    call.key.truncate(12 * 5);
    check(&call);
}

#[test]
fn poison_under_a_mask_never_shows() {
    for score in 0..=6 {
        let mut call = Call::new(score, [2, 5, 70, 2, 1, 9, 11], 0.4);
        call.parameter = 2.0;
        call.mask = Some(((0..70).map(|j| u8::from(j % 3 != 1)).collect(), [1, 1, 1, 70]));
        call.lengths = Some((vec![33, 69], false));
        let want = call.run();
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            let mut poisoned = call.clone();
            for b in 0..2 {
                for j in 0..70 {
                    if j % 3 == 1 || j >= [33, 69][b] {
                        poisoned.key[(b * 70 + j) * 9..][..9].fill(poison);
                        poisoned.value[(b * 70 + j) * 11..][..11].fill(poison);
                    }
                }
            }
            let got = poisoned.run();
            assert_eq!(bits(&want.out), bits(&got.out), "score {score}");
            assert_eq!(bits(&want.weights), bits(&got.weights));
            assert_eq!(bits(&want.scores), bits(&got.scores));
        }
    }
}

#[test]
fn a_visible_nan_spoils_its_rows_only() {
    for score in 0..=6 {
        let mut call = Call::new(score, [1, 6, 9, 1, 1, 5, 3], 0.4);
        call.parameter = 2.0;
        let clean = call.run();
        call.query[2 * 5 + 1] = f32::NAN;
        let got = call.run();
        for row in 0..6 {
            let (a, b) = (&clean.out[row * 3..][..3], &got.out[row * 3..][..3]);
            if row == 2 {
                assert!(b.iter().all(|x| x.to_bits() == 0x7fc0_0000), "score {score}: {b:?}");
            } else {
                assert_eq!(bits(a), bits(b), "score {score}, row {row}");
            }
        }
    }
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_many() {
    for score in 0..=6 {
        let mut call = Call::new(score, [1, 7, 77, 1, 1, 20, 10], 3.0);
        call.parameter = 20.0;
        // One row and one key that take additive's plain way.
        call.query[3 * 20] = 16.0;
        call.key[40 * 20 + 3] = -16.0;
        let all = call.run();
        for row in 0..7 {
            let mut alone = call.clone();
            alone.sizes[1] = 1;
            alone.query = call.query[row * 20..][..20].to_vec();
            let alone = alone.run();
            assert_eq!(bits(&alone.out), bits(&all.out[row * 10..][..10]), "score {score}, row {row}");
            assert_eq!(bits(&alone.scores), bits(&all.scores[row * 77..][..77]));
        }
        // A key's score does not depend on where it stands.
        let mut turned = call.clone();
        turned.key.rotate_left(13 * 20);
        let turned = turned.run();
        for row in 0..7 {
            let mut scores = all.scores[row * 77..][..77].to_vec();
            scores.rotate_left(13);
            assert_eq!(bits(&scores), bits(&turned.scores[row * 77..][..77]), "score {score}");
        }
    }
}

#[test]
fn sums_of_scores_and_a_temperature() {
    let mut call = Call::new(0, [1, 3, 10, 1, 1, 4, 2], 1.0);
    call.query.iter_mut().chain(&mut call.key).for_each(|x| *x = x.abs());
    call.normalize = 1;
    let result = call.run();
    for (weights, scores) in result.weights.chunks(10).zip(result.scores.chunks(10)) {
        let total: f64 = scores.iter().map(|s| f64::from(*s)).sum();
        for (w, s) in weights.iter().zip(scores) {
            assert!((f64::from(*w) - f64::from(*s) / total).abs() < 1e-6);
        }
    }
    call.normalize = 0;
    call.temperature = 0.3;
    check(&call);
}

#[test]
fn a_query_far_from_all_keys_still_has_weights() {
    let mut call = Call::new(3, [1, 1, 3, 1, 1, 1, 1], 1.0);
    (call.query, call.key, call.parameter) = (vec![1e4], vec![0.0, 1.0, 2.0], 0.5);
    assert_eq!(call.run().weights, [0.0, 0.0, 1.0]);
}

#[test]
fn nothing_to_do() {
    for sizes in [[0, 2, 3, 1, 1, 4, 5], [1, 0, 3, 1, 1, 4, 5], [1, 2, 0, 1, 1, 4, 5], [1, 2, 3, 0, 1, 4, 5]] {
        for score in 0..=6 {
            let result = Call::new(score, sizes, 1.0).run();
            assert!(result.out.iter().all(|x| x.to_bits() == 0));
        }
    }
}
