//! Which keys a query row may use: lengths, one per batch row or one per query, and a mask; both must agree.

use crate::error::{Error, Field, Reason};
use crate::ops::Arguments;

/// Lengths and mask of a call.
#[derive(Clone, Copy)]
pub struct Visibility<'a> {
    kv_len: usize,
    lengths: Option<&'a [i32]>,
    /// Lengths per batch row: 1, or one for each query.
    lengths_per_row: usize,
    mask: Option<&'a [u8]>,
    mask_strides: [usize; 4],
}

impl<'a> Visibility<'a> {
    /// `sizes` is `[batch, heads, q_len, kv_len]`; from `integer` on lie the kind of the lengths (0 none, 1 per batch row, 2 per query)
    /// and the four sizes of the mask, each 1 or the whole axis.
    #[inline(never)]
    pub fn read(
        arguments: &Arguments<'a>,
        sizes: [usize; 4],
        integer: usize,
        lengths: usize,
        mask: usize,
    ) -> Result<Self, Error> {
        let [batch, _, q_len, kv_len] = sizes;
        let lengths_per_row = if arguments.integer(integer)? == 2 { q_len } else { 1 };
        let lengths = arguments.optional_i32(lengths, &[batch, lengths_per_row])?;
        if lengths.is_some_and(|lengths| lengths.iter().any(|n| *n < 0 || *n as usize > kv_len)) {
            return Err(Error::new(Reason::Value, Field::KvLengths));
        }
        let (mut mask_sizes, mut mask_strides, mut stride) = ([1; 4], [0; 4], 1);
        for axis in (0..4).rev() {
            let size = arguments.integer(integer + 1 + axis)?;
            if size == sizes[axis] && size != 1 {
                (mask_sizes[axis], mask_strides[axis]) = (size, stride);
                stride *= size;
            }
        }
        let mask = arguments.optional_bool(mask, &mask_sizes)?;
        Ok(Self { kv_len, lengths, lengths_per_row, mask, mask_strides })
    }

    /// Keys up to which a query row may look.
    pub fn length(&self, batch: usize, query: usize) -> usize {
        let at = batch * self.lengths_per_row + query.min(self.lengths_per_row - 1);
        self.lengths.map_or(self.kv_len, |lengths| lengths[at] as usize)
    }

    /// Gives -Infinity to the scores of keys that the row may not use, and to what pads the row.
    #[inline(never)]
    pub fn hide(&self, batch: usize, head: usize, query: usize, scores: &mut [f32]) {
        let length = self.length(batch, query);
        scores[length..].fill(f32::NEG_INFINITY);
        let Some(mask) = self.mask else { return };
        let [by_batch, by_head, by_query, by_key] = self.mask_strides;
        let start = batch * by_batch + head * by_head + query * by_query;
        for (j, score) in scores[..length].iter_mut().enumerate() {
            if mask[start + j * by_key] == 0 {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}
