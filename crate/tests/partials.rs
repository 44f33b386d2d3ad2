//! Any split of the keys, merged in any order, gives the bits of the unsplit call.

mod painted;

use painted::{Case, Number};
use saccade::attention::forward::forward;
use saccade::attention::merge::{merge_row, scratch, Item, MergeOutputs};
use saccade::attention::plan::Plan;
use saccade::attention::shard::Shard;
use saccade::attention::spec::{Outputs, PartialOutputs};
use saccade::error::Field;
use saccade::layout::{Shape, ViewMut};
use std::path::Path;

/// What a part ships.
struct Part {
    nodes: Vec<usize>,
    m: Vec<f32>,
    l: Vec<f32>,
    o: Vec<f32>,
    /// Keys, scores `[row][count]`, values `[unit][count][width]`.
    edges: Vec<(std::ops::Range<usize>, Vec<f32>, Vec<f32>)>,
}

fn rows_shape(case: &Case, width: usize) -> Shape {
    Shape::bhsd(case.shape.batch, case.shape.q_len, case.shape.num_heads, width)
}

fn part(case: &Case, inputs: &[Vec<f32>; 3], keys: std::ops::Range<usize>) -> Part {
    let s = &case.shape;
    case.with_part(inputs, Some(keys.clone()), |spec| {
        let shard = Shard::new(keys.start, keys.end, s.kv_len).unwrap();
        let mut nodes = Vec::new();
        shard.nodes(|block| nodes.push(block));
        let rows = s.batch * s.num_heads * s.q_len;
        let [mut m, mut l] = [0, 1].map(|_| vec![f32::NAN; rows * nodes.len()]);
        let mut o = vec![f32::NAN; rows * nodes.len() * s.value_head_dim];
        let units = s.batch * s.num_kv_heads;
        let mut edges: Vec<_> = shard
            .edges()
            .into_iter()
            .map(|keys| {
                let n = keys.len();
                (keys, vec![f32::NAN; rows * n], vec![f32::NAN; units * n * s.value_head_dim])
            })
            .collect();
        let view = |data, width| ViewMut::new(data, rows_shape(case, width), Field::Partial).unwrap();
        let states = Shape::bhsd(nodes.len() * s.batch, s.q_len, s.num_heads, 1);
        let lanes = Shape::bhsd(nodes.len() * s.batch, s.q_len, s.num_heads, s.value_head_dim);
        let mut edge_views = edges.iter_mut().map(|(keys, scores, values)| {
            let n = keys.len();
            let values_shape = Shape::bhsd(s.batch, n, s.num_kv_heads, s.value_head_dim);
            (n > 0).then(|| [view(scores, n), ViewMut::new(values, values_shape, Field::Partial).unwrap()])
        });
        let edge_views = [edge_views.next().unwrap(), edge_views.next().unwrap()];
        let mut unused = [0.0; 0];
        let mut outputs = Outputs {
            out: ViewMut::new(&mut unused, Shape::default(), Field::Out).unwrap().into(),
            lse: None,
            weights: None,
            tap: None,
            partial: Some(PartialOutputs {
                m: ViewMut::new(&mut m, states, Field::Partial).unwrap(),
                l: ViewMut::new(&mut l, states, Field::Partial).unwrap(),
                o: ViewMut::new(&mut o, lanes, Field::Partial).unwrap(),
                edges: edge_views,
            }),
        };
        let mut memory = vec![f32::NAN; Plan::new(spec).unwrap().scratch()];
        forward(spec, &mut outputs, &mut memory).unwrap();
        Part { nodes, m, l, o, edges }
    })
}

/// One block of keys with what each part knows of it.
struct EdgeBlock {
    block: usize,
    scores: Vec<f32>,
    values: Vec<f32>,
}

fn merge(case: &Case, parts: &[Part]) -> (Vec<f32>, Vec<f32>) {
    let s = &case.shape;
    let (rows, units, width) = (s.batch * s.num_heads * s.q_len, s.batch * s.num_kv_heads, s.value_head_dim);
    let mut blocks: Vec<EdgeBlock> = Vec::new();
    for (keys, scores, values) in parts.iter().flat_map(|part| &part.edges).filter(|edge| !edge.0.is_empty()) {
        let block = keys.start / 64;
        if !blocks.iter().any(|b| b.block == block) {
            let scores = vec![f32::NEG_INFINITY; rows * 64];
            blocks.push(EdgeBlock { block, scores, values: vec![0.0; units * 64 * width] });
        }
        let to = blocks.iter_mut().find(|b| b.block == block).unwrap();
        let (at, n) = (keys.start % 64, keys.len());
        for row in 0..rows {
            to.scores[row * 64 + at..][..n].copy_from_slice(&scores[row * n..][..n]);
        }
        for unit in 0..units {
            to.values[(unit * 64 + at) * width..][..n * width]
                .copy_from_slice(&values[unit * n * width..][..n * width]);
        }
    }
    let mut items: Vec<Item<'_>> = Vec::new();
    for part in parts {
        for (k, block) in part.nodes.iter().enumerate() {
            let (m, l) = (&part.m[k * rows..][..rows], &part.l[k * rows..][..rows]);
            items.push(Item::Node { block: *block, m, l, o: &part.o[k * rows * width..][..rows * width] });
        }
    }
    items.extend(blocks.iter().map(|b| Item::Edge { block: b.block, scores: &b.scores, values: &b.values }));
    items.sort_by_key(|item| match item {
        Item::Node { block, .. } | Item::Edge { block, .. } | Item::Result { block, .. } => *block,
    });
    let sinks: Vec<f32> = case.options.sinks.iter().map(Number::f32).collect();
    let (mut out, mut lse) = (vec![f32::NAN; rows * width], vec![f32::NAN; rows]);
    let mut memory = vec![f32::NAN; scratch(items.len(), width).unwrap()];
    let mut outputs = MergeOutputs {
        out: ViewMut::new(&mut out, rows_shape(case, width), Field::Out).unwrap().into(),
        lse: Some(ViewMut::new(&mut lse, rows_shape(case, 1), Field::Lse).unwrap()),
    };
    for b in 0..s.batch {
        for h in 0..s.num_heads {
            for i in 0..s.q_len {
                let real = case.options.q_lengths.as_ref().is_none_or(|n| i < n[b] as usize);
                merge_row(
                    &case.sizes(),
                    items.len(),
                    items.iter().copied(),
                    &sinks,
                    real,
                    [b, i, h],
                    &mut memory,
                    &mut outputs,
                );
            }
        }
    }
    (out, lse)
}

fn check(case: &Case, cuts: &[usize]) {
    let inputs = case.inputs();
    let want = case.run_on(&inputs);
    let mut bounds = vec![0];
    bounds.extend(cuts.iter().filter(|cut| **cut <= case.shape.kv_len));
    bounds.push(case.shape.kv_len);
    let mut parts: Vec<Part> = bounds.windows(2).map(|w| part(case, &inputs, w[0]..w[1])).collect();
    // The order of arrival does not matter.
    parts.reverse();
    let (out, lse) = merge(case, &parts);
    assert_eq!(painted::sha256(&lse), painted::sha256(&want.lse), "{}: lse, cut at {cuts:?}", case.id);
    assert_eq!(painted::sha256(&out), painted::sha256(&want.out), "{}: out, cut at {cuts:?}", case.id);
}

#[test]
fn every_recorded_case_in_parts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/contract/contract.json");
    let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for recorded in file["cases"].as_array().unwrap() {
        let case: Case = serde_json::from_value(recorded.clone()).unwrap();
        check(&case, &[case.shape.kv_len / 3]);
        check(&case, &[1, 1, 10, 40, 63, 64, 70, 130, 256, 900]);
    }
}

#[test]
fn every_cut_of_a_short_call() {
    let paint = |seed| serde_json::json!({ "rule": "bell", "seed": seed });
    let case: Case = serde_json::from_value(serde_json::json!({
        "id": "cut",
        "shape": { "batch": 1, "qLen": 5, "kvLen": 460, "numHeads": 2, "numKvHeads": 1, "headDim": 4, "valueHeadDim": 3 },
        "paint": { "query": paint(1), "key": paint(2), "value": paint(3) },
        "options": { "causal": true, "qOffset": 450, "window": { "left": 300, "first": 7 } },
    }))
    .unwrap();
    for cut in 0..=460 {
        check(&case, &[cut]);
        check(&case, &[cut / 2, cut]);
    }
}
