//! Attention pooling against f64, score by score, and what must not change its bits.

use saccade::ops::{plan, run, Arguments, Input, Output};

const HIDDEN: f32 = f32::NEG_INFINITY;

fn number(seed: usize) -> f32 {
    let x = (seed as u64 ^ 0x9e37_79b9).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
}

fn numbers(seed: usize, count: usize, gain: f32) -> Vec<f32> {
    (0..count).map(|i| number(seed * 1_000_003 + i) * gain).collect()
}

#[derive(Clone)]
struct Call {
    /// batch, q_len, kv_len, heads, kv_heads, features, value_dim
    sizes: [usize; 7],
    by_head: bool,
    shared: bool,
    score: u32,
    activation: u32,
    widths: Vec<usize>,
    parameter: f64,
    normalize: u32,
    temperature: f64,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    last: Option<Vec<f32>>,
    bias: Option<Vec<f32>>,
    deep: Vec<(Vec<f32>, Option<Vec<f32>>)>,
    constant: Option<f32>,
    mask: Option<(Vec<u8>, [usize; 4])>,
    lengths: Option<(Vec<i32>, bool)>,
}

struct Result {
    out: Vec<f32>,
    weights: Vec<f32>,
    scores: Vec<f32>,
}

impl Call {
    fn new(score: u32, sizes: [usize; 7], gain: f32) -> Self {
        let [batch, q_len, kv_len, heads, kv_heads, features, value_dim] = sizes;
        Self {
            sizes,
            by_head: false,
            shared: false,
            score,
            activation: 2,
            widths: vec![],
            parameter: 0.7,
            normalize: u32::from(score > 2),
            temperature: 1.0,
            query: numbers(1, batch * q_len * heads * features, gain),
            key: numbers(2, batch * kv_len * kv_heads * features, gain),
            value: numbers(3, batch * kv_len * kv_heads * value_dim, 2.0),
            last: [1, 2].contains(&score).then(|| numbers(4, features, 1.0)),
            bias: None,
            deep: vec![],
            constant: None,
            mask: None,
            lengths: None,
        }
    }

    fn run(&self) -> Result {
        let [batch, q_len, kv_len, heads, _, _, value_dim] = self.sizes;
        let rows = batch * heads * q_len * kv_len;
        let mut result = Result {
            out: vec![7.0; batch * q_len * heads * value_dim],
            weights: vec![7.0; rows],
            scores: vec![7.0; rows],
        };
        let mut integers: Vec<u32> = self.sizes.iter().map(|n| *n as u32).collect();
        integers.extend([u32::from(self.by_head), u32::from(self.shared)]);
        integers.push(self.lengths.as_ref().map_or(0, |(_, each)| 1 + u32::from(*each)));
        integers.extend(self.mask.as_ref().map_or([1; 4], |(_, sizes)| *sizes).map(|n| n as u32));
        integers.extend([self.score, self.activation, self.deep.len() as u32]);
        integers.extend((0..2).map(|l| self.widths.get(l).map_or(0, |n| *n as u32)));
        integers.extend([self.normalize, 0, 0, 0, 0]);
        let floats = [self.temperature, self.parameter];
        let constant = self.constant.map(|c| [c]);
        let mut inputs = vec![given(Some(&self.query)), given(Some(&self.key)), given(Some(&self.value))];
        inputs.push(self.mask.as_ref().map_or(Input::Absent, |(data, _)| Input::Bool(data)));
        inputs.push(self.lengths.as_ref().map_or(Input::Absent, |(data, _)| Input::I32(data)));
        inputs.extend([given(self.last.as_deref()), given(self.bias.as_deref())]);
        for l in 0..2 {
            inputs.push(given(self.deep.get(l).map(|(w, _)| w.as_slice())));
            inputs.push(given(self.deep.get(l).and_then(|(_, b)| b.as_deref())));
        }
        inputs.push(constant.as_ref().map_or(Input::Absent, |c| Input::F32(c)));
        let arguments = Arguments { integers: &integers, floats: &floats, inputs: &inputs };
        let plan = plan(20, &arguments).unwrap();
        let mut scratch = vec![f32::NAN; plan.scratch().unwrap()];
        let mut outputs =
            [Output::F32(&mut result.out), Output::F32(&mut result.weights), Output::F32(&mut result.scores)];
        for (phase, tiles) in plan.tiles.into_iter().enumerate() {
            for tile in (0..tiles).rev() {
                run(20, &arguments, &mut outputs, &mut scratch, phase, tile..tile + 1).unwrap();
            }
        }
        result
    }

    fn row<'a>(&self, data: &'a [f32], length: usize, heads: usize, width: usize, at: [usize; 3]) -> &'a [f32] {
        let [b, i, h] = at;
        let index = if self.by_head { (b * heads + h) * length + i } else { (b * length + i) * heads + h };
        &data[index * width..][..width]
    }

    fn visible(&self, b: usize, h: usize, i: usize, j: usize) -> bool {
        let q_len = self.sizes[1];
        let length =
            self.lengths.as_ref().map_or(usize::MAX, |(n, each)| n[if *each { b * q_len + i } else { b }] as usize);
        let shown = self.mask.as_ref().is_none_or(|(mask, sizes)| {
            let at =
                [b, h, i, j].iter().zip(sizes).fold(0, |at, (k, size)| at * size + if *size == 1 { 0 } else { *k });
            mask[at] != 0
        });
        j < length && shown
    }

    /// Scores in f64 with what rounding may change of each (in units of 2^-24), then weights and results from given scores.
    fn reference(&self) -> Vec<(f64, f64)> {
        let [batch, q_len, kv_len, heads, kv_heads, features, _] = self.sizes;
        let mut all = vec![];
        for (b, h, i, j) in indices(batch, heads, q_len, kv_len) {
            let q = self.row(&self.query, q_len, heads, features, [b, i, h]);
            let key_at = if self.shared { [0, j, 0] } else { [b, j, h / (heads / kv_heads)] };
            let k = self.row(&self.key, kv_len, if self.shared { 1 } else { kv_heads }, features, key_at);
            all.push(if self.visible(b, h, i, j) { self.score(q, k) } else { (f64::NEG_INFINITY, 0.0) });
        }
        all
    }

    fn score(&self, q: &[f32], k: &[f32]) -> (f64, f64) {
        let pairs: Vec<(f64, f64)> = q.iter().zip(k).map(|(q, k)| (f64::from(*q), f64::from(*k))).collect();
        let n = q.len();
        let chain = (n.min(64) + n.div_ceil(64)) as f64;
        match self.score {
            0 => {
                let dot: f64 = pairs.iter().map(|(q, k)| q * k).sum();
                let size: f64 = pairs.iter().map(|(q, k)| (q * k).abs()).sum();
                (dot * self.parameter, (chain + 3.0) * size * self.parameter.abs())
            }
            1 | 2 => self.network(&pairs, chain),
            kind => {
                let d2: f64 = pairs.iter().map(|(q, k)| (q - k) * (q - k)).sum();
                let width = self.parameter;
                let x = d2.sqrt() / width;
                let relative = chain + 3.0;
                match kind {
                    3 => (-x * x / 2.0, x * x / 2.0 * (relative + 2.0)),
                    4 => (if x < 1.0 { 0.0 } else { f64::NEG_INFINITY }, 0.0),
                    5 => {
                        let kernel = 1.0 - x;
                        (
                            if kernel > 0.0 { kernel.ln() } else { f64::NEG_INFINITY },
                            x * (relative / 2.0 + 4.0) / kernel + 17.0,
                        )
                    }
                    _ => {
                        let kernel = 1.0 - x * x;
                        let moved = x * x * (relative + 6.0) / kernel;
                        (if kernel > 0.0 { kernel.ln() } else { f64::NEG_INFINITY }, moved + 17.0)
                    }
                }
            }
        }
    }

    fn network(&self, pairs: &[(f64, f64)], chain: f64) -> (f64, f64) {
        let activate = |x: f64| match self.activation {
            0 => x,
            1 => x.max(0.0),
            2 => x.tanh(),
            3 => 1.0 / (1.0 + (-x).exp()),
            _ => x / (1.0 + (-x).exp()),
        };
        // Value and what rounding may change, per feature; no activation here stretches by more than 1.1.
        let mut hidden: Vec<(f64, f64)> = pairs
            .iter()
            .enumerate()
            .map(|(h, (a, b))| {
                let bias = self.bias.as_ref().map_or(0.0, |bias| f64::from(bias[h]));
                let x = a + bias + b;
                (activate(x), 1.1 * (x.abs() + (a + bias).abs()) + if self.score == 2 { 8.0 } else { 6.0 })
            })
            .collect();
        for (w, bias) in &self.deep {
            let inner = hidden.len();
            hidden = w
                .chunks(inner)
                .enumerate()
                .map(|(o, w)| {
                    let c = bias.as_ref().map_or(0.0, |bias| f64::from(bias[o]));
                    let terms = || w.iter().zip(&hidden).map(|(w, h)| (f64::from(*w), h));
                    let x = c + terms().map(|(w, h)| w * h.0).sum::<f64>();
                    let size = c.abs() + terms().map(|(w, h)| (w * h.0).abs()).sum::<f64>();
                    let moved: f64 = terms().map(|(w, h)| w.abs() * h.1).sum();
                    (activate(x), 1.1 * (moved + (inner as f64 + 2.0) * size) + 6.0)
                })
                .collect();
        }
        let last = self.last.as_ref().unwrap();
        let terms = || last.iter().zip(&hidden).map(|(w, h)| (f64::from(*w), h));
        let score = terms().map(|(w, h)| w * h.0).sum::<f64>() + f64::from(self.constant.unwrap_or(0.0));
        let size: f64 = terms().map(|(w, _)| w.abs()).sum::<f64>() * if self.score == 2 { 2.0 } else { 1.0 };
        let height = hidden.iter().fold(1.0f64, |m, h| m.max(h.0.abs()));
        (score, terms().map(|(w, h)| w.abs() * h.1).sum::<f64>() + (chain + 3.0) * size * height + score.abs())
    }
}

fn given(data: Option<&[f32]>) -> Input<'_> {
    data.map_or(Input::Absent, Input::F32)
}

fn indices(
    batch: usize,
    heads: usize,
    q_len: usize,
    kv_len: usize,
) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..batch * heads * q_len * kv_len)
        .map(move |n| (n / kv_len / q_len / heads, n / kv_len / q_len % heads, n / kv_len % q_len, n % kv_len))
}

const U: f64 = 1.0 / (1u64 << 24) as f64;

/// Scores within their bound; weights and result within theirs of the reference's. Returns the largest share of the bounds.
fn check(call: &Call) -> [f64; 2] {
    let [batch, q_len, kv_len, heads, kv_heads, _, value_dim] = call.sizes;
    let result = call.run();
    let reference = call.reference();
    let mut share = [0.0f64; 2];
    for (score, (want, moved)) in result.scores.iter().zip(&reference) {
        if want.is_infinite() || score.is_infinite() {
            assert_eq!(f64::from(*score), *want, "hidden");
            continue;
        }
        let of_bound = (f64::from(*score) - want).abs() / (moved * U + f64::MIN_POSITIVE);
        assert!(of_bound <= 1.0, "score {score} is off {want} by {of_bound} bounds ({:?})", call.sizes);
        share[0] = share[0].max(of_bound);
    }
    for row in 0..batch * heads * q_len {
        let (b, h, i) = (row / q_len / heads, row / q_len % heads, row % q_len);
        let scores = &reference[row * kv_len..][..kv_len];
        let largest = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(s.0));
        let exponentials: Vec<f64> = scores
            .iter()
            .map(|s| if s.0 == f64::NEG_INFINITY { 0.0 } else { ((s.0 - largest) / call.temperature).exp() })
            .collect();
        let total: f64 = exponentials.iter().sum();
        let moved = scores.iter().fold(0.0f64, |m, s| m.max(s.1)) / call.temperature;
        let out = call.row(&result.out, q_len, heads, value_dim, [b, i, h]);
        let mut sums = vec![(0.0, 0.0); value_dim];
        for (j, p) in exponentials.iter().enumerate() {
            let want = if total > 0.0 { p / total } else { 0.0 };
            let weight = result.weights[row * kv_len + j];
            if want == 0.0 {
                assert_eq!(weight.to_bits(), 0);
            }
            // The exponent itself is a rounded number: 3 u of its size, and of the largest one.
            let spread = 3.0 * ((scores[j].0 / call.temperature).abs() + (largest / call.temperature).abs());
            let bound = want * (2.0 * moved + spread.min(1e9) + 40.0) * U + 1e-37;
            if want > 0.0 {
                assert!((f64::from(weight) - want).abs() <= bound, "weight {weight} is not {want}");
            }
            let v = call.row(&call.value, kv_len, kv_heads, value_dim, [b, j, h / (heads / kv_heads)]);
            if want > 0.0 {
                for (sum, v) in sums.iter_mut().zip(v) {
                    sum.0 += want * f64::from(*v);
                    sum.1 += (bound + want * (66.0 + (kv_len / 64) as f64) * U) * f64::from(v.abs());
                }
            }
        }
        for (out, (want, bound)) in out.iter().zip(sums) {
            let of_bound = (f64::from(*out) - want).abs() / (bound + 1e-37);
            assert!(of_bound <= 1.0, "out {out} is off {want} by {of_bound} bounds");
            share[1] = share[1].max(of_bound);
        }
    }
    share
}

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
        for poison in [f32::NAN, f32::INFINITY, HIDDEN, f32::MAX] {
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

fn bits(data: &[f32]) -> Vec<u32> {
    data.iter().map(|x| x.to_bits()).collect()
}
