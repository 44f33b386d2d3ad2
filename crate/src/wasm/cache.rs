//! The block of a key-value cache, and of a call that writes into one or reads from it.

use super::block::{dtype, Operand as Place};
use super::memory::Span;
use crate::attention::cache::{Cache, CacheDType, Format};
use crate::attention::cache_write::CacheMut;
use crate::attention::operand::Operand;
use crate::attention::BLOCK_KV;
use crate::error::{Error, Field, Reason};
use crate::layout::blocks::{Blocks, BlocksMut, ABSENT};
use crate::layout::{Shape, View, ViewMut};
use core::ops::Range;

/// A cache, as the host describes it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CacheBlock {
    /// As in `block::dtype`; 5 is int8.
    pub dtype: u32,
    pub num_kv_heads: u32,
    pub head_dim: u32,
    pub value_head_dim: u32,
    pub batch: u32,
    pub blocks_per_row: u32,
    /// Addresses of the blocks, `[batch, blocks_per_row]`; `u32::MAX` where there is none.
    pub table: u32,
    /// Bytes from a head of a block to the next.
    pub head_stride: u32,
    /// Bytes of a block, as the host has counted them: refused where they are not those of the format.
    pub block_byte_length: u32,
}

const INT8: u32 = 5;

/// A checked cache: every block lies in memory.
#[derive(Clone, Copy)]
pub struct CacheArgs {
    format: Format,
    blocks_per_row: usize,
    table: &'static [u32],
    table_span: Span,
}

impl CacheArgs {
    /// Copies and checks the block at `pointer`.
    pub fn read(pointer: u32) -> Result<Self, Error> {
        let at = Span::new(pointer, size_of::<CacheBlock>() as u64, 4, Field::Key)?;
        // SAFETY: the host writes the block before the call and not during it; a block is numbers only.
        Self::new(&unsafe { at.slice::<CacheBlock>() }[0])
    }

    fn new(block: &CacheBlock) -> Result<Self, Error> {
        let dtype = match block.dtype {
            dtype::F32 => CacheDType::F32,
            dtype::F16 => CacheDType::F16,
            dtype::BF16 => CacheDType::Bf16,
            INT8 => CacheDType::Int8,
            _ => return Err(Error::new(Reason::Kind, Field::Key)),
        };
        let format = Format {
            dtype,
            num_kv_heads: block.num_kv_heads as usize,
            head_dim: block.head_dim as usize,
            value_head_dim: block.value_head_dim as usize,
            head_stride: block.head_stride as usize,
        };
        format.validate()?;
        if format.block_byte_length() != block.block_byte_length as usize {
            return Err(Error::new(Reason::Size, Field::Key));
        }
        let entries = u64::from(block.batch) * u64::from(block.blocks_per_row);
        let table_span = Span::new(block.table, entries.saturating_mul(4), 4, Field::Key)?;
        // SAFETY: inputs are not written during a call; any bits are a u32.
        let table = unsafe { table_span.slice::<u32>() };
        let args = Self { format, blocks_per_row: block.blocks_per_row as usize, table, table_span };
        for at in args.present() {
            args.span(at)?;
        }
        Ok(args)
    }

    fn present(&self) -> impl Iterator<Item = u32> + '_ {
        self.table.iter().copied().filter(|at| *at != ABSENT)
    }

    fn span(&self, at: u32) -> Result<Span, Error> {
        Span::new(at, self.format.block_byte_length() as u64, 16, Field::Key)
    }

    /// Refuses a cache of which `apart` refuses a piece. A span around all blocks is asked about first: mostly that is enough.
    pub fn keep_apart(&self, apart: &dyn Fn(Span) -> Result<(), Error>) -> Result<(), Error> {
        apart(self.table_span)?;
        let (first, last) = self.present().fold((u32::MAX, 0), |(first, last), at| (first.min(at), last.max(at)));
        if first == u32::MAX {
            return Ok(());
        }
        let bytes = u64::from(last - first) + self.format.block_byte_length() as u64;
        if apart(Span::new(first, bytes, 16, Field::Key)?).is_ok() {
            return Ok(());
        }
        self.present().try_for_each(|at| apart(self.span(at)?))
    }

    /// The cache, to read.
    pub fn cache<'a>(&self) -> Result<Cache<'a>, Error> {
        // SAFETY: contract B of `layout::blocks`: blocks lie in memory by `new`, at addresses counted from 0, and nothing
        // writes them during a call that reads them, by `keep_apart`.
        let blocks = unsafe { Blocks::from_raw(core::ptr::null(), self.table, self.format.block_byte_length()) };
        Cache::new(self.format, blocks, self.blocks_per_row)
    }

    fn cache_mut<'a>(&self) -> Result<CacheMut<'a>, Error> {
        // SAFETY: as in `cache`; a call that writes has no other reference to the blocks, and its tiles write different ones.
        let blocks = unsafe { BlocksMut::from_raw(core::ptr::null_mut(), self.table, self.format.block_byte_length()) };
        CacheMut::new(self.format, blocks, self.blocks_per_row)
    }
}

/// A call that appends rows (phase 0) or reads them back (phase 1).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CacheCallBlock {
    pub cache: CacheBlock,
    /// `[batch, n, num_kv_heads, head_dim]`; read back: f32.
    pub key: Place,
    /// `[batch, n, num_kv_heads, value_head_dim]`; read back: f32.
    pub value: Place,
    pub n: u32,
    /// Appending: u32 positions of each batch row's first new row, and how many it adds. Reading: 0, and the first position.
    pub starts: u32,
    pub counts: u32,
}

/// What is appended, checked.
struct Appended<'a> {
    key: Operand<'a>,
    value: Operand<'a>,
    starts: &'a [u32],
    counts: &'a [u32],
}

/// A checked call.
pub struct CacheCall {
    block: CacheCallBlock,
    cache: CacheArgs,
}

impl CacheCall {
    /// Copies and checks the block at `pointer`.
    pub fn read(pointer: u32) -> Result<Self, Error> {
        let at = Span::new(pointer, size_of::<CacheCallBlock>() as u64, 16, Field::Call)?;
        // SAFETY: the host writes the block before the call and not during it; a block is numbers only.
        let block = unsafe { at.slice::<CacheCallBlock>() }[0];
        let call = Self { block, cache: CacheArgs::new(&block.cache)? };
        for (place, width, field) in call.places() {
            let (span, _) = call.located(&place, width, field)?;
            call.cache.keep_apart(&|other| match other.overlaps(&span) {
                true => Err(Error::new(Reason::Overlap, field)),
                false => Ok(()),
            })?;
        }
        Ok(call)
    }

    fn places(&self) -> [(Place, usize, Field); 2] {
        let Format { head_dim, value_head_dim, .. } = self.cache.format;
        [(self.block.key, head_dim, Field::Key), (self.block.value, value_head_dim, Field::Value)]
    }

    fn located(&self, place: &Place, width: usize, field: Field) -> Result<(Span, Shape), Error> {
        let shape = Shape {
            sizes: [self.block.cache.batch as usize, self.block.n as usize, self.cache.format.num_kv_heads],
            width,
            strides: [place.stride_batch, place.stride_seq, place.stride_head].map(|n| n as usize),
        };
        let bytes = match place.dtype {
            dtype::F32 => 4,
            dtype::F16 | dtype::BF16 => 2,
            _ => return Err(Error::new(Reason::Kind, field)),
        };
        let extent = shape.extent().ok_or(Error::new(Reason::Size, field))? as u64;
        Ok((Span::new(place.pointer, extent * bytes, bytes as u32, field)?, shape))
    }

    fn operand<'a>(&self, place: &Place, width: usize, field: Field) -> Result<Operand<'a>, Error> {
        let (span, shape) = self.located(place, width, field)?;
        // SAFETY: contract V of `layout`: in bounds by `located`, not written during the call by `read`.
        Ok(unsafe {
            match place.dtype {
                dtype::F32 => Operand::F32(View::from_raw(span.pointer(), shape)),
                dtype::F16 => Operand::F16(View::from_raw(span.pointer(), shape)),
                _ => Operand::Bf16(View::from_raw(span.pointer(), shape)),
            }
        })
    }

    fn each<'a>(&self, pointer: u32) -> Result<&'a [u32], Error> {
        let span = Span::new(pointer, u64::from(self.block.cache.batch) * 4, 4, Field::KvLengths)?;
        self.cache.keep_apart(&|other| match other.overlaps(&span) {
            true => Err(Error::new(Reason::Overlap, Field::KvLengths)),
            false => Ok(()),
        })?;
        // SAFETY: inputs are not written during a call; any bits are a u32.
        Ok(unsafe { span.slice() })
    }

    /// Refuses rows of tiles that cannot be stored, unless that has been done, and then appends them, if that is wanted: nothing
    /// of them is written where one is refused.
    pub fn append(&self, checks: bool, writes: bool, from: u32, to: u32) -> Result<(), Error> {
        let call = self.appended()?;
        let mut cache = self.cache.cache_mut()?;
        for tile in from..if checks { to } else { from } {
            let Some((batch, rows)) = self.rows(&call, tile) else { break };
            for (operand, field) in [(&call.key, Field::Key), (&call.value, Field::Value)] {
                if !cache.accepts(operand, batch, rows.clone()) {
                    return Err(Error::new(Reason::Value, field));
                }
            }
        }
        for tile in from..if writes { to } else { from } {
            let Some((batch, rows)) = self.rows(&call, tile) else { break };
            cache.append(&call.key, &call.value, batch, call.starts[batch] as usize, rows)?;
        }
        Ok(())
    }

    fn appended<'a>(&self) -> Result<Appended<'a>, Error> {
        let (starts, counts) = (self.each(self.block.starts)?, self.each(self.block.counts)?);
        let positions = self.cache.blocks_per_row as u64 * BLOCK_KV as u64;
        for (start, count) in starts.iter().zip(counts) {
            if *count > self.block.n || u64::from(*start) + u64::from(*count) > positions {
                return Err(Error::new(Reason::Bounds, Field::KvLengths));
            }
        }
        let [key, value] = self.places().map(|(place, width, field)| self.operand(&place, width, field));
        Ok(Appended { key: key?, value: value?, starts, counts })
    }

    /// A batch row, and those of its rows that come to lie in one block: each block is one tile's.
    fn rows(&self, call: &Appended<'_>, tile: u32) -> Option<(usize, Range<usize>)> {
        // One more than the rows fill, as they need not begin with a block.
        let tiles = self.block.n as usize / BLOCK_KV + 2;
        let (batch, nth) = (tile as usize / tiles, tile as usize % tiles);
        let (start, count) = (*call.starts.get(batch)? as usize, call.counts[batch] as usize);
        let block = (start / BLOCK_KV + nth) * BLOCK_KV;
        let from = block.saturating_sub(start).min(count);
        Some((batch, from..(block + BLOCK_KV - start).min(count).max(from)))
    }

    /// Reads tiles of 64 rows back.
    pub fn read_back(&self, from: u32, to: u32) -> Result<(), Error> {
        let [(key, key_width, _), (value, value_width, _)] = self.places();
        if key.dtype != dtype::F32 || value.dtype != dtype::F32 {
            return Err(Error::new(Reason::Kind, Field::Out));
        }
        let (key, key_shape) = self.located(&key, key_width, Field::Key)?;
        let (value, value_shape) = self.located(&value, value_width, Field::Value)?;
        if key.overlaps(&value) {
            return Err(Error::new(Reason::Overlap, Field::Out));
        }
        // SAFETY: contract V of `layout`: in bounds by `located`, apart from each other and, by `read`, from the cache.
        let (mut key, mut value) =
            unsafe { (ViewMut::from_raw(key.pointer(), key_shape), ViewMut::from_raw(value.pointer(), value_shape)) };
        let row = |tile: u32| (tile as usize).saturating_mul(BLOCK_KV).min(self.block.n as usize);
        self.cache.cache_mut()?.read(self.block.counts as usize, row(from)..row(to), &mut key, &mut value)
    }
}
