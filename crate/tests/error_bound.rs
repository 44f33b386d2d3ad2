//! The portable build against the f64 reference, within the contract's error bound (section 9).

mod painted;

use painted::{Case, Results};
use saccade::attention::reference::attention;
use saccade::attention::spec::{default_scale, Spec};
use serde_json::json;

const LOG2_E: f64 = core::f64::consts::LOG2_E;
const LN_2: f64 = core::f64::consts::LN_2;

struct Margin {
    out: f64,
    lse: f64,
}

/// The largest share of the bound that an error takes, over all outputs.
fn margin(case: &Case, spec: &Spec<'_>, inputs: &[Vec<f32>; 3], results: &Results) -> Margin {
    let s = &case.shape;
    let c = default_scale(s.head_dim) * LOG2_E;
    let unit = 2f64.powi(-24);
    let blocks = s.kv_len.div_ceil(64) as f64;
    let levels = blocks.log2().ceil() + 1.0;
    let mut worst = Margin { out: 0.0, lse: 0.0 };
    let mut scores = vec![0.0; s.kv_len];
    let mut out = vec![0.0; s.value_head_dim];
    attention(spec, &mut scores, &mut out, &mut |b, h, i, expected, lse| {
        let kv_head = h / (s.num_heads / s.num_kv_heads);
        let row = (b * s.num_heads + h) * s.q_len + i;
        let got_lse = f64::from(results.lse[row]);
        if lse == f64::NEG_INFINITY {
            assert_eq!(got_lse, lse);
            assert!(results.out[row * s.value_head_dim..][..s.value_head_dim].iter().all(|x| x.to_bits() == 0));
            return;
        }
        let q = &inputs[0][row * s.head_dim..][..s.head_dim];
        let visible = (0..s.kv_len).filter(|j| results.weights[row * s.kv_len + j] > 0.0);
        let keys: Vec<_> = visible
            .map(|j| {
                let key = ((b * s.num_kv_heads + kv_head) * s.kv_len + j) * s.head_dim;
                let k = &inputs[1][key..][..s.head_dim];
                let products = || q.iter().zip(k).map(|(q, k)| f64::from(*q) * f64::from(*k));
                let t = c * products().sum::<f64>();
                (j, t, c.abs() * products().map(f64::abs).sum::<f64>())
            })
            .collect();
        let largest = keys.iter().map(|k| k.1).fold(f64::NEG_INFINITY, f64::max);
        let d = s.head_dim as f64;
        let error_of = |t: f64, size: f64| {
            LN_2 * ((d.min(64.0) + d / 64.0 + 3.0) * size + (t - largest).abs() + 2.0 * t.abs()) + 3.6 * (1.0 + levels)
        };
        let sum: f64 = keys.iter().map(|k| (k.1 - largest).exp2()).sum();
        for (lane, expected) in expected.iter().enumerate() {
            let (mut values, mut weights) = (0.0, 0.0);
            for (j, t, size) in &keys {
                let w = (t - largest).exp2() / sum;
                let at = ((b * s.num_kv_heads + kv_head) * s.kv_len + j) * s.value_head_dim + lane;
                let h = error_of(*t, *size);
                values += w * f64::from(inputs[2][at]).abs() * (h + 64.0 + 2.0 * levels);
                weights += w * (h + 18.0 + 2.0 * levels);
            }
            let bound = unit * (values + expected.abs() * weights + 2.0 * expected.abs());
            let error = (f64::from(results.out[row * s.value_head_dim + lane]) - expected).abs();
            worst.out = worst.out.max(error / bound);
        }
        let total: f64 = results.weights[row * s.kv_len..][..s.kv_len].iter().map(|w| f64::from(*w)).sum();
        assert!((total - 1.0).abs() < 1e-5, "weights sum to {total}");
        worst.lse = worst.lse.max((got_lse - lse).abs() / (unit * (lse.abs() + 40.0)));
    });
    worst
}

#[test]
fn within_the_bound() {
    let mut worst = Margin { out: 0.0, lse: 0.0 };
    let mut seed = 1;
    for (head_dim, value_head_dim) in [(1, 1), (3, 5), (8, 8), (32, 32), (64, 64), (65, 80), (128, 64), (130, 13)] {
        for kv_len in [1, 7, 63, 64, 65, 129, 200, 1000] {
            for (q_len, heads, kv_heads) in [(1, 2, 1), (5, 2, 2), (66, 1, 1)] {
                seed += 3;
                let paint = |k| json!({ "rule": "bell", "seed": seed + k });
                let case = json!({
                    "id": format!("{head_dim}-{value_head_dim}-{kv_len}-{q_len}"),
                    "shape": { "batch": 2, "qLen": q_len, "kvLen": kv_len, "numHeads": heads, "numKvHeads": kv_heads,
                               "headDim": head_dim, "valueHeadDim": value_head_dim },
                    "paint": { "query": paint(0), "key": paint(1), "value": paint(2) },
                    "options": { "causal": seed % 2 == 0, "qOffset": kv_len - q_len / 2, "kvLengths": [kv_len, kv_len / 2] },
                });
                let case: Case = serde_json::from_value(case).unwrap();
                let inputs = case.inputs();
                let results = case.run_on(&inputs);
                let share = case.with_spec(&inputs, |spec| margin(&case, spec, &inputs, &results));
                assert!(share.out < 0.2, "{}: {} of the bound", case.id, share.out);
                assert!(share.lse < 1.0, "{}: lse {}", case.id, share.lse);
                worst = Margin { out: worst.out.max(share.out), lse: worst.lse.max(share.lse) };
            }
        }
    }
    println!("largest share of the bound: out {:.3}, lse {:.3}", worst.out, worst.lse);
}
