//! Writing keys and values into a cache, and reading them back.
//!
//! f16 and bf16: rounded to nearest even, overflow to Infinity, subnormals kept. int8, per position and head: `s = f32(max |x| / 127)`,
//! `x8 = round half to even(x / s)`; a row of zeros has s = 0; a row that is not finite is refused by [`CacheMut::accepts`].

use super::cache::{CacheDType, Format};
use super::operand::Operand;
use super::BLOCK_KV;
use crate::error::{Error, Field, Reason};
use crate::kernel::convert::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use crate::kernel::row_tile::COLUMNS;
use crate::layout::blocks::{BlocksMut, Stored};
use crate::layout::ViewMut;
use core::ops::Range;

/// Lanes of a row that are converted at a time: those of a panel.
const CHUNK: usize = COLUMNS;
/// Adding 1.5 * 2^23 rounds to the nearest integer, ties to even.
const MAGIC: f32 = 12_582_912.0;
/// The largest magnitude of int8: -128 is not used.
const LARGEST: f32 = 127.0;

/// A cache to write.
pub struct CacheMut<'a> {
    format: Format,
    blocks: BlocksMut<'a>,
    blocks_per_row: usize,
}

/// Which of the two is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value,
}

impl Part {
    /// Where a lane of int8 lies.
    fn byte(self, format: &Format, column: usize, lane: usize) -> usize {
        match self {
            Self::Key => format.key_byte(column, lane),
            Self::Value => format.value_byte(column, lane),
        }
    }
}

/// Elements of one position: the first, and how far apart they are.
#[derive(Clone, Copy)]
struct Places {
    at: usize,
    stride: usize,
}

impl<'a> CacheMut<'a> {
    /// A cache whose table has `blocks_per_row` entries per batch row.
    pub fn new(format: Format, blocks: BlocksMut<'a>, blocks_per_row: usize) -> Result<Self, Error> {
        format.validate()?;
        Ok(Self { format, blocks, blocks_per_row })
    }

    /// Whether rows of a batch row can be stored: for int8 they must be finite.
    pub fn accepts(&self, tensor: &Operand<'_>, batch: usize, rows: Range<usize>) -> bool {
        if self.format.dtype != CacheDType::Int8 {
            return true;
        }
        let width = tensor.shape().width;
        let mut chunk = [0.0; CHUNK];
        for i in rows {
            for h in 0..self.format.num_kv_heads {
                for from in (0..width).step_by(CHUNK) {
                    let chunk = &mut chunk[..CHUNK.min(width - from)];
                    tensor.copy([batch, i, h], from, chunk);
                    if chunk.iter().any(|x| !x.is_finite()) {
                        return false;
                    }
                }
            }
        }
        true
    }

    /// Writes rows of a batch row, the first of which has position `start`.
    pub fn append(
        &mut self,
        key: &Operand<'_>,
        value: &Operand<'_>,
        batch: usize,
        start: usize,
        rows: Range<usize>,
    ) -> Result<(), Error> {
        for i in rows {
            for h in 0..self.format.num_kv_heads {
                self.write(Part::Key, key, [batch, i, h], start + i)?;
                self.write(Part::Value, value, [batch, i, h], start + i)?;
            }
        }
        Ok(())
    }

    /// Reads rows of every batch row, of which the first has position `first`, as f32.
    pub fn read(
        &mut self,
        first: usize,
        rows: Range<usize>,
        key: &mut ViewMut<'_>,
        value: &mut ViewMut<'_>,
    ) -> Result<(), Error> {
        let [batch, _, heads] = key.shape().sizes;
        for b in 0..batch {
            for i in rows.clone() {
                for h in 0..heads {
                    self.read_row(Part::Key, [b, first + i, h], key.row(b, i, h))?;
                    self.read_row(Part::Value, [b, first + i, h], value.row(b, i, h))?;
                }
            }
        }
        Ok(())
    }

    fn entry(&self, batch: usize, position: usize) -> Result<usize, Error> {
        let block = position / BLOCK_KV;
        match block < self.blocks_per_row {
            true => Ok(batch * self.blocks_per_row + block),
            false => Err(Error::new(Reason::Bounds, Field::Key)),
        }
    }

    /// Where floats from a multiple of 32 lanes on lie for a position, in elements from the start of the part.
    fn places(&self, part: Part, position: usize, lane: usize) -> Places {
        let column = position % BLOCK_KV;
        match part {
            Part::Key => {
                let (at, stride) = self.format.key_column(column);
                Places { at: at + lane * stride, stride }
            }
            Part::Value => {
                let (at, stride) = self.format.value_lane(lane);
                Places { at: at + column * stride, stride: 1 }
            }
        }
    }

    /// The elements of a part of a block.
    fn elements<T: Stored>(&mut self, part: Part, entry: usize, head: usize) -> Result<&mut [T], Error> {
        let format = &self.format;
        let (at, n) = match part {
            Part::Key => (format.keys_at(head), format.key_elements()),
            Part::Value => (format.values_at(head), BLOCK_KV * format.value_width()),
        };
        self.blocks.slice(entry, at, n).ok_or(Error::new(Reason::Bounds, Field::Key))
    }

    fn write(&mut self, part: Part, rows: &Operand<'_>, index: [usize; 3], position: usize) -> Result<(), Error> {
        let [batch, _, head] = index;
        let entry = self.entry(batch, position)?;
        let width = rows.shape().width;
        let dtype = self.format.dtype;
        let scale = if dtype == CacheDType::Int8 { self.write_scale(part, rows, index, entry, position)? } else { 0.0 };
        let mut chunk = [0.0; CHUNK];
        for from in (0..width).step_by(CHUNK) {
            let chunk = &mut chunk[..CHUNK.min(width - from)];
            rows.copy(index, from, chunk);
            let places = self.places(part, position, from);
            match dtype {
                CacheDType::F32 => put(self.elements(part, entry, head)?, places, chunk, |x| x),
                CacheDType::F16 => put(self.elements(part, entry, head)?, places, chunk, f32_to_f16),
                CacheDType::Bf16 => put(self.elements(part, entry, head)?, places, chunk, f32_to_bf16),
                CacheDType::Int8 => {
                    let (format, column) = (self.format, position % BLOCK_KV);
                    let bytes = self.elements(part, entry, head)?;
                    for (i, x) in chunk.iter().enumerate() {
                        let at = part.byte(&format, column, from + i);
                        bytes[at] = flipped(quantise(*x, scale), at);
                    }
                }
            }
        }
        Ok(())
    }

    /// Computes and stores the scale of a row of int8.
    fn write_scale(
        &mut self,
        part: Part,
        rows: &Operand<'_>,
        index: [usize; 3],
        entry: usize,
        position: usize,
    ) -> Result<f32, Error> {
        let width = rows.shape().width;
        let (mut largest, mut chunk) = (0.0f32, [0.0; CHUNK]);
        for from in (0..width).step_by(CHUNK) {
            let chunk = &mut chunk[..CHUNK.min(width - from)];
            rows.copy(index, from, chunk);
            largest = chunk.iter().fold(largest, |largest, x| largest.max(x.abs()));
        }
        let scale = largest / LARGEST;
        *self.scale(part, entry, index[2], position)? = scale;
        Ok(scale)
    }

    fn scale(&mut self, part: Part, entry: usize, head: usize, position: usize) -> Result<&mut f32, Error> {
        let at = match part {
            Part::Key => self.format.key_scales_at(head),
            Part::Value => self.format.value_scales_at(head),
        };
        let scales = self.blocks.slice::<f32>(entry, at, BLOCK_KV).ok_or(Error::new(Reason::Bounds, Field::Key))?;
        Ok(&mut scales[position % BLOCK_KV])
    }

    fn read_row(&mut self, part: Part, [batch, position, head]: [usize; 3], to: &mut [f32]) -> Result<(), Error> {
        let entry = self.entry(batch, position)?;
        for (chunk, to) in to.chunks_mut(CHUNK).enumerate() {
            let places = self.places(part, position, chunk * CHUNK);
            match self.format.dtype {
                CacheDType::F32 => take(self.elements(part, entry, head)?, places, to, |x: f32| x),
                CacheDType::F16 => take(self.elements(part, entry, head)?, places, to, f16_to_f32),
                CacheDType::Bf16 => take(self.elements(part, entry, head)?, places, to, bf16_to_f32),
                CacheDType::Int8 => {
                    let (format, column) = (self.format, position % BLOCK_KV);
                    let scale = *self.scale(part, entry, head, position)?;
                    let bytes = self.elements::<i8>(part, entry, head)?;
                    for (i, to) in to.iter_mut().enumerate() {
                        let at = part.byte(&format, column, chunk * CHUNK + i);
                        *to = f32::from(flipped(bytes[at], at)) * scale;
                    }
                }
            }
        }
        Ok(())
    }
}

/// `x / s` to the nearest integer, ties to even.
fn quantise(x: f32, scale: f32) -> i8 {
    if scale == 0.0 {
        return 0;
    }
    // Where the scale is subnormal the quotient can lie past 127.
    ((x / scale).clamp(-LARGEST, LARGEST) + MAGIC - MAGIC) as i8
}

/// What lies in an even place has its sign bit flipped.
fn flipped(x: i8, at: usize) -> i8 {
    match at % 2 {
        0 => x ^ i8::MIN,
        _ => x,
    }
}

#[inline(always)]
fn put<T>(elements: &mut [T], places: Places, values: &[f32], convert: impl Fn(f32) -> T) {
    for (to, x) in elements[places.at..].iter_mut().step_by(places.stride).zip(values) {
        *to = convert(*x);
    }
}

#[inline(always)]
fn take<T: Copy>(elements: &[T], places: Places, to: &mut [f32], convert: impl Fn(T) -> f32) {
    for (to, x) in to.iter_mut().zip(elements[places.at..].iter().step_by(places.stride)) {
        *to = convert(*x);
    }
}
