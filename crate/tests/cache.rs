//! Attention over a cache has the bits of attention over the rounded rows: every element type, width and number of rows.

mod painted;
mod stored;

use painted::{paint, Paint};
use saccade::attention::cache::{CacheDType, Format};
use saccade::attention::spec::{Options, Sizes, Spec, Window};
use saccade::error::Field;
use saccade::layout::blocks::ABSENT;
use saccade::layout::{Shape, View, ViewMut};
use stored::{bits, run, Store};

fn painted_rows(seed: u32, count: usize) -> Vec<f32> {
    paint(&Paint { rule: "bell".into(), seed, gain: None }, count)
}

#[derive(Clone, Copy, Debug)]
struct Case {
    dtype: CacheDType,
    heads: [usize; 2],
    q_len: usize,
    kv_len: usize,
    widths: [usize; 2],
    left: Option<u32>,
    softcap: Option<f64>,
}

impl Case {
    /// Results over the cache, and over the rows that the cache gives back.
    fn run(&self) -> [[Vec<f32>; 2]; 2] {
        let batch = 2;
        let [num_heads, num_kv_heads] = self.heads;
        let [head_dim, value_head_dim] = self.widths;
        let Case { q_len, kv_len, .. } = *self;
        let sizes = Sizes { batch, num_heads, num_kv_heads, q_len, kv_len, kv_start: 0, head_dim, value_head_dim };
        let format = Format { dtype: self.dtype, num_kv_heads, head_dim, value_head_dim, head_stride: 0 };
        let [query, key, value] = [
            (1, q_len * num_heads * head_dim),
            (2, kv_len * num_kv_heads * head_dim),
            (3, kv_len * num_kv_heads * value_head_dim),
        ]
        .map(|(seed, count)| painted_rows(seed, batch * count));
        let [key_shape, value_shape] =
            [head_dim, value_head_dim].map(|width| Shape::bshd(batch, kv_len, num_kv_heads, width));
        let mut store = Store::new(format, batch, kv_len + 1);
        let lengths = [kv_len as u32, (kv_len / 2) as u32];
        let view = |data, shape| View::new(data, shape, Field::Key).unwrap().into();
        for (b, n) in lengths.iter().enumerate() {
            let (key, value) = (view(&key, key_shape), view(&value, value_shape));
            store.write().append(&key, &value, b, 0, 0..*n as usize).unwrap();
        }
        let (mut keys, mut values) = (vec![0.0; key.len()], vec![0.0; value.len()]);
        let read = |data, shape| ViewMut::new(data, shape, Field::Out).unwrap();
        let (mut to_keys, mut to_values) = (read(&mut keys, key_shape), read(&mut values, value_shape));
        store.write().read(0, 0..kv_len, &mut to_keys, &mut to_values).unwrap();
        let offsets = lengths.map(|n| n as i32 - q_len as i32);
        let window = self.left.map(|left| Window { left: Some(left), right: Some(0), first: 3 });
        let options = Options {
            causal: true,
            window,
            q_offset: &offsets,
            kv_lengths: &lengths,
            softcap: self.softcap,
            ..Options::default()
        };
        let query_view = View::new(&query, Shape::bshd(batch, q_len, num_heads, head_dim), Field::Query).unwrap();
        let over_cache = Spec::over_cache(sizes, options, query_view, store.cache()).unwrap();
        let key_view = View::new(&keys, key_shape, Field::Key).unwrap();
        let value_view = View::new(&values, value_shape, Field::Value).unwrap();
        let over_rows = Spec::new(sizes, options, query_view, key_view, value_view).unwrap();
        [run(&over_cache, &sizes), run(&over_rows, &sizes)]
    }
}

fn cases(dtype: CacheDType) -> impl Iterator<Item = Case> {
    let heads = [[1, 1], [4, 4], [4, 2], [6, 2], [8, 1]];
    let widths = [[64, 64], [1, 1], [8, 40], [65, 33], [80, 80], [130, 7], [32, 128]];
    let lengths = [0, 1, 7, 8, 9, 63, 64, 65, 128, 200, 449];
    heads.into_iter().enumerate().flat_map(move |(h, heads)| {
        lengths.into_iter().enumerate().flat_map(move |(n, kv_len)| {
            [1, 2, 5, 70].into_iter().enumerate().map(move |(q, q_len)| Case {
                dtype,
                heads,
                q_len,
                kv_len,
                widths: widths[(h + n + q) % widths.len()],
                left: ((n + q) % 3 == 0).then_some(20),
                softcap: ((h + q) % 4 == 1).then_some(5.0),
            })
        })
    })
}

#[test]
fn the_bits_are_those_of_attention_over_the_rounded_rows() {
    for dtype in [CacheDType::F32, CacheDType::F16, CacheDType::Bf16] {
        for case in cases(dtype) {
            let [cached, rows] = case.run();
            for (cached, rows) in cached.iter().zip(&rows) {
                assert!(bits(cached) == bits(rows), "{case:?}");
            }
        }
    }
}

#[test]
fn int8_is_near_attention_over_the_rows_it_stands_for() {
    let mut largest = 0.0f32;
    for case in cases(CacheDType::Int8) {
        let [cached, rows] = case.run();
        for (cached, rows) in cached.iter().flatten().zip(rows.iter().flatten()) {
            // Query rows and weights have 16 bits here: a score is off by at most `sum |k| max |q| / 65534`.
            let near = (cached - rows).abs() <= 1e-3 || cached.to_bits() == rows.to_bits();
            assert!(near, "{case:?}: {cached} {rows}");
            if cached.is_finite() {
                largest = largest.max((cached - rows).abs());
            }
        }
    }
    assert!(largest > 0.0);
}

#[test]
fn a_row_has_the_same_bits_alone_and_among_many() {
    for dtype in [CacheDType::F32, CacheDType::F16, CacheDType::Bf16, CacheDType::Int8] {
        let format = Format { dtype, num_kv_heads: 2, head_dim: 72, value_head_dim: 40, head_stride: 0 };
        let (kv_len, q_len, heads) = (150, 9, 6);
        let mut store = Store::new(format, 1, kv_len);
        let (key, value) = (painted_rows(5, kv_len * 2 * 72), painted_rows(6, kv_len * 2 * 40));
        let key = View::new(&key, Shape::bshd(1, kv_len, 2, 72), Field::Key).unwrap().into();
        let value = View::new(&value, Shape::bshd(1, kv_len, 2, 40), Field::Value).unwrap().into();
        store.write().append(&key, &value, 0, 0, 0..kv_len).unwrap();
        let query = painted_rows(7, q_len * heads * 72);
        let attend = |from: usize, n: usize, heads: usize, group_heads: usize| {
            let sizes = Sizes {
                batch: 1,
                num_heads: heads,
                num_kv_heads: 2,
                q_len: n,
                kv_len,
                kv_start: 0,
                head_dim: 72,
                value_head_dim: 40,
            };
            // `heads` of every group, taken from the query's rows of `group_heads`.
            let shape =
                Shape { sizes: [1, n, heads], width: 72, strides: [0, group_heads * 72, group_heads / heads * 72] };
            let query = View::new(&query[from * group_heads * 72..], shape, Field::Query).unwrap();
            let options = Options { causal: true, q_offset: &[100], ..Options::default() };
            let options = Options { q_offset: &[100 + from as i32], ..options };
            run(&Spec::over_cache(sizes, options, query, store.cache()).unwrap(), &sizes)[0].clone()
        };
        let all = attend(0, q_len, 6, 6);
        for i in 0..q_len {
            // Heads 0 and 3 alone: one row per unit.
            let two = attend(i, 1, 2, 6);
            for (at, h) in [(0, 0), (1, 3)] {
                assert_eq!(
                    bits(&two[at * 40..][..40]),
                    bits(&all[(i * 6 + h) * 40..][..40]),
                    "{dtype:?} row {i} head {h}"
                );
            }
        }
    }
}

#[test]
fn a_hidden_value_never_shows_and_an_evicted_block_is_empty() {
    let format = Format { dtype: CacheDType::F32, num_kv_heads: 1, head_dim: 8, value_head_dim: 8, head_stride: 0 };
    let mut store = Store::new(format, 1, 192);
    let key = painted_rows(8, 192 * 8);
    let mut value = painted_rows(9, 192 * 8);
    value[170 * 8..].fill(f32::NAN);
    let view = |data| View::new(data, Shape::bshd(1, 192, 1, 8), Field::Key).unwrap().into();
    store.write().append(&view(&key), &view(&value), 0, 0, 0..192).unwrap();
    let sizes = Sizes {
        batch: 1,
        num_heads: 1,
        num_kv_heads: 1,
        q_len: 1,
        kv_len: 192,
        kv_start: 0,
        head_dim: 8,
        value_head_dim: 8,
    };
    let query = painted_rows(10, 8);
    let mask: Vec<u8> = (0..192).map(|j| u8::from((64..170).contains(&j))).collect();
    let mask = View::new(&mask, Shape { sizes: [1, 1, 1], width: 192, strides: [0; 3] }, Field::Mask).unwrap();
    let options = Options { mask: Some(mask), ..Options::default() };
    let attend = |store: &Store| {
        let query = View::new(&query, Shape::bshd(1, 1, 1, 8), Field::Query).unwrap();
        run(&Spec::over_cache(sizes, options, query, store.cache()).unwrap(), &sizes)
    };
    let [out, lse] = attend(&store);
    assert!(out.iter().chain(&lse).all(|x| x.is_finite()));
    store.table[0] = ABSENT;
    assert_eq!(bits(&attend(&store)[0]), bits(&out));
}

#[test]
fn int8_refuses_what_is_not_finite_and_keeps_zeros() {
    let format = Format { dtype: CacheDType::Int8, num_kv_heads: 1, head_dim: 3, value_head_dim: 3, head_stride: 0 };
    let mut store = Store::new(format, 1, 4);
    let shape = Shape::bshd(1, 4, 1, 3);
    let rows = [0.0, 0.0, 0.0, 127.0, -63.5, 0.5, 1e-45, 0.0, 0.0, 1.0, 2.0, f32::INFINITY];
    let operand = View::new(&rows, shape, Field::Key).unwrap().into();
    assert!(store.write().accepts(&operand, 0, 0..3));
    assert!(!store.write().accepts(&operand, 0, 0..4));
    store.write().append(&operand, &operand, 0, 0, 0..3).unwrap();
    let (mut keys, mut values) = ([1.0; 9], [1.0; 9]);
    let shape = Shape::bshd(1, 3, 1, 3);
    let mut cache = store.write();
    cache
        .read(
            0,
            0..3,
            &mut ViewMut::new(&mut keys, shape, Field::Out).unwrap(),
            &mut ViewMut::new(&mut values, shape, Field::Out).unwrap(),
        )
        .unwrap();
    // 0.5 lies between two integers: the even one.
    assert_eq!(keys[..6], [0.0, 0.0, 0.0, 127.0, -64.0, 0.0]);
    assert_eq!(keys, values);
}
