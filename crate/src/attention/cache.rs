//! Keys and values that are kept between calls: how they lie in memory, and how they are read.
//!
//! A block holds 64 positions, from a multiple of 64 on, of all heads of a batch row; a table says where each block lies, so a
//! cache that grows, a ring and pages shared by forks are the same thing here. Inside a block, for each head:
//! ```text
//! keys [2][head_dim][32]   values [value_width / 32][64][32]   24 unused
//! ```
//! and where elements are int8, in pairs along the inner axis, which is what their kernel multiplies:
//! ```text
//! 64 key scales (f32)   keys [2][ceil(head_dim / 2)][32][2]   64 value scales   values [value_width / 32][32][32][2]   48 unused
//! ```
//! where eight columns take 16 bytes as `kernel::IntegerLanes` has it (half of them with the sign bit flipped), and all lies in
//! the order in which it is read: a jump to scales behind the values costs the prefetchers their track.
//! Keys and values lie in panels of 32 columns, which the micro-kernels read from first to last, so that attending copies
//! nothing; `value_width` is `value_head_dim` rounded up to 8, and the last panel of the values is as wide as is left.
//! Lanes past `value_head_dim` are 0, and so are the values of positions that were never written, and the pad of an odd `head_dim`.

use super::BLOCK_KV;
use crate::error::{Error, Field, Reason};
use crate::kernel::row_tile::{Elements, COLUMNS};
use crate::kernel::NR;
use crate::layout::blocks::Blocks;
use crate::layout::Rows8;

/// Columns behind a head's values that the row kernels may read and whose sums nobody takes.
const SLACK: usize = COLUMNS - NR;

/// How elements are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheDType {
    /// binary32.
    F32,
    /// binary16, rounded to nearest even.
    F16,
    /// The upper half of binary32, rounded to nearest even.
    Bf16,
    /// Integers of a byte with a scale per position and head.
    Int8,
}

impl CacheDType {
    /// Bytes of an element.
    pub fn byte_length(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }
}

/// Sizes of a cache's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// How elements are stored.
    pub dtype: CacheDType,
    /// Heads of key and value.
    pub num_kv_heads: usize,
    /// Width of a key.
    pub head_dim: usize,
    /// Width of a value.
    pub value_head_dim: usize,
    /// Bytes from a head of a block to the next: a multiple of 16; 0 = they lie side by side. Between them the same head of
    /// other blocks may lie, so that who reads a head from block to block reads on where it stopped: a jump costs the
    /// prefetchers their track, and at 128 MiB half the time.
    pub head_stride: usize,
}

impl Format {
    /// Checks that a block can be addressed.
    pub fn validate(&self) -> Result<(), Error> {
        if self.head_dim == 0 {
            return Err(Error::new(Reason::Value, Field::HeadDim));
        }
        let lanes = (self.head_dim as u64).checked_add(self.value_head_dim as u64 + NR as u64 + 1);
        let bytes = lanes.and_then(|lanes| lanes.checked_mul(4 * BLOCK_KV as u64)?.checked_add(8 * BLOCK_KV as u64));
        let bytes = bytes.and_then(|bytes| bytes.checked_mul(self.num_kv_heads as u64));
        let too_large = Error::new(Reason::Size, Field::Key);
        if bytes.is_none_or(|bytes| bytes > u64::from(u32::MAX) / 2) {
            return Err(too_large);
        }
        let (stride, head) = (self.stride() as u64, self.head_byte_length() as u64);
        let end = stride.checked_mul(self.num_kv_heads as u64).is_some_and(|end| end <= u64::from(u32::MAX));
        match end && stride >= head && stride.is_multiple_of(16) {
            true => Ok(()),
            false => Err(too_large),
        }
    }

    /// Lanes of a stored value.
    pub fn value_width(&self) -> usize {
        self.value_head_dim.next_multiple_of(NR)
    }

    /// Elements of a stored key: those of int8 come in pairs.
    fn key_width(&self) -> usize {
        match self.dtype {
            CacheDType::Int8 => self.head_dim.next_multiple_of(2),
            _ => self.head_dim,
        }
    }

    /// Elements of all keys of a head.
    pub(super) fn key_elements(&self) -> usize {
        BLOCK_KV * self.key_width()
    }

    /// Elements behind the values.
    fn slack(&self) -> usize {
        match self.dtype {
            CacheDType::Int8 => 2 * SLACK,
            _ => SLACK,
        }
    }

    /// Where an element of int8 keys lies in a head's keys.
    pub(super) fn key_byte(&self, column: usize, lane: usize) -> usize {
        column / COLUMNS * COLUMNS * self.key_width() + lane / 2 * 2 * COLUMNS + paired_byte(column % COLUMNS, lane % 2)
    }

    /// Where an element of int8 values lies in a head's values.
    pub(super) fn value_byte(&self, column: usize, lane: usize) -> usize {
        let (at, stride) = self.value_lane(lane / COLUMNS * COLUMNS);
        at + column / 2 * 2 * stride + paired_byte(lane % COLUMNS, column % 2)
    }

    /// Where the elements of a column of the keys lie in a head's keys: the first, and how far apart they are.
    pub(super) fn key_column(&self, column: usize) -> (usize, usize) {
        (column / COLUMNS * COLUMNS * self.head_dim + column % COLUMNS, COLUMNS)
    }

    /// Where a lane of the values lies in a head's values: its place in column 0, and how far apart columns are.
    pub(super) fn value_lane(&self, lane: usize) -> (usize, usize) {
        let panel = lane / COLUMNS * COLUMNS;
        (panel * BLOCK_KV + lane % COLUMNS, COLUMNS.min(self.value_width() - panel))
    }

    fn stride(&self) -> usize {
        if self.head_stride == 0 {
            return self.head_byte_length();
        }
        self.head_stride
    }

    /// Bytes of a head of a block: a multiple of 16.
    pub fn head_byte_length(&self) -> usize {
        let elements = self.key_elements() + BLOCK_KV * self.value_width() + self.slack();
        // Scales, and the next head's keys, are f32 or smaller: a multiple of 16 suits all.
        (elements * self.dtype.byte_length()).next_multiple_of(16) + 2 * self.scales_byte_length()
    }

    /// Bytes from the first to the last of a block, both included: a multiple of 16.
    pub fn block_byte_length(&self) -> usize {
        match self.num_kv_heads {
            0 => 0,
            heads => (heads - 1) * self.stride() + self.head_byte_length(),
        }
    }

    /// Bytes of the scales of the keys, or of the values, of a head.
    fn scales_byte_length(&self) -> usize {
        match self.dtype {
            CacheDType::Int8 => BLOCK_KV * 4,
            _ => 0,
        }
    }

    pub(super) fn key_scales_at(&self, head: usize) -> usize {
        head * self.stride()
    }

    pub(super) fn keys_at(&self, head: usize) -> usize {
        self.key_scales_at(head) + self.scales_byte_length()
    }

    pub(super) fn value_scales_at(&self, head: usize) -> usize {
        self.keys_at(head) + self.key_elements() * self.dtype.byte_length()
    }

    pub(super) fn values_at(&self, head: usize) -> usize {
        self.value_scales_at(head) + self.scales_byte_length()
    }
}

/// Where the first or the second element of a column lies among those of all columns of a panel: eights `[4][2][2]`, the first
/// four columns in the even places, the others in the odd ones.
fn paired_byte(column: usize, which: usize) -> usize {
    column / NR * 2 * NR + column % 4 * 4 + which * 2 + column / 4 % 2
}

/// A cache to read.
#[derive(Clone, Copy)]
pub struct Cache<'a> {
    format: Format,
    blocks: Blocks<'a>,
    blocks_per_row: usize,
}

/// A block of one head.
#[derive(Clone, Copy)]
pub(super) struct HeadBlock<'a> {
    cache: Cache<'a>,
    entry: usize,
    head: usize,
}

/// A block of one head, of integers of a byte.
pub(super) struct Int8Block<'a> {
    /// All keys.
    pub(super) keys: &'a [i8],
    /// All values, and the slack behind them.
    pub(super) values: &'a [i8],
    /// A scale per key.
    pub(super) key_scales: &'a [f32],
    /// A scale per value.
    pub(super) value_scales: &'a [f32],
}

impl<'a> Cache<'a> {
    /// A cache whose table has `blocks_per_row` entries per batch row.
    pub fn new(format: Format, blocks: Blocks<'a>, blocks_per_row: usize) -> Result<Self, Error> {
        format.validate()?;
        Ok(Self { format, blocks, blocks_per_row })
    }

    /// Its sizes.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Whether the table has an entry for every block of so many rows and keys.
    pub(super) fn covers(&self, batch: usize, kv_len: usize) -> bool {
        kv_len.div_ceil(BLOCK_KV) <= self.blocks_per_row
            && batch.checked_mul(self.blocks_per_row).is_some_and(|entries| entries <= self.blocks.entries())
    }

    pub(super) fn block(&self, batch: usize, block: usize, head: usize) -> HeadBlock<'a> {
        HeadBlock { cache: *self, entry: batch * self.blocks_per_row + block, head }
    }
}

impl<'a> HeadBlock<'a> {
    /// `n` floats at `at` bytes; none where the block is not there.
    #[inline(never)]
    fn elements(&self, at: usize, n: usize) -> Elements<'a> {
        let blocks = &self.cache.blocks;
        match self.cache.format.dtype {
            CacheDType::F32 => Elements::F32(blocks.slice(self.entry, at, n).unwrap_or(&[])),
            CacheDType::F16 => Elements::F16(blocks.slice(self.entry, at, n).unwrap_or(&[])),
            CacheDType::Bf16 => Elements::Bf16(blocks.slice(self.entry, at, n).unwrap_or(&[])),
            // Read by `int8`, and never as floats.
            CacheDType::Int8 => Elements::F32(&[]),
        }
    }

    /// The keys, where they lie.
    pub(super) fn keys(&self) -> Elements<'a> {
        let format = &self.cache.format;
        self.elements(format.keys_at(self.head), BLOCK_KV * format.head_dim)
    }

    /// The values, where they lie, and the slack behind them.
    pub(super) fn values(&self) -> Elements<'a> {
        let format = &self.cache.format;
        self.elements(format.values_at(self.head), BLOCK_KV * format.value_width() + SLACK)
    }

    /// Keys, values and the scales of both, for int8.
    pub(super) fn int8(&self) -> Option<Int8Block<'a>> {
        let format = &self.cache.format;
        if format.dtype != CacheDType::Int8 {
            return None;
        }
        let blocks = &self.cache.blocks;
        let keys = blocks.slice(self.entry, format.keys_at(self.head), format.key_elements())?;
        let n = BLOCK_KV * format.value_width() + format.slack();
        let values = blocks.slice(self.entry, format.values_at(self.head), n)?;
        let key_scales = blocks.slice(self.entry, format.key_scales_at(self.head), BLOCK_KV)?;
        let value_scales = blocks.slice(self.entry, format.value_scales_at(self.head), BLOCK_KV)?;
        Some(Int8Block { keys, values, key_scales, value_scales })
    }

    /// The sizes of its cache.
    pub(super) fn format(&self) -> &Format {
        &self.cache.format
    }

    /// Whether the block is there at all.
    pub(super) fn is_present(&self) -> bool {
        self.cache.blocks.slice::<f32>(self.entry, 0, 0).is_some()
    }

    /// The keys as f32: where they lie, or copied.
    pub(super) fn keys_f32<'b>(&self, copy: &'b [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match self.keys() {
            Elements::F32(keys) => keys,
            _ => copy,
        }
    }

    /// The values as f32: where they lie, or copied.
    pub(super) fn values_f32<'b>(&self, copy: &'b [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        match self.values() {
            Elements::F32(values) => values,
            _ => copy,
        }
    }

    /// Eight columns of keys, steps `from..from + n` of the head: the B operand of a tile.
    pub(super) fn key_rows8<'b>(&self, keys: &'b [f32], panel: usize, from: usize, n: usize) -> Rows8<'b> {
        let (at, stride) = self.cache.format.key_column(panel * NR);
        Rows8::strided(&keys[at + from * stride..], stride, n)
    }

    /// Eight lanes of the values of columns `from..from + n`: the B operand of a tile.
    pub(super) fn value_rows8<'b>(&self, values: &'b [f32], lane: usize, from: usize, n: usize) -> Rows8<'b> {
        let (at, stride) = self.cache.format.value_lane(lane);
        Rows8::strided(&values[at + from * stride..], stride, n)
    }

    /// All keys as f32, in their order.
    pub(super) fn copy_keys(&self, to: &mut [f32]) {
        self.keys().widen(to);
    }

    /// All values as f32, in their order.
    pub(super) fn copy_values(&self, to: &mut [f32]) {
        let n = BLOCK_KV * self.cache.format.value_width();
        self.values().widen(&mut to[..n]);
    }

    /// Lanes `from..` of the value at a column, at most 8 and from a multiple of 8 on, as f32.
    pub(super) fn value(&self, column: usize, from: usize, to: &mut [f32]) {
        for (eight, to) in to.chunks_mut(NR).enumerate() {
            let (at, stride) = self.cache.format.value_lane(from + eight * NR);
            self.values().from(at + column * stride).widen(to);
        }
    }
}
