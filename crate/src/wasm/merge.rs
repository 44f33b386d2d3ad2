//! The blocks of a part and of a merge.

use super::block::Operand as Place;
use super::memory::{contiguous, Span};
use crate::attention::merge::{scratch, Item, MergeOutputs};
use crate::attention::operand::Target;
use crate::attention::shard::Shard;
use crate::attention::spec::{PartialOutputs, Sizes};
use crate::error::{Error, Field, Reason};
use crate::layout::{stride, Shape, ViewMut};

/// What an attention block's `partial` points at: where the states of a part go. All f32 and contiguous: m and l `[nodes,
/// batch, num_heads, q_len]`, o the same with `value_head_dim` last; scores `[batch, num_heads, q_len, columns]`, values
/// `[batch, num_kv_heads, columns, value_head_dim]`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct PartialBlock {
    pub kv_total: u32,
    pub m: u32,
    pub l: u32,
    pub o: u32,
    pub left_scores: u32,
    pub left_values: u32,
    pub right_scores: u32,
    pub right_values: u32,
}

/// A part's shard and the memory its states go to.
pub struct PartialArgs {
    pub shard: Shard,
    /// m, l, o, left scores, left values, right scores, right values.
    outputs: [(Span, Shape); 7],
}

/// Where a contiguous f32 `[batch, heads, rows, width]` lies.
fn place(pointer: u32, sizes: [usize; 4], field: Field) -> Result<(Span, Shape), Error> {
    let (shape, bytes) = contiguous(sizes, field)?;
    Ok((Span::new(pointer, bytes, 4, field)?, shape))
}

impl PartialArgs {
    /// Copies and checks the block.
    pub fn read(pointer: u32, sizes: &Sizes) -> Result<Self, Error> {
        let at = Span::new(pointer, size_of::<PartialBlock>() as u64, 4, Field::Partial)?;
        // SAFETY: the host writes the block before the call and not during it; a block is numbers only.
        let block = unsafe { at.slice::<PartialBlock>() }[0];
        let shard = Shard::new(sizes.kv_start, sizes.kv_end(), block.kv_total as usize)
            .ok_or(Error::new(Reason::Value, Field::Partial))?;
        let nodes = shard.nodes(|_| ());
        let [left, right] = shard.edges().map(|keys| keys.len());
        let Sizes { batch, num_heads, num_kv_heads, q_len, value_head_dim, .. } = *sizes;
        let states = nodes.checked_mul(batch).ok_or(Error::new(Reason::Size, Field::Partial))?;
        let state = |pointer, width| place(pointer, [states, num_heads, q_len, width], Field::Partial);
        let rows = |pointer, width| place(pointer, [batch, num_heads, q_len, width], Field::Partial);
        let keys = |pointer, n| place(pointer, [batch, num_kv_heads, n, value_head_dim], Field::Partial);
        let outputs = [
            state(block.m, 1)?,
            state(block.l, 1)?,
            state(block.o, value_head_dim)?,
            rows(block.left_scores, left)?,
            keys(block.left_values, left)?,
            rows(block.right_scores, right)?,
            keys(block.right_values, right)?,
        ];
        Ok(Self { shard, outputs })
    }

    /// What the part writes.
    pub fn spans(&self) -> [Span; 7] {
        self.outputs.map(|(span, _)| span)
    }

    /// Where the states go.
    pub fn outputs<'a>(&self) -> PartialOutputs<'a> {
        // SAFETY: contract V of `layout`: in bounds by `read`; `AttentionArgs` refuses spans that overlap anything.
        let view = |i: usize| unsafe { ViewMut::from_raw(self.outputs[i].0.pointer(), self.outputs[i].1) };
        let edge = |i: usize| (self.outputs[i].1.width > 0).then(|| [view(i), view(i + 1)]);
        PartialOutputs { m: view(0), l: view(1), o: view(2), edges: [edge(3), edge(5)] }
    }
}

/// The block of a merge.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct MergeBlock {
    pub batch: u32,
    pub num_heads: u32,
    pub num_kv_heads: u32,
    pub q_len: u32,
    pub value_head_dim: u32,
    pub out: Place,
    /// Absent where the pointer is 0.
    pub lse: Place,
    /// One f32 per query head, or 0.
    pub sinks: u32,
    /// One u32 per batch row, or 0.
    pub q_lengths: u32,
    /// Five words each: kind, block, and three pointers. 0 node: m, l, o; 1 edge: scores, values; 2 result: lse, out.
    pub items: u32,
    pub item_count: u32,
    pub scratch: u32,
    pub scratch_byte_length: u32,
}

/// Words of an item.
const ITEM_WORDS: usize = 5;

/// A checked merge.
pub struct MergeArgs<'a> {
    pub sizes: Sizes,
    pub sinks: &'a [f32],
    pub q_lengths: &'a [u32],
    words: &'a [u32],
    block: MergeBlock,
}

impl<'a> MergeArgs<'a> {
    /// Copies the block at `pointer` and checks every span of it.
    pub fn read(pointer: u32) -> Result<Self, Error> {
        let at = Span::new(pointer, size_of::<MergeBlock>() as u64, 16, Field::Call)?;
        // SAFETY: the host writes blocks and inputs before the call and not during it; any bits are valid numbers.
        let block = unsafe { at.slice::<MergeBlock>() }[0];
        let sizes = Sizes {
            batch: block.batch as usize,
            num_heads: block.num_heads as usize,
            num_kv_heads: block.num_kv_heads as usize,
            q_len: block.q_len as usize,
            kv_len: 0,
            kv_start: 0,
            head_dim: 1,
            value_head_dim: block.value_head_dim as usize,
        };
        sizes.validate()?;
        let array = |pointer: u32, count: u64, field| {
            let bytes = if pointer == 0 { Some(0) } else { count.checked_mul(4) };
            Span::new(pointer, bytes.ok_or(Error::new(Reason::Size, field))?, 4, field)
        };
        let sinks = array(block.sinks, u64::from(block.num_heads), Field::Sinks)?;
        let q_lengths = array(block.q_lengths, u64::from(block.batch), Field::QLengths)?;
        let words = array(block.items, u64::from(block.item_count) * ITEM_WORDS as u64, Field::Partial)?;
        let bytes = u64::from(block.scratch_byte_length);
        let memory = Span::new(block.scratch, bytes, 16, Field::Scratch)?;
        let needed = scratch(block.item_count as usize, sizes.value_head_dim);
        if needed.is_none_or(|needed| (needed as u64) * 4 > bytes) {
            return Err(Error::new(Reason::Bounds, Field::Scratch));
        }
        // SAFETY: as above.
        let (sinks_of, q_lengths_of, words_of) = unsafe { (sinks.slice(), q_lengths.slice(), words.slice()) };
        let args = Self { sizes, sinks: sinks_of, q_lengths: q_lengths_of, words: words_of, block };
        let mut outputs = [args.located(&block.out, sizes.value_head_dim)?.0, Span::EMPTY, memory];
        if block.lse.pointer != 0 {
            outputs[1] = args.located(&block.lse, 1)?.0;
        }
        for (i, output) in outputs.iter().enumerate() {
            let others = outputs[..i].iter().chain([&at, &sinks, &q_lengths, &words]);
            if others.into_iter().any(|other| other.overlaps(output)) {
                return Err(Error::new(Reason::Overlap, Field::Out));
            }
        }
        for i in 0..block.item_count as usize {
            for span in args.item_spans(i)?.0 {
                if outputs.iter().any(|output| output.overlaps(&span)) {
                    return Err(Error::new(Reason::Overlap, Field::Out));
                }
            }
        }
        Ok(args)
    }

    fn located(&self, place: &Place, width: usize) -> Result<(Span, Shape), Error> {
        let shape = Shape {
            sizes: [self.sizes.batch, self.sizes.q_len, self.sizes.num_heads],
            width,
            strides: [place.stride_batch, place.stride_seq, place.stride_head].map(|n| n as usize),
        };
        let extent = shape.extent().ok_or(Error::new(Reason::Size, Field::Out))? as u64;
        Ok((Span::new(place.pointer, extent * 4, 4, Field::Out)?, shape))
    }

    /// The spans of an item, its kind and its block.
    fn item_spans(&self, i: usize) -> Result<([Span; 3], u32, usize), Error> {
        let wrong = Error::new(Reason::Value, Field::Partial);
        let words: &[u32; ITEM_WORDS] =
            self.words.get(i * ITEM_WORDS..).and_then(|rest| rest.first_chunk()).ok_or(wrong)?;
        let [kind, block, pointers @ ..] = *words;
        let s = &self.sizes;
        let rows = s.batch as u64 * s.num_heads as u64 * s.q_len as u64;
        let lanes = s.value_head_dim as u64;
        let lengths = match kind {
            0 => [rows, rows, rows.saturating_mul(lanes)],
            1 => [rows.saturating_mul(64), (s.units() as u64).saturating_mul(64).saturating_mul(lanes), 0],
            2 => [rows, rows.saturating_mul(lanes), 0],
            _ => return Err(wrong),
        };
        let mut spans = [Span::EMPTY; 3];
        for ((span, pointer), length) in spans.iter_mut().zip(pointers).zip(lengths) {
            *span = Span::new(pointer, length.saturating_mul(4), 4, Field::Partial)?;
        }
        Ok((spans, kind, block as usize))
    }

    /// The items, left to right.
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'_, 'a> {
        (0..self.block.item_count as usize).map_while(|i| {
            let (spans, kind, block) = self.item_spans(i).ok()?;
            // SAFETY: in bounds, checked again here, and apart from all outputs, checked by `read`.
            let [a, b, c] = unsafe { spans.map(|span| span.slice()) };
            Some(match kind {
                0 => Item::Node { block, m: a, l: b, o: c },
                1 => Item::Edge { block, scores: a, values: b },
                _ => Item::Result { block, lse: a, out: b },
            })
        })
    }

    /// How many items there are.
    pub fn count(&self) -> usize {
        self.block.item_count as usize
    }

    /// Where the rows go.
    pub fn outputs(&self) -> Result<MergeOutputs<'a>, Error> {
        let (out, out_shape) = self.located(&self.block.out, self.sizes.value_head_dim)?;
        // SAFETY: contract V of `layout`: in bounds by `located`, apart from all else by `read`.
        let out = Target::F32(unsafe { ViewMut::from_raw(out.pointer(), out_shape) });
        let lse = match self.block.lse.pointer {
            0 => None,
            _ => {
                let (lse, shape) = self.located(&self.block.lse, 1)?;
                // SAFETY: as above.
                Some(unsafe { ViewMut::from_raw(lse.pointer(), shape) })
            }
        };
        Ok(MergeOutputs { out, lse })
    }

    /// Temporary memory of a thread.
    pub fn memory(&self, thread: u32) -> Result<&'a mut [f32], Error> {
        let too_small = Error::new(Reason::Bounds, Field::Scratch);
        let needed = scratch(self.count(), self.sizes.value_head_dim).ok_or(too_small)?;
        let from = u64::from(thread) * stride(needed) as u64 * 4;
        let bytes = needed as u64 * 4;
        if from + bytes > u64::from(self.block.scratch_byte_length) {
            return Err(too_small);
        }
        let pointer = u32::try_from(u64::from(self.block.scratch) + from).map_err(|_| too_small)?;
        // SAFETY: apart from all else by `read`; each thread has its own part of it.
        Ok(unsafe { Span::new(pointer, bytes, 4, Field::Scratch)?.slice_mut() })
    }
}
