//! Painted cases: inputs by rule, as the project's vectors name them, run through the portable build.
//!
//! Shared by the integration tests and by the `vectors` example.
#![allow(dead_code)]

pub mod operator;

use saccade::attention::forward::forward;
use saccade::attention::operand::Operand;
use saccade::attention::plan::Plan;
use saccade::attention::shard::Shard;
use saccade::attention::spec::{Options, Outputs, Sizes, Spec, Weights, Window};
use saccade::error::Field;
use saccade::layout::{Shape, View, ViewMut};
use serde::Deserialize;
use sha2::{Digest, Sha256};

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseShape {
    pub batch: usize,
    pub q_len: usize,
    pub kv_len: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    pub head_dim: usize,
    pub value_head_dim: usize,
}

/// One f32 as hex bits, or the integer 0 or a power of two in plain form.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Number {
    Hex(String),
    Plain(f64),
}

impl Number {
    pub fn f32(&self) -> f32 {
        match self {
            Self::Hex(hex) => f32::from_bits(u32::from_str_radix(hex, 16).unwrap()),
            Self::Plain(x) => *x as f32,
        }
    }

    pub fn f64(&self) -> f64 {
        match self {
            Self::Hex(hex) => f64::from_bits(u64::from_str_radix(hex, 16).unwrap()),
            Self::Plain(x) => *x,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Paint {
    pub rule: String,
    pub seed: u32,
    pub gain: Option<Number>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Paints {
    pub query: Paint,
    pub key: Paint,
    pub value: Paint,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Causal {
    Flag(bool),
    #[serde(rename_all = "camelCase")]
    Offset {
        q_offset: i32,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Offsets {
    All(i32),
    Each(Vec<i32>),
}

#[derive(Clone, Debug, Deserialize)]
pub struct WindowOption {
    pub left: Option<u32>,
    pub right: Option<u32>,
    #[serde(default)]
    pub first: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub struct MaskOption {
    pub shape: [usize; 4],
    pub keep: u32,
    pub seed: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub struct BiasOption {
    pub shape: [usize; 4],
    #[serde(flatten)]
    pub paint: Paint,
}

/// The options of a case; one with others does not parse.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CaseOptions {
    pub scale: Option<Number>,
    pub causal: Option<Causal>,
    pub q_offset: Option<Offsets>,
    pub kv_lengths: Option<Vec<u32>>,
    pub q_lengths: Option<Vec<u32>>,
    pub softcap: Option<Number>,
    pub window: Option<WindowOption>,
    pub mask: Option<MaskOption>,
    pub bias: Option<BiasOption>,
    #[serde(default)]
    pub alibi_slopes: Vec<Number>,
    #[serde(default)]
    pub sinks: Vec<Number>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    pub id: String,
    pub shape: CaseShape,
    pub paint: Paints,
    pub options: CaseOptions,
}

pub struct Results {
    pub out: Vec<f32>,
    pub lse: Vec<f32>,
    pub weights: Vec<f32>,
}

fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x85eb_ca6b);
    x ^= x >> 13;
    x = x.wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

fn word(seed: u32, n: u32) -> u32 {
    mix(seed.wrapping_mul(0x9e37_79b9).wrapping_add(n))
}

pub fn paint(paint: &Paint, count: usize) -> Vec<f32> {
    let bell = |i: u32| {
        let halves = |w: u32| i32::from(w as i16) + i32::from((w >> 16) as i16);
        (halves(word(paint.seed, i * 2)) + halves(word(paint.seed, i * 2 + 1))) as f32 / 32_768.0
    };
    let gain = paint.gain.as_ref().map_or(1.0, Number::f32);
    let element = |i: u32| match paint.rule.as_str() {
        "bell" => bell(i),
        "i8q5" => f32::from(word(paint.seed, i * 2) as i8) / 32.0,
        "poison" => {
            let w = word(paint.seed ^ 0x5a5a_5a5a, i * 2);
            match (w & 255 < 4, (w >> 8) & 3) {
                (false, _) => bell(i),
                (true, 1) => f32::INFINITY,
                (true, 2) => f32::NEG_INFINITY,
                (true, _) => f32::NAN,
            }
        }
        rule => panic!("no painting rule {rule}"),
    };
    (0..count as u32).map(|i| element(i) * gain).collect()
}

/// SHA-256 of little-endian f32, every NaN as 7fc00000.
pub fn sha256(values: &[f32]) -> String {
    let mut hash = Sha256::new();
    for x in values {
        let bits = if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() };
        hash.update(bits.to_le_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Case {
    pub fn sizes(&self) -> Sizes {
        let CaseShape { batch, q_len, kv_len, num_heads, num_kv_heads, head_dim, value_head_dim } = self.shape;
        Sizes { batch, num_heads, num_kv_heads, q_len, kv_len, kv_start: 0, head_dim, value_head_dim }
    }

    pub fn offsets(&self) -> Vec<i32> {
        match (&self.options.q_offset, &self.options.causal) {
            (Some(Offsets::Each(each)), _) => each.clone(),
            (Some(Offsets::All(n)), _) | (None, Some(Causal::Offset { q_offset: n })) => vec![*n; self.shape.batch],
            _ => Vec::new(),
        }
    }

    pub fn inputs(&self) -> [Vec<f32>; 3] {
        let s = &self.shape;
        [
            paint(&self.paint.query, s.batch * s.num_heads * s.q_len * s.head_dim),
            paint(&self.paint.key, s.batch * s.num_kv_heads * s.kv_len * s.head_dim),
            paint(&self.paint.value, s.batch * s.num_kv_heads * s.kv_len * s.value_head_dim),
        ]
    }

    /// Calls `f` with the case's spec over its painted inputs.
    pub fn with_spec<R>(&self, inputs: &[Vec<f32>; 3], f: impl FnOnce(&Spec<'_>) -> R) -> R {
        self.with_part(inputs, None, f)
    }

    /// The same, for the keys of one part of the call.
    pub fn with_part<R>(
        &self,
        inputs: &[Vec<f32>; 3],
        keys: Option<std::ops::Range<usize>>,
        f: impl FnOnce(&Spec<'_>) -> R,
    ) -> R {
        let s = &self.shape;
        let mut sizes = self.sizes();
        let mut shard = None;
        let (mut key_data, mut value_data) = (&inputs[1][..], &inputs[2][..]);
        if let Some(keys) = keys {
            (sizes.kv_start, sizes.kv_len) = (keys.start, keys.len());
            shard = Shard::new(keys.start, keys.end, s.kv_len);
            key_data = &key_data[(keys.start * s.head_dim).min(key_data.len())..];
            value_data = &value_data[(keys.start * s.value_head_dim).min(value_data.len())..];
        }
        let offsets = self.offsets();
        let count = |shape: &[usize; 4]| shape.iter().product::<usize>();
        let mask: Option<Vec<u8>> = self.options.mask.as_ref().map(|mask| {
            let keep = |i| (word(mask.seed, 2 * i) & 255 < mask.keep) as u8;
            (0..count(&mask.shape) as u32).map(keep).collect()
        });
        let bias = self.options.bias.as_ref().map(|bias| paint(&bias.paint, count(&bias.shape)));
        // Given as [batch, heads, q_len, kv_len]; an axis of size 1 is broadcast.
        let broadcast = |shape: &[usize; 4]| {
            let [b, h, q, k] = *shape;
            let stride = |n: usize, stride: usize| if n == 1 { 0 } else { stride };
            let strides = [stride(b, h * q * k), stride(q, k), stride(h, q * k)];
            Shape { sizes: [s.batch, s.q_len, s.num_heads], width: k, strides }
        };
        let numbers = |list: &[Number]| list.iter().map(Number::f32).collect::<Vec<_>>();
        let (slopes, sinks) = (numbers(&self.options.alibi_slopes), numbers(&self.options.sinks));
        let options = Options {
            scale: self.options.scale.as_ref().map(Number::f64),
            causal: self.options.causal.as_ref().is_some_and(|c| !matches!(c, Causal::Flag(false))),
            q_offset: &offsets,
            kv_lengths: self.options.kv_lengths.as_deref().unwrap_or(&[]),
            q_lengths: self.options.q_lengths.as_deref().unwrap_or(&[]),
            softcap: self.options.softcap.as_ref().map(Number::f64),
            window: self.options.window.as_ref().map(|w| Window { left: w.left, right: w.right, first: w.first }),
            mask: self
                .options
                .mask
                .as_ref()
                .map(|option| View::new(mask.as_ref().unwrap(), broadcast(&option.shape), Field::Mask).unwrap()),
            bias: self.options.bias.as_ref().map(|option| {
                Operand::F32(View::new(bias.as_ref().unwrap(), broadcast(&option.shape), Field::Bias).unwrap())
            }),
            alibi_slopes: &slopes,
            sinks: &sinks,
            tap: None,
            shard,
            bit_mask: None,
        };
        let query = Shape::bhsd(s.batch, s.q_len, s.num_heads, s.head_dim);
        // Keys of a part lie where they lay in the whole.
        let part = |width| Shape {
            sizes: [s.batch, sizes.kv_len, s.num_kv_heads],
            ..Shape::bhsd(s.batch, s.kv_len, s.num_kv_heads, width)
        };
        let spec = Spec::new(
            sizes,
            options,
            View::new(&inputs[0], query, Field::Query).unwrap(),
            View::new(key_data, part(s.head_dim), Field::Key).unwrap(),
            View::new(value_data, part(s.value_head_dim), Field::Value).unwrap(),
        );
        f(&spec.unwrap())
    }

    pub fn run(&self) -> Results {
        self.run_on(&self.inputs())
    }

    /// Runs the case, with canaries round every output and scratch memory full of NaN.
    pub fn run_on(&self, inputs: &[Vec<f32>; 3]) -> Results {
        let s = &self.shape;
        let rows = s.batch * s.num_heads * s.q_len;
        let [mut out, mut lse, mut weights] = [rows * s.value_head_dim, rows, rows * s.kv_len].map(Guarded::new);
        self.with_spec(inputs, |spec| {
            let plan = Plan::new(spec).unwrap();
            let mut scratch = Guarded::new(plan.scratch());
            scratch.inner().fill(f32::NAN);
            let view = |guarded, width, field| {
                let shape = Shape::bhsd(s.batch, s.q_len, s.num_heads, width);
                ViewMut::new(Guarded::inner(guarded), shape, field).unwrap()
            };
            let mut outputs = Outputs {
                out: view(&mut out, s.value_head_dim, Field::Out).into(),
                lse: Some(view(&mut lse, 1, Field::Lse)),
                weights: Some(Weights::Full(view(&mut weights, s.kv_len, Field::Weights))),
                tap: None,
                partial: None,
            };
            forward(spec, &mut outputs, scratch.inner()).unwrap();
            scratch.check();
        });
        Results { out: out.check(), lse: lse.check(), weights: weights.check() }
    }
}

/// A buffer between canaries.
struct Guarded {
    memory: Vec<f32>,
    length: usize,
}

const CANARIES: usize = 64;
const CANARY: u32 = 0xdead_beef;

impl Guarded {
    fn new(length: usize) -> Self {
        Self { memory: vec![f32::from_bits(CANARY); length + 2 * CANARIES], length }
    }

    fn inner(&mut self) -> &mut [f32] {
        &mut self.memory[CANARIES..CANARIES + self.length]
    }

    fn check(self) -> Vec<f32> {
        let (before, rest) = self.memory.split_at(CANARIES);
        let (inner, after) = rest.split_at(self.length);
        assert!(before.iter().chain(after).all(|x| x.to_bits() == CANARY), "a canary was overwritten");
        inner.to_vec()
    }
}
