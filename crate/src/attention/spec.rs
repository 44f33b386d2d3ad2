//! What a call asks for: sizes, options and operands, checked against each other.

use super::bit_mask::BitMask;
use super::cache::Cache;
use super::operand::{Operand, Target};
use super::shard::Shard;
use super::BLOCK_KV;
use crate::error::{Error, Field, Reason};
use crate::kernel::{Lanes, Native};
use crate::layout::{Shape, View, ViewMut};
use core::ops::Range;

/// Sizes of one attention call, in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Batch rows.
    pub batch: usize,
    /// Query heads; a multiple of `num_kv_heads`.
    pub num_heads: usize,
    /// Heads of key and value; query head h reads head `h / (num_heads / num_kv_heads)`.
    pub num_kv_heads: usize,
    /// Query rows.
    pub q_len: usize,
    /// Keys.
    pub kv_len: usize,
    /// Position of the first key; keys are numbered from here to `kv_start + kv_len`.
    pub kv_start: usize,
    /// Width of a query and key row; at least 1.
    pub head_dim: usize,
    /// Width of a value and out row.
    pub value_head_dim: usize,
}

impl Sizes {
    /// Query heads that share a kv head.
    pub fn group(&self) -> usize {
        self.num_heads.checked_div(self.num_kv_heads).unwrap_or(0)
    }

    /// One past the position of the last key.
    pub fn kv_end(&self) -> usize {
        self.kv_start + self.kv_len
    }

    /// (batch row, kv head) pairs: each packs its keys once.
    pub fn units(&self) -> usize {
        self.batch * self.num_kv_heads
    }

    /// Checks that heads divide, and that indices of rows and keys fit.
    pub fn validate(&self) -> Result<(), Error> {
        if self.head_dim == 0 {
            return Err(Error::new(Reason::Value, Field::HeadDim));
        }
        let divides = match self.num_kv_heads {
            0 => self.num_heads == 0,
            n => self.num_heads.is_multiple_of(n),
        };
        if !divides {
            return Err(Error::new(Reason::Value, Field::NumHeads));
        }
        // Indices of rows and units are computed in usize, which is 32 bits on wasm.
        let fits = |sizes: &[usize]| {
            let product = sizes.iter().try_fold(1u64, |p, n| p.checked_mul(*n as u64));
            product.is_some_and(|p| p <= u64::from(u32::MAX) / 16)
        };
        if !fits(&[self.batch, self.num_heads])
            || !fits(&[self.q_len, self.group().max(1)])
            || !fits(&[self.kv_len])
            || !fits(&[self.kv_start])
            || !fits(&[self.kv_end()])
        {
            return Err(Error::new(Reason::Size, Field::Call));
        }
        Ok(())
    }
}

/// Which keys around a row's position stay visible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Keys at most this far before the position; `None` is open.
    pub left: Option<u32>,
    /// Keys at most this far after the position; `None` is open.
    pub right: Option<u32>,
    /// The first keys, visible in spite of the window.
    pub first: u32,
}

/// Options of one attention call. All rules of visibility hold together; biases add up.
#[derive(Clone, Copy, Default)]
pub struct Options<'a> {
    /// Factor of the raw score; `None` is `1 / sqrt(head_dim)`.
    pub scale: Option<f64>,
    /// `softcap * tanh(score / softcap)`, before bias and mask; more than 0.
    pub softcap: Option<f64>,
    /// Row i sees key j iff `j <= i + q_offset`.
    pub causal: bool,
    /// Row i sees key j iff `i + q_offset - left <= j <= i + q_offset + right`.
    pub window: Option<Window>,
    /// Position of query row 0 among the keys, one per batch row; empty means 0.
    pub q_offset: &'a [i32],
    /// One past the last valid key per batch row; empty means all.
    pub kv_lengths: &'a [u32],
    /// Valid query rows per batch row; empty means all. Rows past them give 0 and an lse of -Infinity.
    pub q_lengths: &'a [u32],
    /// `[batch, q_len, num_heads, columns or 1]`, not 0 = may attend; broadcast axes have stride 0.
    pub mask: Option<View<'a, u8>>,
    /// A rule, as a program.
    pub bit_mask: Option<&'a BitMask<'a>>,
    /// `[batch, q_len, num_heads, columns or 1]`, added to the score; -Infinity hides.
    pub bias: Option<Operand<'a>>,
    /// One per query head: adds `-slope * |i + q_offset - j|`; empty means none.
    pub alibi_slopes: &'a [f32],
    /// One logit per query head that takes weight and gives no value; empty means none.
    pub sinks: &'a [f32],
    /// The stage whose scores are written out.
    pub tap: Option<Tap>,
    /// The keys are a part of more: states are written instead of results.
    pub shard: Option<Shard>,
}

/// How a raw score becomes a base-2 one.
#[derive(Clone, Copy, Debug)]
pub(super) enum ScoreScale {
    /// `t = raw * c`.
    Plain(f32),
    /// `t = c2 * tanh(raw * c1)`.
    Capped(f32, f32),
}

/// Where keys and values come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// `[batch, kv_len, num_kv_heads, width]` each; keys are packed before they are used.
    Rows { key: Operand<'a>, value: Operand<'a> },
    /// Kept between calls, keys packed already.
    Cache(Cache<'a>),
}

/// Operands and options that were checked against each other.
pub struct Spec<'a> {
    pub(super) sizes: Sizes,
    pub(super) options: Options<'a>,
    pub(super) query: Operand<'a>,
    pub(super) source: Source<'a>,
    pub(super) scale: f64,
    pub(super) score_scale: ScoreScale,
}

/// Where results go.
pub struct Outputs<'a> {
    /// `[batch, q_len, num_heads, value_head_dim]`.
    pub out: Target<'a>,
    /// `[batch, q_len, num_heads, 1]`: natural log of the sum of exponentials.
    pub lse: Option<ViewMut<'a>>,
    /// The weights, or some of them.
    pub weights: Option<Weights<'a>>,
    /// The scores at the stage `Options::tap`, `[batch, q_len, num_heads, kv_len]`; given exactly when that is.
    pub tap: Option<ViewMut<'a>>,
    /// The states of a part; given exactly when `Options::shard` is, and then nothing else is written.
    pub partial: Option<PartialOutputs<'a>>,
}

/// Where the results of a part go.
pub struct PartialOutputs<'a> {
    /// `[nodes * batch, q_len, num_heads, 1]`: a node's rows lie together.
    pub m: ViewMut<'a>,
    /// As `m`.
    pub l: ViewMut<'a>,
    /// `[nodes * batch, q_len, num_heads, value_head_dim]`.
    pub o: ViewMut<'a>,
    /// Scores `[batch, q_len, num_heads, columns]` and values `[batch, columns, num_kv_heads, value_head_dim]` of the open
    /// block on the left and on the right.
    pub edges: [Option<[ViewMut<'a>; 2]>; 2],
}

/// Which weights are written, and where.
pub enum Weights<'a> {
    /// All: `[batch, q_len, num_heads, kv_len]`.
    Full(ViewMut<'a>),
    /// Their mean over the heads, which are summed ascending: `[batch, q_len, 1, kv_len]`.
    HeadMean(ViewMut<'a>),
    /// Those of some query rows: `slots[i]` is the row of the output, negative for none.
    Rows(ViewMut<'a>, &'a [i32]),
    /// The largest k of a row, descending, ties to the lower index: `[batch, q_len, num_heads, k]` values and indices;
    /// what is missing is 0 and -1.
    TopK(ViewMut<'a>, ViewMut<'a, i32>),
}

/// A stage of the scores, in natural units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tap {
    /// The dot products.
    Raw,
    /// Times the scale.
    Scaled,
    /// After the softcap, if any.
    Capped,
    /// After bias and ALiBi, -Infinity where hidden.
    Biased,
}

fn expect(shape: &Shape, sizes: [usize; 3], widths: &[usize], field: Field) -> Result<(), Error> {
    if shape.sizes != sizes || !widths.contains(&shape.width) {
        return Err(Error::new(Reason::Value, field));
    }
    Ok(())
}

impl<'a> Spec<'a> {
    /// Checks sizes, options and operands; `(batch, seq, heads)` and widths must be those of `sizes`.
    pub fn new(
        sizes: Sizes,
        options: Options<'a>,
        query: impl Into<Operand<'a>>,
        key: impl Into<Operand<'a>>,
        value: impl Into<Operand<'a>>,
    ) -> Result<Self, Error> {
        let (key, value) = (key.into(), value.into());
        let Sizes { batch, num_kv_heads, kv_len, head_dim, value_head_dim, .. } = sizes;
        expect(key.shape(), [batch, kv_len, num_kv_heads], &[head_dim], Field::Key)?;
        expect(value.shape(), [batch, kv_len, num_kv_heads], &[value_head_dim], Field::Value)?;
        Self::with_source(sizes, options, query.into(), Source::Rows { key, value })
    }

    /// The same over keys and values of a cache, which holds positions from 0 on: neither shards nor taps.
    pub fn over_cache(
        sizes: Sizes,
        options: Options<'a>,
        query: impl Into<Operand<'a>>,
        cache: Cache<'a>,
    ) -> Result<Self, Error> {
        let Sizes { batch, num_kv_heads, kv_len, kv_start, head_dim, value_head_dim, .. } = sizes;
        let format = cache.format();
        let same =
            [format.num_kv_heads, format.head_dim, format.value_head_dim] == [num_kv_heads, head_dim, value_head_dim];
        if !same || kv_start != 0 || options.shard.is_some() || options.tap.is_some() || !cache.covers(batch, kv_len) {
            return Err(Error::new(Reason::Value, Field::Key));
        }
        Self::with_source(sizes, options, query.into(), Source::Cache(cache))
    }

    fn with_source(sizes: Sizes, options: Options<'a>, query: Operand<'a>, source: Source<'a>) -> Result<Self, Error> {
        sizes.validate()?;
        let Sizes { batch, num_heads, q_len, head_dim, .. } = sizes;
        let columns = options.shard.map_or(sizes.kv_end(), |shard| shard.total());
        expect(query.shape(), [batch, q_len, num_heads], &[head_dim], Field::Query)?;
        if let Some(mask) = &options.mask {
            expect(mask.shape(), [batch, q_len, num_heads], &[columns, 1], Field::Mask)?;
        }
        if let Some(bias) = &options.bias {
            expect(bias.shape(), [batch, q_len, num_heads], &[columns, 1], Field::Bias)?;
        }
        let wrong = |field| Err(Error::new(Reason::Value, field));
        let one_each = |n: usize, of: usize| n == 0 || n == of;
        if !one_each(options.q_offset.len(), batch) {
            return wrong(Field::QOffset);
        }
        let within =
            |lengths: &[u32], most| one_each(lengths.len(), batch) && lengths.iter().all(|n| *n as usize <= most);
        if !within(options.kv_lengths, columns) {
            return wrong(Field::KvLengths);
        }
        if !within(options.q_lengths, q_len) {
            return wrong(Field::QLengths);
        }
        if !one_each(options.alibi_slopes.len(), num_heads) {
            return wrong(Field::AlibiSlopes);
        }
        if !one_each(options.sinks.len(), num_heads) {
            return wrong(Field::Sinks);
        }
        let scale = options.scale.unwrap_or_else(|| default_scale(head_dim));
        if !scale.is_finite() {
            return wrong(Field::Scale);
        }
        const LOG2_E: f64 = core::f64::consts::LOG2_E;
        let score_scale = match options.softcap {
            None => ScoreScale::Plain((scale * LOG2_E) as f32),
            Some(cap) if cap.is_finite() && cap > 0.0 => {
                ScoreScale::Capped((scale / cap) as f32, (cap * LOG2_E) as f32)
            }
            Some(_) => return wrong(Field::Softcap),
        };
        Ok(Self { sizes, options, query, source, scale, score_scale })
    }

    /// The sizes of the call.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Positions of the keys of a batch row that may be seen at all.
    pub(super) fn keys(&self, batch: usize) -> Range<usize> {
        let end = self.options.kv_lengths.get(batch).map_or(usize::MAX, |n| *n as usize).min(self.sizes.kv_end());
        self.sizes.kv_start..end.max(self.sizes.kv_start)
    }

    /// Lanes `from..` of the value at a position, as f32; not of int8.
    pub(super) fn value(&self, [batch, position, head]: [usize; 3], from: usize, to: &mut [f32]) {
        match &self.source {
            Source::Rows { value, .. } => value.copy([batch, position - self.sizes.kv_start, head], from, to),
            Source::Cache(cache) => {
                cache.block(batch, position / BLOCK_KV, head).value(position % BLOCK_KV, from, to);
            }
        }
    }

    /// Columns of a mask or bias that is not broadcast: one per key, those of other parts included.
    pub(super) fn columns(&self) -> usize {
        self.options.shard.map_or(self.sizes.kv_end(), |shard| shard.total())
    }

    /// Query rows of a batch row that are not padding.
    pub(super) fn q_length(&self, batch: usize) -> usize {
        self.options.q_lengths.get(batch).map_or(self.sizes.q_len, |n| *n as usize)
    }

    /// Position of query row i of a batch row among the keys.
    pub(super) fn position(&self, batch: usize, i: usize) -> i64 {
        i as i64 + self.options.q_offset.get(batch).map_or(0, |n| i64::from(*n))
    }

    /// Checks that results fit the call.
    pub fn expect_outputs(&self, outputs: &Outputs<'_>) -> Result<(), Error> {
        let Sizes { batch, num_heads, q_len, kv_len, value_head_dim, .. } = self.sizes;
        let rows = [batch, q_len, num_heads];
        if let (Some(shard), Some(partial)) = (&self.options.shard, &outputs.partial) {
            let nodes = shard.nodes(|_| ());
            for (view, width) in [(&partial.m, 1), (&partial.l, 1), (&partial.o, value_head_dim)] {
                expect(view.shape(), [nodes * batch, q_len, num_heads], &[width], Field::Partial)?;
            }
            for (edge, keys) in partial.edges.iter().zip(shard.edges()) {
                match edge {
                    None if keys.is_empty() => {}
                    Some([scores, values]) if !keys.is_empty() => {
                        expect(scores.shape(), rows, &[keys.len()], Field::Partial)?;
                        let kv_rows = [batch, keys.len(), self.sizes.num_kv_heads];
                        expect(values.shape(), kv_rows, &[value_head_dim], Field::Partial)?;
                    }
                    _ => return Err(Error::new(Reason::Value, Field::Partial)),
                }
            }
            return Ok(());
        }
        if self.options.shard.is_some() || outputs.partial.is_some() {
            return Err(Error::new(Reason::Value, Field::Partial));
        }
        expect(outputs.out.shape(), rows, &[value_head_dim], Field::Out)?;
        if let Some(lse) = &outputs.lse {
            expect(lse.shape(), rows, &[1], Field::Lse)?;
        }
        match &outputs.tap {
            Some(tap) if self.options.tap.is_some() => expect(tap.shape(), rows, &[kv_len], Field::Tap)?,
            None if self.options.tap.is_none() => {}
            _ => return Err(Error::new(Reason::Value, Field::Tap)),
        }
        match &outputs.weights {
            None => Ok(()),
            Some(Weights::Full(view)) => expect(view.shape(), rows, &[kv_len], Field::Weights),
            Some(Weights::HeadMean(view)) => expect(view.shape(), [batch, q_len, 1], &[kv_len], Field::Weights),
            Some(Weights::Rows(view, slots)) => {
                let n = view.shape().sizes[1];
                if slots.len() != q_len || slots.iter().any(|slot| *slot >= 0 && *slot as usize >= n) {
                    return Err(Error::new(Reason::Value, Field::Weights));
                }
                expect(view.shape(), [batch, n, num_heads], &[kv_len], Field::Weights)
            }
            Some(Weights::TopK(values, indices)) => {
                if values.shape().sizes != rows || indices.shape() != values.shape() {
                    return Err(Error::new(Reason::Value, Field::Weights));
                }
                Ok(())
            }
        }
    }
}

/// `1 / sqrt(n)`: the square root rounded to f64, then the quotient rounded to f64.
pub fn default_scale(n: usize) -> f64 {
    1.0 / Native::root_of(n)
}
