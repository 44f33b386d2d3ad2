//! Scaled dot-product attention, bit for bit as the numeric contract `saccade-attn-f32-v1` fixes it.
//!
//! `spec` says what is asked and checks it, `plan` decides sizes and tiles (pure), `forward` runs them; `mask` knows
//! which keys a row sees, `state` how partial results merge. `reference` is the same in f64 and three loops.

pub mod forward;
pub mod mask;
pub mod plan;
pub mod reference;
pub mod spec;
pub mod state;

/// Keys of a block: blocks lie at absolute multiples of this, whatever is tiled, chunked or cached.
pub const BLOCK_KV: usize = 64;
