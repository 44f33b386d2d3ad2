//! Keys and values that are kept between calls: how they lie in memory, and how they are read.
//!
//! A block holds 64 positions, from a multiple of 64 on, of all heads of a batch row; a table says where each block lies, so a
//! cache that grows, a ring and pages shared by forks are the same thing here. Inside a block, for each head:
//! ```text
//! keys [8 panels][head_dim][8]   values [64][value_width]   24 unused   int8 only: 64 key scales, 64 value scales (f32)
//! ```
//! Keys lie in the panels that the micro-kernels read, so that attending copies nothing; `value_width` is `value_head_dim`
//! rounded up to 8. Lanes past `value_head_dim` are 0, and so are the values of positions that were never written.

use super::BLOCK_KV;
use crate::error::{Error, Field, Reason};
use crate::kernel::row_tile::{Elements, PANELS};
use crate::kernel::{Lanes, Native, NR, ROW_STRIDE};
use crate::layout::blocks::Blocks;

/// Elements behind a head's values that the row kernel may read and whose sums nobody takes.
const SLACK: usize = (PANELS - 1) * NR;

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
}

impl Format {
    /// Checks that a block can be addressed.
    pub fn validate(&self) -> Result<(), Error> {
        if self.head_dim == 0 {
            return Err(Error::new(Reason::Value, Field::HeadDim));
        }
        let lanes = (self.head_dim as u64).checked_add(self.value_head_dim as u64 + NR as u64);
        let bytes = lanes.and_then(|lanes| lanes.checked_mul(4 * BLOCK_KV as u64)?.checked_add(8 * BLOCK_KV as u64));
        let bytes = bytes.and_then(|bytes| bytes.checked_mul(self.num_kv_heads as u64));
        match bytes {
            Some(bytes) if bytes <= u64::from(u32::MAX) / 2 => Ok(()),
            _ => Err(Error::new(Reason::Size, Field::Key)),
        }
    }

    /// Lanes of a stored value.
    pub fn value_width(&self) -> usize {
        self.value_head_dim.next_multiple_of(NR)
    }

    fn head_byte_length(&self) -> usize {
        let scales = if self.dtype == CacheDType::Int8 { 2 * BLOCK_KV * 4 } else { 0 };
        let elements = BLOCK_KV * (self.head_dim + self.value_width()) + SLACK;
        // Scales, and the next head's keys, are f32 or smaller: a multiple of 16 suits all.
        (elements * self.dtype.byte_length()).next_multiple_of(16) + scales
    }

    /// Bytes of a block: a multiple of 16.
    pub fn block_byte_length(&self) -> usize {
        self.num_kv_heads * self.head_byte_length()
    }

    pub(super) fn keys_at(&self, head: usize) -> usize {
        head * self.head_byte_length()
    }

    pub(super) fn values_at(&self, head: usize) -> usize {
        self.keys_at(head) + BLOCK_KV * self.head_dim * self.dtype.byte_length()
    }

    pub(super) fn scales_at(&self, head: usize) -> usize {
        self.keys_at(head + 1) - 2 * BLOCK_KV * 4
    }
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
    /// `n` elements at `at` bytes; none where the block is not there.
    #[inline(never)]
    fn elements(&self, at: usize, n: usize) -> Elements<'a> {
        let blocks = &self.cache.blocks;
        match self.cache.format.dtype {
            CacheDType::F32 => Elements::F32(blocks.slice(self.entry, at, n).unwrap_or(&[])),
            CacheDType::F16 => Elements::F16(blocks.slice(self.entry, at, n).unwrap_or(&[])),
            CacheDType::Bf16 => Elements::Bf16(blocks.slice(self.entry, at, n).unwrap_or(&[])),
            CacheDType::Int8 => Elements::Int8(blocks.slice(self.entry, at, n).unwrap_or(&[])),
        }
    }

    fn keys(&self) -> Elements<'a> {
        let format = &self.cache.format;
        self.elements(format.keys_at(self.head), BLOCK_KV * format.head_dim)
    }

    fn values(&self) -> Elements<'a> {
        let format = &self.cache.format;
        self.elements(format.values_at(self.head), BLOCK_KV * format.value_width() + SLACK)
    }

    /// Scales of the keys and of the values, for int8.
    pub(super) fn scales(&self) -> Option<[&'a [f32]; 2]> {
        let format = &self.cache.format;
        if format.dtype != CacheDType::Int8 {
            return None;
        }
        let scales = self.cache.blocks.slice::<f32>(self.entry, format.scales_at(self.head), 2 * BLOCK_KV)?;
        let (keys, values) = scales.split_at(BLOCK_KV);
        Some([keys, values])
    }

    /// Whether the block is there at all.
    pub(super) fn is_present(&self) -> bool {
        self.cache.blocks.slice::<f32>(self.entry, 0, 0).is_some()
    }

    /// The key panels where they lie, if they are f32.
    pub(super) fn keys_in_place(&self) -> Option<&'a [f32]> {
        match self.keys() {
            Elements::F32(keys) => Some(keys),
            _ => None,
        }
    }

    /// The values where they lie, if they are f32: rows of `value_width`.
    pub(super) fn values_in_place(&self) -> Option<&'a [f32]> {
        match self.values() {
            Elements::F32(values) => Some(values),
            _ => None,
        }
    }

    /// The key panels as f32, without scales.
    pub(super) fn copy_keys(&self, to: &mut [f32]) {
        self.keys().widen(to);
    }

    /// The values as f32 panels `[lane / 8][64][8]`, without scales.
    #[inline(never)]
    pub(super) fn copy_values(&self, to: &mut [f32]) {
        let width = self.cache.format.value_width();
        let values = self.values();
        for (lane, panel) in to.chunks_exact_mut(BLOCK_KV * NR).enumerate() {
            for (j, to) in panel.chunks_exact_mut(NR).enumerate() {
                values.from(j * width + lane * NR).widen(to);
            }
        }
    }

    /// Lanes `from..` of the value at a column, as f32, without its scale.
    pub(super) fn value(&self, column: usize, from: usize, to: &mut [f32]) {
        self.values().from(column * self.cache.format.value_width() + from).widen(to);
    }

    /// Dot products of one query row, given in segments of 64 `segment_stride` elements apart, with all 64 keys.
    #[inline(never)]
    pub(super) fn dot(&self, query: &[f32], segment_stride: usize, scores: &mut [f32]) {
        let head_dim = self.cache.format.head_dim;
        let keys = self.keys();
        for (half, scores) in scores.chunks_exact_mut(PANELS * NR).enumerate() {
            let keys = keys.from(half * PANELS * NR * head_dim);
            let (scores, _) = scores.as_chunks_mut::<NR>();
            for from in (0..head_dim).step_by(ROW_STRIDE) {
                let a = &query[from / ROW_STRIDE * segment_stride..][..ROW_STRIDE.min(head_dim - from)];
                let mut sums = [[0.0; NR]; PANELS];
                keys.from(from * NR).row_tile(a, head_dim * NR, NR, &mut sums);
                for (to, sum) in scores.iter_mut().zip(&sums) {
                    combine(to, sum, (from > 0).then_some([1.0; 2]));
                }
            }
        }
    }

    /// Adds the values of columns `from..`, weighted by `p`, to an accumulator: `o = o x + sum y`, or `o = sum`.
    #[inline(never)]
    pub(super) fn weigh(&self, p: &[f32], from: usize, factors: Option<[f32; 2]>, o: &mut [f32]) {
        let width = self.cache.format.value_width();
        let values = self.values();
        for (tile, o) in o[..width].chunks_mut(PANELS * NR).enumerate() {
            let mut sums = [[0.0; NR]; PANELS];
            values.from(from * width + tile * PANELS * NR).row_tile(p, NR, width, &mut sums);
            for (o, sum) in o.as_chunks_mut::<NR>().0.iter_mut().zip(&sums) {
                combine(o, sum, factors);
            }
        }
    }
}

/// `to = to x + sum y`, each product rounded, or `to = sum`. Factors of 1 change no bit.
#[inline(always)]
fn combine(to: &mut [f32; NR], sum: &[f32; NR], factors: Option<[f32; 2]>) {
    let Some([x, y]) = factors else {
        *to = *sum;
        return;
    };
    let (x, y) = (Native::splat(x), Native::splat(y));
    for (to, sum) in to.as_chunks_mut::<4>().0.iter_mut().zip(sum.as_chunks::<4>().0) {
        Native::load(to).mul(x).add(Native::load(sum).mul(y)).store(to);
    }
}
