//! Calls of attention pooling with their reference in f64: scores with what rounding may change of each, then weights and results.
#![allow(dead_code)]

use saccade::ops::{plan, run, Arguments, Input, Output};

fn number(seed: usize) -> f32 {
    let x = (seed as u64 ^ 0x9e37_79b9).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((x >> 40) as f32 / (1u64 << 24) as f32) * 2.0 - 1.0
}

pub fn numbers(seed: usize, count: usize, gain: f32) -> Vec<f32> {
    (0..count).map(|i| number(seed * 1_000_003 + i) * gain).collect()
}

#[derive(Clone)]
pub struct Call {
    /// batch, q_len, kv_len, heads, kv_heads, features, value_dim
    pub sizes: [usize; 7],
    pub by_head: bool,
    pub shared: bool,
    pub score: u32,
    pub activation: u32,
    pub widths: Vec<usize>,
    pub parameter: f64,
    pub normalize: u32,
    pub temperature: f64,
    pub query: Vec<f32>,
    pub key: Vec<f32>,
    pub value: Vec<f32>,
    pub last: Option<Vec<f32>>,
    pub bias: Option<Vec<f32>>,
    pub deep: Vec<(Vec<f32>, Option<Vec<f32>>)>,
    pub constant: Option<f32>,
    pub mask: Option<(Vec<u8>, [usize; 4])>,
    pub lengths: Option<(Vec<i32>, bool)>,
}

pub struct Result {
    pub out: Vec<f32>,
    pub weights: Vec<f32>,
    pub scores: Vec<f32>,
}

impl Call {
    pub fn new(score: u32, sizes: [usize; 7], gain: f32) -> Self {
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

    pub fn run(&self) -> Result {
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

    pub fn row<'a>(&self, data: &'a [f32], length: usize, heads: usize, width: usize, at: [usize; 3]) -> &'a [f32] {
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
pub fn check(call: &Call) -> [f64; 2] {
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

pub fn bits(data: &[f32]) -> Vec<u32> {
    data.iter().map(|x| x.to_bits()).collect()
}
