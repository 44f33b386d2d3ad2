//! The recorded bits of int8 caches, `tests/data/cache/int8.json`: those of every engine.

mod painted;
mod stored;

use painted::{paint, sha256, CaseShape, Paints};
use saccade::attention::cache::{CacheDType, Format};
use saccade::attention::spec::{Options, Sizes, Spec};
use saccade::error::Field;
use saccade::layout::{Shape, View};
use serde::Deserialize;
use stored::{run, Store};

#[derive(Deserialize)]
struct Recorded {
    id: String,
    shape: CaseShape,
    paint: Paints,
    sha256: [String; 2],
}

#[derive(Deserialize)]
struct File {
    cases: Vec<Recorded>,
}

#[test]
fn the_portable_build_has_the_recorded_bits() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/cache/int8.json");
    let file: File = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!file.cases.is_empty());
    for Recorded { id, shape, paint: paints, sha256: expected } in file.cases {
        let CaseShape { batch, q_len, kv_len, num_heads, num_kv_heads, head_dim, value_head_dim } = shape;
        let format = Format { dtype: CacheDType::Int8, num_kv_heads, head_dim, value_head_dim, head_stride: 0 };
        let painted =
            |by, rows, heads, width| (paint(by, batch * rows * heads * width), Shape::bshd(batch, rows, heads, width));
        let (query, query_shape) = painted(&paints.query, q_len, num_heads, head_dim);
        let (key, key_shape) = painted(&paints.key, kv_len, num_kv_heads, head_dim);
        let (value, value_shape) = painted(&paints.value, kv_len, num_kv_heads, value_head_dim);
        let mut store = Store::new(format, batch, kv_len);
        let key = View::new(&key, key_shape, Field::Key).unwrap().into();
        let value = View::new(&value, value_shape, Field::Value).unwrap().into();
        for b in 0..batch {
            store.write().append(&key, &value, b, 0, 0..kv_len).unwrap();
        }
        let offsets = vec![kv_len as i32 - q_len as i32; batch];
        let options = Options { causal: true, q_offset: &offsets, ..Options::default() };
        let sizes = Sizes { batch, num_heads, num_kv_heads, q_len, kv_len, kv_start: 0, head_dim, value_head_dim };
        let query = View::new(&query, query_shape, Field::Query).unwrap();
        let results = run(&Spec::over_cache(sizes, options, query, store.cache()).unwrap(), &sizes);
        assert_eq!(results.map(|values| sha256(&values)), expected, "{id}");
    }
}
