//! What a call writes beside `out`: every kind of weights, the taps, and half-precision operands.

use saccade::attention::forward::forward;
use saccade::attention::operand::{Operand, Target};
use saccade::attention::plan::Plan;
use saccade::attention::spec::{Options, Outputs, Sizes, Spec, Tap, Weights};
use saccade::error::Field;
use saccade::kernel::convert::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use saccade::layout::{Shape, View, ViewMut};

const SIZES: Sizes = Sizes {
    batch: 2,
    num_heads: 4,
    num_kv_heads: 2,
    q_len: 11,
    kv_len: 70,
    kv_start: 0,
    head_dim: 9,
    value_head_dim: 6,
};
const ROWS: usize = SIZES.batch * SIZES.num_heads * SIZES.q_len;

fn numbers(seed: u32, n: usize) -> Vec<f32> {
    let number = |i: u32| (i.wrapping_mul(0x9e37_79b9).wrapping_add(seed).wrapping_mul(0x85eb_ca6b) >> 16) as f32;
    (0..n as u32).map(|i| number(i) / 16_384.0 - 2.0).collect()
}

struct Inputs {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
}

fn inputs() -> Inputs {
    let kv_rows = SIZES.batch * SIZES.num_kv_heads * SIZES.kv_len;
    Inputs {
        query: numbers(1, ROWS * SIZES.head_dim),
        key: numbers(2, kv_rows * SIZES.head_dim),
        value: numbers(3, kv_rows * SIZES.value_head_dim),
    }
}

fn query_shape(width: usize) -> Shape {
    Shape::bhsd(SIZES.batch, SIZES.q_len, SIZES.num_heads, width)
}

fn kv_shape(width: usize) -> Shape {
    Shape::bhsd(SIZES.batch, SIZES.kv_len, SIZES.num_kv_heads, width)
}

fn run(options: Options<'_>, inputs: &Inputs, weights: Option<Weights<'_>>, tap: Option<ViewMut<'_>>) -> Vec<f32> {
    let mut out = vec![0.0; ROWS * SIZES.value_head_dim];
    let spec = Spec::new(
        SIZES,
        options,
        View::new(&inputs.query, query_shape(SIZES.head_dim), Field::Query).unwrap(),
        View::new(&inputs.key, kv_shape(SIZES.head_dim), Field::Key).unwrap(),
        View::new(&inputs.value, kv_shape(SIZES.value_head_dim), Field::Value).unwrap(),
    )
    .unwrap();
    let mut scratch = vec![f32::NAN; Plan::new(&spec).unwrap().scratch()];
    let view = ViewMut::new(&mut out, query_shape(SIZES.value_head_dim), Field::Out).unwrap();
    forward(&spec, &mut Outputs { out: view.into(), lse: None, weights, tap, partial: None }, &mut scratch).unwrap();
    out
}

fn causal() -> Options<'static> {
    Options { causal: true, q_offset: &[30, 59], kv_lengths: &[70, 64], ..Options::default() }
}

fn full_weights(options: Options<'_>) -> Vec<f32> {
    let mut weights = vec![f32::NAN; ROWS * SIZES.kv_len];
    let view = ViewMut::new(&mut weights, query_shape(SIZES.kv_len), Field::Weights).unwrap();
    run(options, &inputs(), Some(Weights::Full(view)), None);
    weights
}

fn row(weights: &[f32], b: usize, h: usize, i: usize) -> &[f32] {
    &weights[((b * SIZES.num_heads + h) * SIZES.q_len + i) * SIZES.kv_len..][..SIZES.kv_len]
}

#[test]
fn head_mean_sums_the_heads_ascending() {
    let full = full_weights(causal());
    let mut mean = vec![f32::NAN; SIZES.batch * SIZES.q_len * SIZES.kv_len];
    let view = ViewMut::new(&mut mean, Shape::bhsd(SIZES.batch, SIZES.q_len, 1, SIZES.kv_len), Field::Weights).unwrap();
    run(causal(), &inputs(), Some(Weights::HeadMean(view)), None);
    for b in 0..SIZES.batch {
        for i in 0..SIZES.q_len {
            for j in 0..SIZES.kv_len {
                let sum = (0..SIZES.num_heads).fold(0.0f32, |sum, h| sum + row(&full, b, h, i)[j]);
                let got = mean[(b * SIZES.q_len + i) * SIZES.kv_len + j];
                assert_eq!(got.to_bits(), (sum / SIZES.num_heads as f32).to_bits());
            }
        }
    }
}

#[test]
fn chosen_rows_are_rows_of_all() {
    let full = full_weights(causal());
    let slots = [-1, 2, -1, 0, -1, -1, -1, -1, 1, -1, -1];
    let mut some = vec![f32::NAN; SIZES.batch * SIZES.num_heads * 3 * SIZES.kv_len];
    let shape = Shape::bhsd(SIZES.batch, 3, SIZES.num_heads, SIZES.kv_len);
    let view = ViewMut::new(&mut some, shape, Field::Weights).unwrap();
    run(causal(), &inputs(), Some(Weights::Rows(view, &slots)), None);
    for (slot, i) in [(0, 3), (1, 8), (2, 1)] {
        for (b, h) in [(0, 0), (0, 3), (1, 2)] {
            let got = &some[((b * SIZES.num_heads + h) * 3 + slot) * SIZES.kv_len..][..SIZES.kv_len];
            assert_eq!(got, row(&full, b, h, i));
        }
    }
}

#[test]
fn top_k_is_the_sorted_head_of_all() {
    // Equal keys give equal weights: ties go to the lower index.
    let mut inputs = inputs();
    inputs.key.fill(0.25);
    inputs.key[5 * SIZES.head_dim..6 * SIZES.head_dim].fill(0.5);
    for (tied, k) in [(false, 1), (false, 7), (false, 70), (false, 80), (true, 3)] {
        let inputs = if tied { &inputs } else { &self::inputs() };
        let mut full = vec![f32::NAN; ROWS * SIZES.kv_len];
        let view = ViewMut::new(&mut full, query_shape(SIZES.kv_len), Field::Weights).unwrap();
        run(causal(), inputs, Some(Weights::Full(view)), None);
        let (mut values, mut indices) = (vec![f32::NAN; ROWS * k], vec![7; ROWS * k]);
        let top = Weights::TopK(
            ViewMut::new(&mut values, query_shape(k), Field::Weights).unwrap(),
            ViewMut::new(&mut indices, query_shape(k), Field::Weights).unwrap(),
        );
        run(causal(), inputs, Some(top), None);
        for r in 0..ROWS {
            let (b, i) = (r / (ROWS / 2), r % SIZES.q_len);
            let visible = [70, 64][b].min(i + [30, 59][b] + 1);
            let weights = &full[r * SIZES.kv_len..][..visible];
            let mut order: Vec<usize> = (0..visible).collect();
            order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
            for at in 0..k {
                let (want, index) = order.get(at).map_or((0.0, -1), |j| (weights[*j], *j as i32));
                assert_eq!((values[r * k + at], indices[r * k + at]), (want, index), "row {r} place {at}");
            }
        }
    }
}

#[test]
fn taps_are_the_stages() {
    let slopes = [0.5, 0.25, 0.0, 1.0];
    let bias = numbers(9, SIZES.kv_len);
    let bias_shape = Shape { sizes: [SIZES.batch, SIZES.q_len, SIZES.num_heads], width: SIZES.kv_len, strides: [0; 3] };
    let options = |tap, softcap| Options {
        softcap,
        alibi_slopes: &slopes,
        bias: Some(Operand::F32(View::new(&bias, bias_shape, Field::Bias).unwrap())),
        tap: Some(tap),
        ..causal()
    };
    let tap = |stage, softcap| {
        let mut scores = vec![f32::NAN; ROWS * SIZES.kv_len];
        let view = ViewMut::new(&mut scores, query_shape(SIZES.kv_len), Field::Tap).unwrap();
        run(options(stage, softcap), &inputs(), None, Some(view));
        scores
    };
    let inputs = inputs();
    let raw = tap(Tap::Raw, None);
    let scaled = tap(Tap::Scaled, None);
    let capped = tap(Tap::Capped, Some(1.5));
    let biased = tap(Tap::Biased, Some(1.5));
    for r in 0..ROWS {
        let (b, h, i) = (r / (ROWS / 2), r / SIZES.q_len % SIZES.num_heads, r % SIZES.q_len);
        for (j, bias) in bias.iter().enumerate() {
            let at = r * SIZES.kv_len + j;
            let key = ((b * SIZES.num_kv_heads + h / 2) * SIZES.kv_len + j) * SIZES.head_dim;
            let products = (0..SIZES.head_dim).map(|d| inputs.query[r * SIZES.head_dim + d] * inputs.key[key + d]);
            let dot = products.fold(0.0f32, |sum, p| sum + p);
            assert_eq!(raw[at].to_bits(), dot.to_bits());
            assert_eq!(scaled[at].to_bits(), (dot * (1.0f32 / 3.0)).to_bits());
            let cap = 1.5 * (f64::from(dot) / 3.0 / 1.5).tanh();
            assert!((f64::from(capped[at]) - cap).abs() < 1e-6);
            let position = i as i32 + [30, 59][b];
            let visible = (j as i32) <= position && j < [70, 64][b];
            let want = if visible {
                capped[at] + bias + slopes[h] * -((position - j as i32).abs() as f32)
            } else {
                f32::NEG_INFINITY
            };
            assert_eq!(biased[at].to_bits(), want.to_bits(), "row {r} key {j}");
        }
    }
}

#[test]
fn half_operands_are_their_f32_values() {
    type Half = (fn(f32) -> u16, fn(u16) -> f32, bool);
    let halves: [Half; 2] = [(f32_to_f16, f16_to_f32, true), (f32_to_bf16, bf16_to_f32, false)];
    for (narrow, widen, is_f16) in halves {
        let inputs = inputs();
        let stored =
            [&inputs.query, &inputs.key, &inputs.value].map(|x| x.iter().map(|x| narrow(*x)).collect::<Vec<_>>());
        let [query, key, value] = stored.clone().map(|x| x.into_iter().map(widen).collect::<Vec<_>>());
        let want = run(causal(), &Inputs { query, key, value }, None, None);
        let operand = |data, shape, field| {
            let view = View::new(data, shape, field).unwrap();
            if is_f16 {
                Operand::F16(view)
            } else {
                Operand::Bf16(view)
            }
        };
        let spec = Spec::new(
            SIZES,
            causal(),
            operand(&stored[0], query_shape(SIZES.head_dim), Field::Query),
            operand(&stored[1], kv_shape(SIZES.head_dim), Field::Key),
            operand(&stored[2], kv_shape(SIZES.value_head_dim), Field::Value),
        )
        .unwrap();
        let mut out = vec![0u16; ROWS * SIZES.value_head_dim];
        let view = ViewMut::new(&mut out, query_shape(SIZES.value_head_dim), Field::Out).unwrap();
        let out_target = if is_f16 { Target::F16(view) } else { Target::Bf16(view) };
        let mut scratch = vec![f32::NAN; Plan::new(&spec).unwrap().scratch()];
        forward(
            &spec,
            &mut Outputs { out: out_target, lse: None, weights: None, tap: None, partial: None },
            &mut scratch,
        )
        .unwrap();
        let want: Vec<u16> = want.into_iter().map(narrow).collect();
        assert_eq!(out, want);
    }
}
