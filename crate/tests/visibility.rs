//! Which keys a row sees: every rule against its one-line definition, and what is hidden never shows.

mod painted;

use painted::Case;
use saccade::attention::bit_mask::{BitMask, Instruction, Rows, OFFSET_OF_CALL};
use saccade::attention::mask::Tile;
use saccade::attention::spec::{Options, Sizes, Spec, Window};
use saccade::error::Field;
use saccade::layout::{Shape, View};
use serde_json::{json, Value};

/// A small generator: the same numbers on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Asks a tile about every row and key, and compares with a predicate of (batch row, row, key).
fn check(sizes: Sizes, options: Options<'_>, what: &str, sees: impl Fn(usize, i64, i64) -> bool) {
    let zeros = vec![0.0f32; 4096];
    let view = |seq, heads, width, field| {
        View::new(&zeros, Shape { sizes: [sizes.batch, seq, heads], width, strides: [0; 3] }, field)
    };
    let query = view(sizes.q_len, sizes.num_heads, sizes.head_dim, Field::Query).unwrap();
    let key = view(sizes.kv_len, sizes.num_kv_heads, sizes.head_dim, Field::Key).unwrap();
    let value = view(sizes.kv_len, sizes.num_kv_heads, sizes.value_head_dim, Field::Value).unwrap();
    let spec = Spec::new(sizes, options, query, key, value).unwrap();
    for batch in 0..sizes.batch {
        for first in (0..sizes.q_len).step_by(13) {
            let n = 13.min(sizes.q_len - first);
            let tile = Tile::new(&spec, batch, n, |r| (first + r, 0));
            let mut seen = vec![vec![false; sizes.kv_len.next_multiple_of(64)]; n.next_multiple_of(4)];
            let mut last = None;
            for block in tile.blocks() {
                assert!(last.is_none_or(|last| last < block), "blocks ascend");
                last = Some(block);
                let Some(sight) = tile.block(block) else { continue };
                for group in 0..n.div_ceil(4) {
                    let columns = sight.columns(group);
                    for (r, word) in columns.rows.iter().enumerate() {
                        for c in 0..64 {
                            seen[group * 4 + r][block * 64 + c] = word >> c & 1 == 1;
                            if group * 4 + r < n && word >> c & 1 == 1 {
                                assert!((columns.from..columns.to).contains(&c));
                            }
                        }
                    }
                }
            }
            for (r, row) in seen.iter().enumerate().take(n) {
                for (j, seen) in row.iter().enumerate() {
                    let want = j < sizes.kv_len && sees(batch, (first + r) as i64, j as i64);
                    assert_eq!(*seen, want, "{what}: batch {batch} row {} key {j}", first + r);
                }
            }
        }
    }
}

fn sizes(q_len: usize, kv_len: usize) -> Sizes {
    Sizes { batch: 2, num_heads: 1, num_kv_heads: 1, q_len, kv_len, kv_start: 0, head_dim: 1, value_head_dim: 1 }
}

#[test]
fn positions_and_lengths() {
    let mut numbers = Numbers(1);
    for round in 0..400 {
        let (q_len, kv_len) = (1 + numbers.below(40) as usize, 1 + numbers.below(300) as usize);
        let offsets = [0, 1].map(|_| numbers.below(400) as i32 - 100);
        let lengths = [0, 1].map(|_| numbers.below(kv_len as u64 + 1) as u32);
        let rows = [0, 1].map(|_| numbers.below(q_len as u64 + 1) as u32);
        let causal = numbers.below(2) == 0;
        let mut side = || (numbers.below(3) > 0).then(|| numbers.below(100) as u32);
        let (left, right) = (side(), side());
        let first = [0, 3, 64, 70][round % 4];
        let window = (round % 3 > 0).then_some(Window { left, right, first });
        let options = Options {
            causal,
            window,
            q_offset: &offsets,
            kv_lengths: if round % 2 == 0 { &lengths } else { &[] },
            q_lengths: if round % 5 == 0 { &rows } else { &[] },
            ..Options::default()
        };
        check(sizes(q_len, kv_len), options, &format!("round {round}"), |b, i, j| {
            let position = i + i64::from(offsets[b]);
            let inside = window.is_none_or(|w| {
                let near = w.left.is_none_or(|left| j >= position - i64::from(left))
                    && w.right.is_none_or(|right| j <= position + i64::from(right));
                near || j < i64::from(w.first)
            });
            (round % 2 != 0 || j < i64::from(lengths[b]))
                && (round % 5 != 0 || i < i64::from(rows[b]))
                && (!causal || j <= position)
                && inside
        });
    }
}

#[test]
fn bit_mask_rules() {
    let (q_len, kv_len) = (30, 150);
    let documents =
        |n: usize, run: usize| (0..2 * n).map(|i| (i % n / run) as i32 + (i / n) as i32).collect::<Vec<_>>();
    let (q_numbers, kv_numbers) = (documents(q_len, 7), documents(kv_len, 31));
    let query = Rows { data: &q_numbers[..], length: q_len };
    let key = Rows { data: &kv_numbers[..], length: kv_len };
    let lengths = [5u32, 90];
    let global_rows = [1u32 << 3 | 1 << 17];
    let global_keys = [1u32, 0, 1 << 31, 0, 1];
    let stored: Vec<u32> = (0..2 * q_len as u32 * 5).map(|i| i.wrapping_mul(0x9e37_79b9)).collect();
    let bit = |words: &[u32], i: i64| words[i as usize / 32] >> (i % 32) & 1 == 1;
    let causal = Instruction::Causal { offset: 60 };
    let window = Instruction::Window { left: 20, right: u32::MAX, offset: 40 };
    let prefix = Instruction::Prefix { lengths: &lengths };
    let document = Instruction::Document { query, key };
    let dilated = Instruction::Dilated { step: 3, offset: -2 };
    let global = Instruction::Global { query: &global_rows, key: &global_keys };
    let words = Instruction::Stored { words: &stored, strides: [q_len * 5, 0, 5] };
    type Sees<'a> = &'a dyn Fn(usize, i64, i64) -> bool;
    let sees_causal: Sees = &|_, i, j| j <= i + 60;
    let sees_window: Sees = &|_, i, j| j >= i + 20;
    let sees_prefix: Sees = &|b, _, j| j < i64::from(lengths[b]);
    let sees_document: Sees = &|b, i, j| q_numbers[b * q_len + i as usize] == kv_numbers[b * kv_len + j as usize];
    let sees_dilated: Sees = &|_, i, j| (i - 2 - j) % 3 == 0;
    let sees_global: Sees = &|_, i, j| bit(&global_rows, i) || bit(&global_keys, j);
    let sees_stored: Sees = &|b, i, j| bit(&stored[(b * q_len + i as usize) * 5..], j);
    let rules = [
        (causal, sees_causal),
        (window, sees_window),
        (prefix, sees_prefix),
        (document, sees_document),
        (dilated, sees_dilated),
        (global, sees_global),
        (words, sees_stored),
    ];
    let run = |program: &[Instruction<'_>], what: &str, sees: Sees| {
        let mask = BitMask::new(program).unwrap();
        let options = Options { bit_mask: Some(&mask), ..Options::default() };
        check(sizes(q_len, kv_len), options, what, sees);
    };
    for (a, sees_a) in rules {
        run(&[a], &format!("{a:?}"), sees_a);
        run(&[a, Instruction::Not], &format!("not {a:?}"), &|b, i, j| !sees_a(b, i, j));
        for (c, sees_c) in rules {
            run(&[a, c, Instruction::And], "and", &|b, i, j| sees_a(b, i, j) && sees_c(b, i, j));
            run(&[a, c, Instruction::Or], "or", &|b, i, j| sees_a(b, i, j) || sees_c(b, i, j));
        }
    }
    let of_call = BitMask::new(&[
        Instruction::Causal { offset: OFFSET_OF_CALL },
        Instruction::Dilated { step: 4, offset: OFFSET_OF_CALL },
        Instruction::Window { left: 9, right: 3, offset: OFFSET_OF_CALL },
        Instruction::Or,
        Instruction::And,
    ]);
    let offsets = [17, 101];
    let options = Options { bit_mask: of_call.as_ref(), q_offset: &offsets, ..Options::default() };
    check(sizes(q_len, kv_len), options, "the call's offsets", |b, i, j| {
        let position = i + i64::from(offsets[b]);
        j <= position && ((position - j) % 4 == 0 || (position - 9..=position + 3).contains(&j))
    });
    assert_eq!(BitMask::new(&[]), None);
    assert_eq!(BitMask::new(&[causal, causal]), None);
    assert_eq!(BitMask::new(&[Instruction::And]), None);
    assert_eq!(BitMask::new(&[causal; 40]), None);
}

fn case(options: Value) -> Case {
    let paint = |seed| json!({ "rule": "bell", "seed": seed });
    serde_json::from_value(json!({
        "id": "law",
        "shape": { "batch": 2, "qLen": 9, "kvLen": 140, "numHeads": 4, "numKvHeads": 2, "headDim": 12, "valueHeadDim": 10 },
        "paint": { "query": paint(1), "key": paint(2), "value": paint(3) },
        "options": options,
    }))
    .unwrap()
}

#[test]
fn a_mask_hides_what_lies_under_it() {
    for shape in [[1, 1, 1, 140], [2, 1, 9, 140], [2, 4, 9, 140], [1, 4, 1, 140], [2, 1, 9, 1]] {
        let masked = case(
            json!({ "mask": { "shape": shape, "keep": 128, "seed": 5 }, "softcap": 3.0, "alibiSlopes": [0.0625, 0.03125, 0.015625, 0] }),
        );
        let inputs = masked.inputs();
        let want = masked.run_on(&inputs);
        // Keys that no row of their batch row and kv head sees, poisoned, change nothing.
        let mut dirty = inputs.clone();
        let mut hidden = 0;
        for b in 0..2 {
            for kv_head in 0..2 {
                for j in 0..140 {
                    let rows = (0..2).flat_map(|g| (0..9).map(move |i| ((b * 4 + kv_head * 2 + g) * 9 + i) * 140 + j));
                    if rows.into_iter().all(|at| want.weights[at] == 0.0) {
                        let at = (b * 2 + kv_head) * 140 + j;
                        dirty[1][at * 12..][..12].fill(if j % 2 == 0 { f32::NAN } else { f32::INFINITY });
                        dirty[2][at * 10..][..10].fill(if j % 3 == 0 { f32::NAN } else { f32::NEG_INFINITY });
                        hidden += 1;
                    }
                }
            }
        }
        let got = masked.run_on(&dirty);
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert!(bits(&got.out) == bits(&want.out), "{shape:?}, {hidden} hidden");
        assert_eq!(bits(&got.lse), bits(&want.lse));
        assert_eq!(bits(&got.weights), bits(&want.weights));
        assert!(hidden > 0 || shape[2] == 9, "{shape:?}");
    }
}

#[test]
fn padding_rows_are_empty() {
    let padded = case(json!({ "qLengths": [3, 9], "sinks": [1, 0, -1, 2] }));
    let results = padded.run();
    let plain = case(json!({ "sinks": [1, 0, -1, 2] })).run();
    for row in 0..2 * 4 * 9 {
        let padding = row / 36 == 0 && row % 9 >= 3;
        let (got, want) = (&results.out[row * 10..][..10], &plain.out[row * 10..][..10]);
        if padding {
            assert!(got.iter().all(|x| x.to_bits() == 0));
            assert_eq!(results.lse[row], f32::NEG_INFINITY);
        } else {
            assert_eq!(got, want);
        }
    }
}
