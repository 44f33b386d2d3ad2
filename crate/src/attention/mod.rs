//! Scaled dot-product attention, bit for bit as the numeric contract `saccade-attn-f32-v1` fixes it.
//!
//! From what is asked to what is done, each file using only those before it:
//! ```text
//! shard, bit_mask, operand   a part of the keys; rules of visibility; element types
//! cache, cache_write         keys and values kept between calls
//! spec       what is asked, checked               mask    which keys a row sees, block by block
//! plan       tiles and scratch memory, pure       state   partial results, and the tree they merge along
//! run        one tile at work: score -> values, a block at a time; groups: for many rows; int8: the same in integers
//! output     out, lse, weights, taps              partial the states of a part
//! forward    the loops: pack, attend              merge   parts put together
//! split      a tile's keys cut for threads
//! ```
//! `reference` is the same in f64 and three loops.

pub mod bit_mask;
pub mod cache;
mod cache_rows;
pub mod cache_write;
mod decode;
pub mod forward;
mod groups;
mod int8;
pub mod mask;
pub mod merge;
pub mod operand;
mod output;
mod partial;
pub mod plan;
pub mod reference;
mod run;
mod score;
pub mod shard;
pub mod spec;
pub mod split;
pub mod state;
mod values;

/// Keys of a block: blocks lie at absolute multiples of this, whatever is tiled, chunked or cached.
pub const BLOCK_KV: usize = 64;
