//! What the host asks before it calls: where fields of the block lie, how a part of the keys is cut, what merging takes.

use super::block;
use crate::attention::merge::scratch;
use crate::attention::shard::Shard;
use wasm_bindgen::prelude::wasm_bindgen;

/// Byte offset of field `i` of the attention argument block; its size after the last field, then `u32::MAX`.
#[wasm_bindgen]
pub fn abi_field(i: u32) -> u32 {
    block::OFFSETS.get(i as usize).copied().unwrap_or(u32::MAX)
}

fn shard(start: u32, end: u32, total: u32) -> Option<Shard> {
    Shard::new(start as usize, end as usize, total as usize)
}

/// How many finished states a part of keys `start..end` of `total` ships per row.
#[wasm_bindgen]
pub fn shard_nodes(start: u32, end: u32, total: u32) -> u32 {
    shard(start, end, total).map_or(0, |shard| shard.nodes(|_| ()) as u32)
}

/// The first block of its state `index`; `u32::MAX` past the last.
#[wasm_bindgen]
pub fn shard_node(start: u32, end: u32, total: u32, index: u32) -> u32 {
    let (mut at, mut found) = (0, u32::MAX);
    if let Some(shard) = shard(start, end, total) {
        shard.nodes(|block| {
            if at == index {
                found = block as u32;
            }
            at += 1;
        });
    }
    found
}

/// How many keys the part leaves open on its left (side 0) or right (side 1).
#[wasm_bindgen]
pub fn shard_edge(start: u32, end: u32, total: u32, side: u32) -> u32 {
    let edges = shard(start, end, total).map(|shard| shard.edges());
    edges.and_then(|edges| edges.get(side as usize).map(|keys| keys.len() as u32)).unwrap_or(0)
}

/// Bytes of scratch memory that merging `count` items takes; `u32::MAX` where they cannot be addressed.
#[wasm_bindgen]
pub fn merge_scratch(count: u32, value_head_dim: u32) -> u32 {
    let bytes = scratch(count as usize, value_head_dim as usize).and_then(|elements| elements.checked_mul(4));
    bytes.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(u32::MAX)
}
