//! Scaled dot-product attention, bit for bit as the numeric contract `saccade-attn-f32-v1` fixes it.
//!
//! `spec` says what is asked and checks it, `plan` decides sizes and tiles (pure), `forward` runs them; `mask` knows
//! which keys a row sees, `score` makes scores, `state` knows how partial results merge, `output` writes them. `reference` is the same in f64 and three loops.

pub mod bit_mask;
pub mod forward;
pub mod mask;
pub mod operand;
mod output;
pub mod plan;
pub mod reference;
mod score;
pub mod spec;
pub mod state;
mod values;

/// Keys of a block: blocks lie at absolute multiples of this, whatever is tiled, chunked or cached.
pub const BLOCK_KV: usize = 64;
