//! Runs painted cases through the portable build: JSON lines in, JSON lines out.
//!
//! In: `{ id, shape, paint, options }` (see the contract's cases), `{ id, function: "exp2" | "tanh", bits: [hex] }` or
//! `{ id, operator, integers, floats, inputs, outputs }`.
//! Out: `{ id, out_sha256, lse_sha256, weights_sha256 }`, `{ id, bits: [hex] }` or `{ id, sha256: [hash of each output] }`.

#[path = "../tests/painted/mod.rs"]
mod painted;

use saccade::kernel::{exp::exp2, portable::F32x4, tanh::tanh, Lanes};
use serde_json::{json, Value};
use std::io::BufRead;

fn function(name: &str, bits: &[Value]) -> Vec<String> {
    let apply: fn(F32x4) -> F32x4 = match name {
        "exp2" => exp2,
        "tanh" => tanh,
        _ => panic!("no function {name}"),
    };
    let of = |value: &Value| f32::from_bits(u32::from_str_radix(value.as_str().unwrap(), 16).unwrap());
    bits.iter().map(|x| format!("{:08x}", apply(F32x4::splat(of(x))).canonical().to_array()[0].to_bits())).collect()
}

fn main() {
    for line in std::io::stdin().lock().lines() {
        let given: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let answer = match given["function"].as_str() {
            Some(name) => json!({ "id": given["id"], "bits": function(name, given["bits"].as_array().unwrap()) }),
            None if given["operator"].is_number() => {
                let case: painted::operator::OperatorCase = serde_json::from_value(given).unwrap();
                json!({ "id": case.id, "sha256": case.run() })
            }
            None => {
                let case: painted::Case = serde_json::from_value(given).unwrap();
                let results = case.run();
                let [out, lse, weights] = [results.out, results.lse, results.weights].map(|x| painted::sha256(&x));
                json!({ "id": case.id, "out_sha256": out, "lse_sha256": lse, "weights_sha256": weights })
            }
        };
        println!("{answer}");
    }
}
