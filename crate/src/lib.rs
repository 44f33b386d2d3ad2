//! Saccade's kernels: attention with the same bits natively and in WebAssembly.
//!
//! One direction, no stage imports an earlier one:
//! ```text
//! wasm/        the only #[wasm_bindgen]: numbers in, a status out
//!   -> attention/  spec (checks) -> plan (pure) -> forward (loops); mask, state
//!   -> ops/        the operators beside attention: read (checks) -> plan (pure) -> run (loops)
//!   -> layout      views: bounds and products proved once
//!   -> kernel/     lanes: written once over `Lanes`, for `[f32; 4]` and for v128
//! ```
//! No allocation, no mutable statics, no libm: every function is pure over the memory it is given, so the same call can run
//! on any thread, in any engine, and give the same bits. Those bits are fixed by the project's numeric contract.
//!
//! ```
//! use saccade::attention::{forward::forward, plan::Plan, spec::{Options, Outputs, Sizes, Spec}};
//! use saccade::error::Field;
//! use saccade::layout::{Shape, View, ViewMut};
//!
//! let sizes = Sizes { batch: 1, num_heads: 1, num_kv_heads: 1, q_len: 1, kv_len: 2, kv_start: 0, head_dim: 2, value_head_dim: 1 };
//! let query = View::new(&[1.0, 0.0], Shape::bshd(1, 1, 1, 2), Field::Query)?;
//! let key = View::new(&[0.0, 0.0, 0.0, 0.0], Shape::bshd(1, 2, 1, 2), Field::Key)?;
//! let value = View::new(&[1.0, 3.0], Shape::bshd(1, 2, 1, 1), Field::Value)?;
//! let spec = Spec::new(sizes, Options::default(), query, key, value)?;
//!
//! let mut out = [0.0];
//! let mut scratch = vec![0.0; Plan::new(&spec)?.scratch()];
//! let out_view = ViewMut::new(&mut out, Shape::bshd(1, 1, 1, 1), Field::Out)?;
//! forward(&spec, &mut Outputs { out: out_view.into(), lse: None, weights: None, tap: None, partial: None }, &mut scratch)?;
//! assert_eq!(out, [2.0]);
//! # Ok::<(), saccade::error::Error>(())
//! ```
#![no_std]

// Natively a shared library needs std's panic handler; nothing here uses std itself, as the wasm build proves.
#[cfg(not(target_arch = "wasm32"))]
extern crate std;

pub mod attention;
pub mod error;
pub mod kernel;
pub mod layout;
pub mod ops;
#[cfg(target_arch = "wasm32")]
mod wasm;
