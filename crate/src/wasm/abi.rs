//! Argument blocks: the layout the host writes, and the proof that what it points at can be used.

use super::memory::Span;
use crate::attention::plan::Plan;
use crate::attention::spec::{Options, Outputs, Sizes, Spec};
use crate::error::{Error, Field, Reason};
use crate::layout::{Shape, View, ViewMut};
use core::mem::offset_of;

const FLAG_SCALE: u32 = 1;
const FLAG_CAUSAL: u32 = 2;
const DTYPE_F32: u32 = 0;

/// An operand `[batch, seq, heads, width]`: where it lies, its element type, its strides in elements.
#[derive(Clone, Copy)]
#[repr(C)]
struct Operand {
    pointer: u32,
    dtype: u32,
    stride_batch: u32,
    stride_seq: u32,
    stride_head: u32,
}

/// The block of an attention call, as it lies in memory.
#[derive(Clone, Copy)]
#[repr(C)]
struct Block {
    scale: f64,
    flags: u32,
    batch: u32,
    num_heads: u32,
    num_kv_heads: u32,
    q_len: u32,
    kv_len: u32,
    head_dim: u32,
    value_head_dim: u32,
    query: Operand,
    key: Operand,
    value: Operand,
    out: Operand,
    lse: u32,
    weights: u32,
    q_offset: u32,
    kv_lengths: u32,
    scratch: u32,
    scratch_byte_length: u32,
    plan_scratch_byte_length: u32,
    plan_passes: u32,
    plan_pack_tiles: u32,
    plan_attend_tiles: u32,
}

macro_rules! offsets {
    ($($field:ident),* $(,)?) => { [$(offset_of!(Block, $field) as u32,)* size_of::<Block>() as u32] };
}

/// The offsets of the block's fields in order, then its size.
pub const OFFSETS: [u32; 24] = offsets!(
    scale,
    flags,
    batch,
    num_heads,
    num_kv_heads,
    q_len,
    kv_len,
    head_dim,
    value_head_dim,
    query,
    key,
    value,
    out,
    lse,
    weights,
    q_offset,
    kv_lengths,
    scratch,
    scratch_byte_length,
    plan_scratch_byte_length,
    plan_passes,
    plan_pack_tiles,
    plan_attend_tiles,
);

/// FNV-1a (32 bits) over [`OFFSETS`], each as four little-endian bytes.
pub const fn fingerprint() -> u32 {
    let mut hash = 0x811c_9dc5u32;
    let mut i = 0;
    while i < OFFSETS.len() {
        let bytes = OFFSETS[i].to_le_bytes();
        let mut k = 0;
        while k < bytes.len() {
            hash = (hash ^ bytes[k] as u32).wrapping_mul(0x0100_0193);
            k += 1;
        }
        i += 1;
    }
    hash
}

/// A call's arguments, copied out of the block: later writes by the host cannot change what was checked.
pub struct AttentionArgs {
    block: Block,
    at: Span,
}

/// A call's scratch memory: packed keys, then one tile's workspace.
pub struct Scratch {
    packed: *mut f32,
    packed_len: usize,
    workspace: *mut f32,
    workspace_len: usize,
}

impl AttentionArgs {
    /// Copies the block at `pointer`.
    pub fn read(pointer: u32) -> Result<Self, Error> {
        let at = Span::new(pointer, size_of::<Block>() as u64, 16, Field::Call)?;
        // SAFETY: the host writes the block before the call and not during it; a block is numbers only.
        let block = unsafe { at.slice::<Block>() }[0];
        Ok(Self { block, at })
    }

    /// The sizes of the call.
    pub fn sizes(&self) -> Sizes {
        let b = &self.block;
        Sizes {
            batch: b.batch as usize,
            num_heads: b.num_heads as usize,
            num_kv_heads: b.num_kv_heads as usize,
            q_len: b.q_len as usize,
            kv_len: b.kv_len as usize,
            head_dim: b.head_dim as usize,
            value_head_dim: b.value_head_dim as usize,
        }
    }

    /// Writes the plan's numbers into the block.
    pub fn write_plan(&mut self, plan: &Plan) -> Result<(), Error> {
        let too_large = Error::new(Reason::Size, Field::Scratch);
        let number = |n: usize| u32::try_from(n).map_err(|_| too_large);
        let bytes = plan.scratch().checked_mul(4).ok_or(too_large)?;
        // Tile counts are products of sizes that fit; computed in usize they could still wrap.
        let tiles = |per_unit: usize| plan.units_per_pass.checked_mul(per_unit).ok_or(too_large);
        self.block.plan_scratch_byte_length = number(bytes)?;
        self.block.plan_passes = number(plan.passes)?;
        self.block.plan_pack_tiles = number(tiles(plan.blocks)?)?;
        self.block.plan_attend_tiles = number(tiles(plan.row_tiles)?)?;
        // SAFETY: as in `read`; no reference to the block is held here.
        let place = unsafe { self.at.slice_mut::<Block>() };
        place[0] = self.block;
        Ok(())
    }

    fn shape(&self, operand: &Operand, seq: u32, heads: u32, width: u32) -> Shape {
        Shape {
            sizes: [self.block.batch, seq, heads].map(|n| n as usize),
            width: width as usize,
            strides: [operand.stride_batch, operand.stride_seq, operand.stride_head].map(|n| n as usize),
        }
    }

    /// Sizes and strides of query, key, value, out, lse and weights with their pointers and names.
    fn operands(&self) -> [(u32, Shape, Field); 6] {
        let b = &self.block;
        let (heads, kv_heads) = (b.num_heads, b.num_kv_heads);
        let per_head = |width: u32| {
            let rows = (b.num_heads as usize).wrapping_mul(b.q_len as usize);
            let sizes = [b.batch, b.q_len, heads].map(|n| n as usize);
            let width = width as usize;
            // Contiguous [batch, heads, q_len, width]; a product that wraps is refused by `contiguous_fits`.
            Shape { sizes, width, strides: [rows.wrapping_mul(width), width, (b.q_len as usize).wrapping_mul(width)] }
        };
        [
            (b.query.pointer, self.shape(&b.query, b.q_len, heads, b.head_dim), Field::Query),
            (b.key.pointer, self.shape(&b.key, b.kv_len, kv_heads, b.head_dim), Field::Key),
            (b.value.pointer, self.shape(&b.value, b.kv_len, kv_heads, b.value_head_dim), Field::Value),
            (b.out.pointer, self.shape(&b.out, b.q_len, heads, b.value_head_dim), Field::Out),
            (b.lse, per_head(1), Field::Lse),
            (b.weights, per_head(b.kv_len), Field::Weights),
        ]
    }

    fn contiguous_fits(&self, width: u32) -> bool {
        let b = &self.block;
        let sizes = [b.batch, b.num_heads, b.q_len, width];
        sizes.iter().try_fold(4u64, |p, n| p.checked_mul(u64::from(*n))).is_some_and(|p| p <= u64::from(u32::MAX))
    }

    fn span(pointer: u32, shape: &Shape, field: Field) -> Result<Span, Error> {
        let extent = shape.extent().ok_or(Error::new(Reason::Size, field))?;
        Span::new(pointer, extent as u64 * 4, 4, field)
    }

    fn offsets_span(&self) -> Result<Span, Error> {
        let bytes = if self.block.q_offset == 0 { 0 } else { u64::from(self.block.batch) * 4 };
        Span::new(self.block.q_offset, bytes, 4, Field::QOffset)
    }

    fn lengths_span(&self) -> Result<Span, Error> {
        let bytes = if self.block.kv_lengths == 0 { 0 } else { u64::from(self.block.batch) * 4 };
        Span::new(self.block.kv_lengths, bytes, 4, Field::KvLengths)
    }

    /// The checked operands and options.
    pub fn spec(&self) -> Result<Spec<'_>, Error> {
        let b = &self.block;
        for dtype in [b.query.dtype, b.key.dtype, b.value.dtype, b.out.dtype] {
            if dtype != DTYPE_F32 {
                return Err(Error::new(Reason::Kind, Field::Call));
            }
        }
        let [query, key, value, ..] = self.operands();
        let view = |(pointer, shape, field): (u32, Shape, Field)| {
            let span = Self::span(pointer, &shape, field)?;
            // SAFETY: contract V of `layout`: the span covers the extent, inputs are not written during a call (`outputs`
            // and `scratch` refuse to overlap them), and any bits are an f32.
            Ok(unsafe { View::from_raw(span.pointer(), shape) })
        };
        // SAFETY: as above; any bits are an i32 or u32.
        let (q_offset, kv_lengths) = unsafe { (self.offsets_span()?.slice(), self.lengths_span()?.slice()) };
        let options = Options {
            scale: (b.flags & FLAG_SCALE != 0).then_some(b.scale),
            causal: b.flags & FLAG_CAUSAL != 0,
            q_offset,
            kv_lengths,
        };
        Spec::new(self.sizes(), options, view(query)?, view(key)?, view(value)?)
    }

    /// Every span a call reads or writes, in the order inputs, outputs, scratch.
    fn spans(&self) -> Result<[(Span, Field); 9], Error> {
        let [query, key, value, out, lse, weights] = self.operands();
        let operand = |(pointer, shape, field): (u32, Shape, Field)| Ok((Self::span(pointer, &shape, field)?, field));
        let optional = |(pointer, shape, field): (u32, Shape, Field)| {
            if pointer == 0 {
                return Ok((Span::new(0, 0, 4, field)?, field));
            }
            if !self.contiguous_fits(shape.width as u32) {
                return Err(Error::new(Reason::Size, field));
            }
            operand((pointer, shape, field))
        };
        let scratch = Span::new(self.block.scratch, u64::from(self.block.scratch_byte_length), 16, Field::Scratch)?;
        Ok([
            (self.at, Field::Call),
            operand(query)?,
            operand(key)?,
            operand(value)?,
            (self.offsets_span()?, Field::QOffset),
            (self.lengths_span()?, Field::KvLengths),
            operand(out)?,
            optional(lse)?,
            optional(weights)?,
        ])
        .and_then(|spans: [(Span, Field); 9]| {
            for (i, (span, field)) in spans.iter().enumerate() {
                let others = if i < 6 { &spans[..0] } else { &spans[..i] };
                if others.iter().any(|(other, _)| other.overlaps(span)) {
                    return Err(Error::new(Reason::Overlap, *field));
                }
                if scratch.overlaps(span) {
                    return Err(Error::new(Reason::Overlap, Field::Scratch));
                }
            }
            Ok(spans)
        })
    }

    /// Where results go.
    pub fn outputs(&self) -> Result<Outputs<'_>, Error> {
        let spans = self.spans()?;
        let [.., out, lse, weights] = self.operands();
        let view = |span: &Span, shape: Shape| {
            // SAFETY: contract V of `layout`: `spans` proved that nothing else of the call lies there.
            unsafe { ViewMut::from_raw(span.pointer(), shape) }
        };
        Ok(Outputs {
            out: view(&spans[6].0, out.1),
            lse: (self.block.lse != 0).then(|| view(&spans[7].0, lse.1)),
            weights: (self.block.weights != 0).then(|| view(&spans[8].0, weights.1)),
        })
    }

    /// The scratch memory, large enough for the plan.
    pub fn scratch(&self, plan: &Plan) -> Result<Scratch, Error> {
        self.spans()?;
        let bytes = u64::from(self.block.scratch_byte_length);
        if bytes < plan.scratch() as u64 * 4 {
            return Err(Error::new(Reason::Bounds, Field::Scratch));
        }
        let packed = Span::new(self.block.scratch, bytes, 16, Field::Scratch)?.pointer::<f32>();
        let workspace = packed.wrapping_add(plan.packed);
        Ok(Scratch { packed, packed_len: plan.packed, workspace, workspace_len: plan.workspace })
    }
}

impl Scratch {
    /// Packed keys to read.
    pub fn packed(&self, from: usize, len: usize) -> &[f32] {
        assert!(from <= self.packed_len && len <= self.packed_len - from);
        // SAFETY: inside the scratch span, which overlaps no operand; nobody packs while tiles attend.
        unsafe { core::slice::from_raw_parts(self.packed.add(from), len) }
    }

    /// A block of packed keys to write. Each tile of the packing phase has its own.
    #[allow(clippy::mut_from_ref)]
    pub fn packed_mut(&self, from: usize, len: usize) -> &mut [f32] {
        assert!(from <= self.packed_len && len <= self.packed_len - from);
        // SAFETY: inside the scratch span, which overlaps no operand; ranges of different tiles are disjoint, and a tile
        // drops its slice before the next begins.
        unsafe { core::slice::from_raw_parts_mut(self.packed.add(from), len) }
    }

    /// The workspace of the tile that is running.
    #[allow(clippy::mut_from_ref)]
    pub fn workspace_mut(&self) -> &mut [f32] {
        // SAFETY: as in `packed_mut`; one tile runs at a time on a workspace.
        unsafe { core::slice::from_raw_parts_mut(self.workspace, self.workspace_len) }
    }
}

/// The block of an elementwise function: `{ op, n, input, out }`.
pub struct FunctionArgs;

impl FunctionArgs {
    /// The function's number, its input and its output.
    pub fn read<'a>(pointer: u32) -> Result<(u32, &'a [f32], &'a mut [f32]), Error> {
        let at = Span::new(pointer, 16, 16, Field::Call)?;
        // SAFETY: the host writes the block before the call and not during it.
        let [op, n, input, out] = unsafe { at.slice::<[u32; 4]>() }[0];
        let input = Span::new(input, u64::from(n) * 4, 4, Field::Call)?;
        let out = Span::new(out, u64::from(n) * 4, 4, Field::Out)?;
        if out.overlaps(&input) || out.overlaps(&at) {
            return Err(Error::new(Reason::Overlap, Field::Out));
        }
        // SAFETY: disjoint, and any bits are an f32.
        Ok(unsafe { (op, input.slice(), out.slice_mut()) })
    }
}
