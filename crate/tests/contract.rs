//! The recorded bits of the numeric contract, on which two other implementations agree.

mod painted;

use painted::{sha256, Case};
use std::path::Path;

#[test]
fn recorded_hashes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/contract/contract.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut ran = 0;
    for recorded in file["cases"].as_array().unwrap() {
        let case: Case = serde_json::from_value(recorded.clone()).unwrap();
        let results = case.run();
        let first: Vec<_> = results.out.iter().take(8).map(|x| format!("{:08x}", x.to_bits())).collect();
        assert_eq!(sha256(&results.lse), recorded["lse"]["sha256"], "{}: lse", case.id);
        assert_eq!(sha256(&results.out), recorded["out"]["sha256"], "{}: out starts {first:?}", case.id);
        ran += 1;
    }
    assert_eq!(ran, 118);
}
