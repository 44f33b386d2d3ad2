//! The argument block of an attention call: the layout the host writes.
//!
//! All fields are u32 but the first two. Pointers are byte addresses, 0 where an optional operand is absent; strides and
//! widths count elements.

use core::mem::offset_of;

/// Flags of [`Block::flags`].
pub mod flag {
    /// `scale` is given; else `1 / sqrt(head_dim)`.
    pub const SCALE: u32 = 1;
    /// Causal.
    pub const CAUSAL: u32 = 2;
    /// A window is given.
    pub const WINDOW: u32 = 4;
    /// `softcap` is given.
    pub const SOFTCAP: u32 = 8;
}

/// Element types of an operand.
pub mod dtype {
    /// binary32.
    pub const F32: u32 = 0;
    /// binary16.
    pub const F16: u32 = 1;
    /// The upper half of binary32.
    pub const BF16: u32 = 2;
    /// A byte, not 0 = true.
    pub const BOOL: u32 = 3;
    /// Integers of 32 bits; no operand of attention.
    pub const I32: u32 = 4;
}

/// Values of [`Block::weights_kind`].
pub mod weights_kind {
    /// `[batch, num_heads, q_len, kv_len]`.
    pub const FULL: u32 = 0;
    /// `[batch, q_len, kv_len]`.
    pub const HEAD_MEAN: u32 = 1;
    /// `[batch, num_heads, weights_count, kv_len]`; `weights_extra` points at a slot per query row.
    pub const ROWS: u32 = 2;
    /// `[batch, num_heads, q_len, weights_count]`; `weights_extra` points at the indices, of the same shape.
    pub const TOP_K: u32 = 3;
}

/// An operand `[batch, seq, heads, width]`: where it lies, its element type, its strides.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Operand {
    pub pointer: u32,
    pub dtype: u32,
    pub stride_batch: u32,
    pub stride_seq: u32,
    pub stride_head: u32,
}

/// The block, as it lies in memory.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct Block {
    pub scale: f64,
    pub softcap: f64,
    pub flags: u32,
    pub batch: u32,
    pub num_heads: u32,
    pub num_kv_heads: u32,
    pub q_len: u32,
    pub kv_len: u32,
    pub kv_start: u32,
    pub head_dim: u32,
    pub value_head_dim: u32,
    pub query: Operand,
    pub key: Operand,
    pub value: Operand,
    pub out: Operand,
    pub lse: Operand,
    pub mask: Operand,
    /// `kv_start + kv_len`, or 1 where the last axis is broadcast.
    pub mask_width: u32,
    pub bias: Operand,
    /// `kv_start + kv_len`, or 1 where the last axis is broadcast.
    pub bias_width: u32,
    pub window_left: u32,
    pub window_right: u32,
    pub window_first: u32,
    pub q_offset: u32,
    pub kv_lengths: u32,
    pub q_lengths: u32,
    pub alibi_slopes: u32,
    pub sinks: u32,
    /// Words of a bit mask's program; see `program`.
    pub program: u32,
    pub program_length: u32,
    pub weights: u32,
    pub weights_kind: u32,
    pub weights_count: u32,
    pub weights_extra: u32,
    /// Contiguous `[batch, num_heads, q_len, kv_len]`.
    pub tap: u32,
    /// 0 raw, 1 scaled, 2 capped, 3 biased.
    pub tap_stage: u32,
    pub scratch: u32,
    pub scratch_byte_length: u32,
    pub plan_scratch_byte_length: u32,
    pub plan_passes: u32,
    pub plan_pack_tiles: u32,
    pub plan_attend_tiles: u32,
    /// Bytes of scratch memory more for every thread beyond the first.
    pub plan_workspace_byte_length: u32,
    /// About how much there is to do, in units of 1,024 multiply-adds of the micro-kernel; 0 where threads cannot share it.
    pub plan_work: u32,
    /// A `PartialBlock`, where the keys are a part of more; nothing else is written then.
    pub partial: u32,
    /// A `CacheBlock`, where keys and values are those of a cache; `key` and `value` are then not looked at.
    pub cache: u32,
    /// Blocks of a split, a power of two from 2: then the split and the merging phase run in place of the attending one.
    pub split_blocks: u32,
}

macro_rules! offsets {
    ($($field:ident)*) => {
        /// The offsets of the block's fields in order, then its size.
        pub const OFFSETS: &[u32] = &[$(offset_of!(Block, $field) as u32,)* size_of::<Block>() as u32];
    };
}

offsets! {
    scale softcap flags batch num_heads num_kv_heads q_len kv_len kv_start head_dim value_head_dim
    query key value out lse mask mask_width bias bias_width window_left window_right window_first
    q_offset kv_lengths q_lengths alibi_slopes sinks program program_length
    weights weights_kind weights_count weights_extra tap tap_stage
    scratch scratch_byte_length plan_scratch_byte_length plan_passes plan_pack_tiles plan_attend_tiles plan_workspace_byte_length plan_work partial
    cache split_blocks
}
