//! Argument blocks become checked calls: the proof that what a block points at can be used.

use super::block::{dtype, flag, weights_kind, Block, Operand as Place};
use super::cache::CacheArgs;
use super::located::{keep_apart, Array, Located};
use super::memory::{contiguous, Span};
use super::merge::PartialArgs;
use super::program;
use super::scratch::Scratch;
use crate::attention::bit_mask::BitMask;
use crate::attention::plan::Plan;
use crate::attention::spec::{Options, Outputs, Sizes, Spec, Tap, Weights, Window};
use crate::attention::split::Splits;
use crate::error::{Error, Field, Reason};
use crate::layout::{stride, Shape, View};

/// A call's arguments, copied out of the block: later writes by the host cannot change what was checked.
pub struct AttentionArgs {
    block: Block,
    at: Span,
    bit_mask: Option<BitMask<'static>>,
    partial: Option<PartialArgs>,
    cache: Option<CacheArgs>,
}

/// About how much there is to do, in units of 1,024 multiply-adds of the micro-kernel: for hosts that share it out.
fn work(sizes: &Sizes, causal: bool) -> u32 {
    let rows = sizes.q_len as u64 * sizes.group() as u64;
    // Few rows wait for their keys and values to be read.
    let rows = if rows < 4 { 4 } else { rows };
    let pairs = (sizes.units() as u64).saturating_mul(rows).saturating_mul(sizes.kv_len as u64);
    let visible = if causal && sizes.q_len > 1 { pairs / 2 } else { pairs };
    let multiplications = visible.saturating_mul(sizes.head_dim as u64 + sizes.value_head_dim as u64);
    u32::try_from(multiplications >> 10).unwrap_or(u32::MAX).max(1)
}

impl AttentionArgs {
    /// Copies the block at `pointer` and checks every span of the call: in bounds, aligned, outputs apart from all else.
    pub fn read(pointer: u32) -> Result<Self, Error> {
        let at = Span::new(pointer, size_of::<Block>() as u64, 16, Field::Call)?;
        // SAFETY: the host writes the block before the call and not during it; a block is numbers only.
        let block = unsafe { at.slice::<Block>() }[0];
        let mut args = Self { block, at, bit_mask: None, partial: None, cache: None };
        args.check()?;
        Ok(args)
    }

    fn check(&mut self) -> Result<(), Error> {
        let mut outputs = [(Span::EMPTY, Field::Call); 1 + 5 + 7];
        let scratch = Span::new(self.block.scratch, u64::from(self.block.scratch_byte_length), 16, Field::Scratch)?;
        outputs[0] = (scratch, Field::Scratch);
        for (place, output) in outputs[1..].iter_mut().zip(self.outputs_located()?.into_iter().flatten()) {
            *place = (output.span()?, output.field);
        }
        if self.block.partial != 0 {
            let partial = PartialArgs::read(self.block.partial, &self.sizes())?;
            for (place, span) in outputs[6..].iter_mut().zip(partial.spans()) {
                *place = (span, Field::Partial);
            }
            self.partial = Some(partial);
        }
        for (i, (span, _)) in outputs.iter().enumerate() {
            keep_apart(&outputs[..i], *span)?;
        }
        let apart = |span: Span| keep_apart(&outputs, span);
        apart(self.at)?;
        if self.block.cache != 0 {
            let cache = CacheArgs::read(self.block.cache)?;
            cache.keep_apart(&apart)?;
            self.cache = Some(cache);
        }
        for input in self.inputs_located().into_iter().flatten() {
            apart(input.span()?)?;
        }
        for array in self.arrays() {
            apart(array.span()?)?;
        }
        if self.block.program != 0 {
            let span =
                Array { pointer: self.block.program, count: self.block.program_length, field: Field::Mask }.span()?;
            apart(span)?;
            // SAFETY: inputs are not written during a call; any bits are a u32.
            let words = unsafe { span.slice::<u32>() };
            self.bit_mask = Some(program::read(words, &self.sizes(), &apart)?);
        }
        Ok(())
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
            kv_start: b.kv_start as usize,
            head_dim: b.head_dim as usize,
            value_head_dim: b.value_head_dim as usize,
        }
    }

    /// Whether weights of heads are added up.
    fn sums_heads(&self) -> bool {
        self.block.weights != 0 && self.block.weights_kind == weights_kind::HEAD_MEAN
    }

    /// The call's plan. The mean of the heads is summed in their order: each has a pass of its own, in which tiles share no row.
    pub fn plan(&self, spec: &Spec<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::new(spec)?;
        if self.sums_heads() {
            (plan.units_per_pass, plan.passes, plan.packed) = (1, spec.sizes().units(), plan.packed_unit);
        }
        Ok(plan)
    }

    /// Writes the plan's numbers into the block.
    pub fn write_plan(&self, spec: &Spec<'_>, plan: &Plan) -> Result<(), Error> {
        let mut block = self.block;
        let too_large = Error::new(Reason::Size, Field::Scratch);
        let number = |n: Option<usize>| n.and_then(|n| u32::try_from(n).ok()).ok_or(too_large);
        let states = self.states(spec, plan)?;
        block.plan_scratch_byte_length = number(plan.scratch().checked_add(states).and_then(|n| n.checked_mul(4)))?;
        block.plan_passes = number(Some(plan.passes))?;
        // Products of sizes that fit; computed in usize they could still wrap.
        block.plan_pack_tiles = number(Some(plan.pack_tiles()))?;
        block.plan_attend_tiles = number(plan.units_per_pass.checked_mul(plan.row_tiles))?;
        block.plan_workspace_byte_length = number(stride(plan.workspace).checked_mul(4))?;
        // Where a tile ends between the heads of a query row, the next one adds to the same mean.
        let cut = self.sums_heads() && !plan.rows_per_tile.is_multiple_of(spec.sizes().group());
        let causal = self.block.flags & flag::CAUSAL != 0;
        block.plan_work = if cut { 0 } else { work(&self.sizes(), causal) };
        // SAFETY: as in `read`; no reference to the block is held here.
        let place = unsafe { self.at.slice_mut::<Block>() };
        place[0] = block;
        Ok(())
    }

    /// An operand of the block as `[batch, seq, heads, width]`.
    #[inline(never)]
    fn located(&self, place: &Place, seq: u32, heads: u32, width: u32, field: Field) -> Located {
        let shape = Shape {
            sizes: [self.block.batch, seq, heads].map(|n| n as usize),
            width: width as usize,
            strides: [place.stride_batch, place.stride_seq, place.stride_head].map(|n| n as usize),
        };
        Located { pointer: place.pointer, dtype: place.dtype, shape, field }
    }

    /// A contiguous f32 `[batch, heads, rows, width]`.
    fn contiguous(&self, pointer: u32, heads: u32, rows: u32, width: u32, field: Field) -> Result<Located, Error> {
        let sizes = [self.block.batch, heads, rows, width].map(|n| n as usize);
        let (shape, _) = contiguous(sizes, field)?;
        Ok(Located { pointer, dtype: dtype::F32, shape, field })
    }

    /// Query, key, value, mask and bias.
    #[inline(never)]
    fn inputs_located(&self) -> [Option<Located>; 5] {
        let b = &self.block;
        let given = |place: &Place, width, field| {
            (place.pointer != 0).then(|| self.located(place, b.q_len, b.num_heads, width, field))
        };
        let rows = |place: &Place, width, field| {
            (b.cache == 0).then(|| self.located(place, b.kv_len, b.num_kv_heads, width, field))
        };
        [
            Some(self.located(&b.query, b.q_len, b.num_heads, b.head_dim, Field::Query)),
            rows(&b.key, b.head_dim, Field::Key),
            rows(&b.value, b.value_head_dim, Field::Value),
            given(&b.mask, b.mask_width, Field::Mask),
            given(&b.bias, b.bias_width, Field::Bias),
        ]
    }

    /// Out, lse, weights, the second part of the weights, tap.
    fn outputs_located(&self) -> Result<[Option<Located>; 5], Error> {
        let b = &self.block;
        // A part writes states and no result: its out is a view of nothing.
        let out_rows = if b.partial == 0 { b.q_len } else { 0 };
        let out = self.located(&b.out, out_rows, b.num_heads, b.value_head_dim, Field::Out);
        let lse = (b.lse.pointer != 0).then(|| self.located(&b.lse, b.q_len, b.num_heads, 1, Field::Lse));
        let (heads, rows, width) = match b.weights_kind {
            weights_kind::FULL => (b.num_heads, b.q_len, b.kv_len),
            weights_kind::HEAD_MEAN => (1, b.q_len, b.kv_len),
            weights_kind::ROWS => (b.num_heads, b.weights_count, b.kv_len),
            weights_kind::TOP_K => (b.num_heads, b.q_len, b.weights_count),
            _ => return Err(Error::new(Reason::Kind, Field::Weights)),
        };
        let optional = |pointer, heads, rows, width, field| {
            if pointer == 0 {
                return Ok(None);
            }
            self.contiguous(pointer, heads, rows, width, field).map(Some)
        };
        let weights = optional(b.weights, heads, rows, width, Field::Weights)?;
        let extra = if b.weights_kind == weights_kind::TOP_K { b.weights_extra } else { 0 };
        let indices = optional(extra, heads, rows, width, Field::Weights)?;
        let tap = optional(b.tap, b.num_heads, b.q_len, b.kv_len, Field::Tap)?;
        Ok([Some(out), lse, weights, indices, tap])
    }

    /// The arrays of the options; an absent one is empty.
    #[inline(never)]
    fn arrays(&self) -> [Array; 6] {
        let b = &self.block;
        let array =
            |pointer: u32, count: u32, field| Array { pointer, count: if pointer == 0 { 0 } else { count }, field };
        let slots = if b.weights_kind == weights_kind::ROWS { b.weights_extra } else { 0 };
        [
            array(b.q_offset, b.batch, Field::QOffset),
            array(b.kv_lengths, b.batch, Field::KvLengths),
            array(b.q_lengths, b.batch, Field::QLengths),
            array(b.alibi_slopes, b.num_heads, Field::AlibiSlopes),
            array(b.sinks, b.num_heads, Field::Sinks),
            array(slots, b.q_len, Field::Weights),
        ]
    }

    /// The checked operands and options.
    #[inline(never)]
    pub fn spec(&self) -> Result<Spec<'_>, Error> {
        let b = &self.block;
        let [query, key, value, mask, bias] = self.inputs_located();
        let operand = |located: Option<Located>| located.ok_or(Error::new(Reason::Value, Field::Call))?.operand();
        let mask = match mask {
            Some(mask) if mask.dtype != dtype::BOOL => return Err(Error::new(Reason::Kind, Field::Mask)),
            // SAFETY: contract V of `layout`, as for `Located::operand`.
            Some(mask) => Some(unsafe { View::from_raw(mask.span()?.pointer(), mask.shape) }),
            None => None,
        };
        let window = Window {
            left: (b.window_left != u32::MAX).then_some(b.window_left),
            right: (b.window_right != u32::MAX).then_some(b.window_right),
            first: b.window_first,
        };
        let tap = match b.tap_stage {
            _ if b.tap == 0 => None,
            0 => Some(Tap::Raw),
            1 => Some(Tap::Scaled),
            2 => Some(Tap::Capped),
            3 => Some(Tap::Biased),
            _ => return Err(Error::new(Reason::Kind, Field::Tap)),
        };
        let [q_offset, kv_lengths, q_lengths, alibi_slopes, sinks, _] = self.arrays();
        let options = Options {
            scale: (b.flags & flag::SCALE != 0).then_some(b.scale),
            softcap: (b.flags & flag::SOFTCAP != 0).then_some(b.softcap),
            causal: b.flags & flag::CAUSAL != 0,
            window: (b.flags & flag::WINDOW != 0).then_some(window),
            q_offset: q_offset.slice()?,
            kv_lengths: kv_lengths.slice()?,
            q_lengths: q_lengths.slice()?,
            mask,
            bit_mask: self.bit_mask.as_ref(),
            bias: bias.map(|bias| bias.operand()).transpose()?,
            alibi_slopes: alibi_slopes.slice()?,
            sinks: sinks.slice()?,
            tap,
            shard: self.partial.as_ref().map(|partial| partial.shard),
        };
        match &self.cache {
            Some(cache) => Spec::over_cache(self.sizes(), options, operand(query)?, cache.cache()?),
            None => Spec::new(self.sizes(), options, operand(query)?, operand(key)?, operand(value)?),
        }
    }

    /// Where results go.
    #[inline(never)]
    pub fn outputs(&self) -> Result<Outputs<'_>, Error> {
        let [out, lse, weights, indices, tap] = self.outputs_located()?;
        let weights = match (weights, self.block.weights_kind) {
            (None, _) => None,
            (Some(view), weights_kind::FULL) => Some(Weights::Full(view.view_mut()?)),
            (Some(view), weights_kind::HEAD_MEAN) => Some(Weights::HeadMean(view.view_mut()?)),
            (Some(view), weights_kind::ROWS) => {
                let [.., slots] = self.arrays();
                Some(Weights::Rows(view.view_mut()?, slots.slice()?))
            }
            (Some(view), _) => {
                let indices = indices.ok_or(Error::new(Reason::Value, Field::Weights))?;
                Some(Weights::TopK(view.view_mut()?, indices.view_mut()?))
            }
        };
        Ok(Outputs {
            out: out.ok_or(Error::new(Reason::Value, Field::Out))?.target()?,
            lse: lse.map(|lse| lse.view_mut()).transpose()?,
            weights,
            tap: tap.map(|tap| tap.view_mut()).transpose()?,
            partial: self.partial.as_ref().map(PartialArgs::outputs),
        })
    }

    /// How the tiles are split, if they are.
    pub fn splits(&self, spec: &Spec<'_>, plan: &Plan) -> Result<Option<Splits>, Error> {
        match self.block.split_blocks {
            0 => Ok(None),
            blocks => Splits::new(spec, plan, blocks as usize).map(Some).ok_or(Error::new(Reason::Value, Field::Call)),
        }
    }

    /// Elements of the splits' states.
    fn states(&self, spec: &Spec<'_>, plan: &Plan) -> Result<usize, Error> {
        let states = self.splits(spec, plan)?.map_or(Some(0), |splits| splits.states(plan));
        states.ok_or(Error::new(Reason::Size, Field::Scratch))
    }

    /// The scratch memory as one thread sees it, large enough for the plan.
    pub fn scratch(&self, spec: &Spec<'_>, plan: &Plan, thread: u32) -> Result<Scratch, Error> {
        let bytes = u64::from(self.block.scratch_byte_length);
        let states_len = self.states(spec, plan)?;
        let before = u64::from(thread) * stride(plan.workspace) as u64;
        if bytes < (plan.scratch() as u64 + states_len as u64 + before) * 4 {
            return Err(Error::new(Reason::Bounds, Field::Scratch));
        }
        let packed = Span::new(self.block.scratch, bytes, 16, Field::Scratch)?.pointer::<f32>();
        let states = packed.wrapping_add(plan.packed);
        let workspace = states.wrapping_add(states_len + before as usize);
        let workspace_len = plan.workspace;
        Ok(Scratch { packed, packed_len: plan.packed, states, states_len, workspace, workspace_len })
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
