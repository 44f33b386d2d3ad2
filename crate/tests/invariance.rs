//! Laws of the contract: what must give the same bits.

mod painted;

use painted::Case;
use saccade::attention::spec::default_scale;
use saccade::attention::state::{Place, Stack};
use serde_json::{json, Value};

fn case(shape: Value, options: Value) -> Case {
    let paint = |seed| json!({ "rule": "bell", "seed": seed });
    let paint = json!({ "query": paint(11), "key": paint(12), "value": paint(13) });
    serde_json::from_value(json!({ "id": "law", "shape": shape, "paint": paint, "options": options })).unwrap()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_row_alone_is_the_row_in_its_tile() {
    for (q_len, kv_len, head_dim) in [(70, 200, 24), (5, 64, 65), (130, 63, 8)] {
        let whole = case(
            json!({ "batch": 1, "qLen": q_len, "kvLen": kv_len, "numHeads": 1, "numKvHeads": 1, "headDim": head_dim, "valueHeadDim": 9 }),
            json!({ "causal": true, "qOffset": kv_len / 2 }),
        );
        let inputs = whole.inputs();
        let results = whole.run_on(&inputs);
        for i in 0..q_len {
            let mut alone = whole.clone();
            alone.shape.q_len = 1;
            alone.options.q_offset = serde_json::from_value(json!(kv_len / 2 + i)).unwrap();
            let query = inputs[0][i * head_dim..][..head_dim].to_vec();
            let row = alone.run_on(&[query, inputs[1].clone(), inputs[2].clone()]);
            assert_eq!(bits(&row.out), bits(&results.out[i * 9..][..9]), "row {i}");
            assert_eq!(bits(&row.lse), bits(&results.lse[i..=i]));
        }
    }
}

#[test]
fn hidden_values_never_show() {
    for kv_len in [5, 64, 150] {
        let clean = case(
            json!({ "batch": 1, "qLen": kv_len, "kvLen": kv_len, "numHeads": 2, "numKvHeads": 1, "headDim": 16, "valueHeadDim": 11 }),
            json!({ "causal": true, "kvLengths": [kv_len - 1] }),
        );
        let inputs = clean.inputs();
        let want = clean.run_on(&inputs);
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for from in [1, kv_len / 2, kv_len - 1] {
                let mut dirty = inputs.clone();
                dirty[1][from * 16..].fill(poison);
                dirty[2][from * 11..].fill(poison);
                let got = clean.run_on(&dirty);
                for head in 0..2 {
                    // Rows before `from` see none of it.
                    let rows = head * kv_len..head * kv_len + from;
                    let lanes = rows.start * 11..rows.end * 11;
                    assert_eq!(bits(&got.out[lanes.clone()]), bits(&want.out[lanes]), "{poison} from {from}");
                    assert_eq!(bits(&got.lse[rows.clone()]), bits(&want.lse[rows]));
                }
            }
        }
    }
}

#[test]
fn the_default_scale_is_two_rounded_operations() {
    for n in (1..100_000).chain([1 << 31, u32::MAX as usize]) {
        assert_eq!(default_scale(n).to_bits(), (1.0 / (n as f64).sqrt()).to_bits(), "{n}");
    }
}

/// The shape of the merge tree: each state is one block, its text says how it was merged.
#[test]
fn states_merge_along_the_aligned_tree() {
    fn tree(blocks: &[usize], height: u32, node: usize) -> Option<String> {
        if height == 0 {
            return blocks.contains(&node).then(|| node.to_string());
        }
        let [left, right] = [2 * node, 2 * node + 1].map(|child| tree(blocks, height - 1, child));
        match (left, right) {
            (Some(left), Some(right)) => Some(format!("({left} {right})")),
            (left, right) => left.or(right),
        }
    }
    for pattern in 1u32..1 << 11 {
        // Gaps of every kind: block b of the pattern is block b + b / 4 * 5.
        let blocks: Vec<usize> = (0..11).filter(|b| pattern >> b & 1 == 1).map(|b| b + b / 4 * 5).collect();
        let slots = 8;
        let (mut m, mut l, mut o) = (vec![0.0; slots * 4], vec![0.0; slots * 4], vec![0.0; slots * 32]);
        let mut stack = Stack::new(&mut m, &mut l, &mut o, 4, 4, 8);
        let mut texts: Vec<String> = Vec::new();
        // The stack merges numbers; its depth says which texts were merged.
        let join = |texts: &mut Vec<String>| {
            let right = texts.pop().unwrap();
            let left = texts.pop().unwrap();
            texts.push(format!("({left} {right})"));
        };
        for block in &blocks {
            let place = stack.enter(*block, 0..1);
            let new = usize::from(matches!(place, Place::New(_)));
            while texts.len() + new > stack.depth() {
                join(&mut texts);
            }
            match place {
                Place::New(slot) => {
                    assert!(slot < slots);
                    stack.set(slot, 0, [0.0; 4], [1.0; 4]);
                    texts.push(block.to_string());
                }
                Place::Sibling(slot) => {
                    stack.join(slot, 0, [0.0; 4], [1.0; 4]);
                    let left = texts.pop().unwrap();
                    texts.push(format!("({left} {block})"));
                }
            }
        }
        stack.finish(0..1);
        while texts.len() > 1 {
            join(&mut texts);
        }
        assert_eq!(texts.pop(), tree(&blocks, 6, 0), "{blocks:?}");
        assert_eq!(stack.state(0, 0).1, blocks.len() as f32);
    }
}
