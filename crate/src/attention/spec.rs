//! What a call asks for: sizes, options and operands, checked against each other.

use crate::error::{Error, Field, Reason};
use crate::layout::{View, ViewMut};

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

    /// (batch row, kv head) pairs: each packs its keys once.
    pub fn units(&self) -> usize {
        self.batch * self.num_kv_heads
    }

    fn validate(&self) -> Result<(), Error> {
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
        if !fits(&[self.batch, self.num_heads]) || !fits(&[self.q_len, self.group().max(1)]) || !fits(&[self.kv_len]) {
            return Err(Error::new(Reason::Size, Field::Call));
        }
        Ok(())
    }
}

/// Options of one attention call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// Factor of the raw score; `None` is `1 / sqrt(head_dim)`.
    pub scale: Option<f64>,
    /// Row i sees key j iff `j <= i + q_offset`.
    pub causal: bool,
    /// Position of query row 0 among the keys, one per batch row; empty means 0.
    pub q_offset: &'a [i32],
    /// Valid keys per batch row; empty means all.
    pub kv_lengths: &'a [u32],
}

/// Operands and options that were checked against each other.
pub struct Spec<'a> {
    pub(super) sizes: Sizes,
    pub(super) options: Options<'a>,
    pub(super) query: View<'a>,
    pub(super) key: View<'a>,
    pub(super) value: View<'a>,
    /// `f32(scale * log2(e))`: scores are kept in base 2.
    pub(super) scale_log2: f32,
}

/// Where results go.
pub struct Outputs<'a> {
    /// `[batch, q_len, num_heads, value_head_dim]`.
    pub out: ViewMut<'a>,
    /// `[batch, q_len, num_heads, 1]`: natural log of the sum of exponentials.
    pub lse: Option<ViewMut<'a>>,
    /// `[batch, q_len, num_heads, kv_len]`.
    pub weights: Option<ViewMut<'a>>,
}

impl<'a> Spec<'a> {
    /// Checks sizes, options and operands; `(batch, seq, heads)` and widths must be those of `sizes`.
    pub fn new(
        sizes: Sizes,
        options: Options<'a>,
        query: View<'a>,
        key: View<'a>,
        value: View<'a>,
    ) -> Result<Self, Error> {
        sizes.validate()?;
        let Sizes { batch, num_heads, num_kv_heads, q_len, kv_len, head_dim, value_head_dim } = sizes;
        let expect = |view: &View<'_>, seq, heads, width, field| {
            let shape = view.shape();
            if shape.sizes != [batch, seq, heads] || shape.width != width {
                return Err(Error::new(Reason::Value, field));
            }
            Ok(())
        };
        expect(&query, q_len, num_heads, head_dim, Field::Query)?;
        expect(&key, kv_len, num_kv_heads, head_dim, Field::Key)?;
        expect(&value, kv_len, num_kv_heads, value_head_dim, Field::Value)?;
        if !options.q_offset.is_empty() && options.q_offset.len() != batch {
            return Err(Error::new(Reason::Value, Field::QOffset));
        }
        let lengths = options.kv_lengths;
        if !lengths.is_empty() && (lengths.len() != batch || lengths.iter().any(|n| *n as usize > kv_len)) {
            return Err(Error::new(Reason::Value, Field::KvLengths));
        }
        let scale = options.scale.unwrap_or_else(|| default_scale(head_dim));
        if !scale.is_finite() {
            return Err(Error::new(Reason::Value, Field::Scale));
        }
        let scale_log2 = (scale * core::f64::consts::LOG2_E) as f32;
        Ok(Self { sizes, options, query, key, value, scale_log2 })
    }

    /// The sizes of the call.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Keys of a batch row that may be seen at all.
    pub(super) fn kv_length(&self, batch: usize) -> usize {
        self.options.kv_lengths.get(batch).map_or(self.sizes.kv_len, |n| *n as usize)
    }

    /// Position of query row 0 of a batch row among the keys.
    pub(super) fn q_offset(&self, batch: usize) -> i64 {
        self.options.q_offset.get(batch).map_or(0, |n| i64::from(*n))
    }

    /// Checks that results fit the call.
    pub(super) fn expect_outputs(&self, outputs: &Outputs<'_>) -> Result<(), Error> {
        let Sizes { batch, num_heads, q_len, kv_len, value_head_dim, .. } = self.sizes;
        let expect = |view: &ViewMut<'_>, width, field| {
            let shape = view.shape();
            if shape.sizes != [batch, q_len, num_heads] || shape.width != width {
                return Err(Error::new(Reason::Value, field));
            }
            Ok(())
        };
        expect(&outputs.out, value_head_dim, Field::Out)?;
        outputs.lse.as_ref().map_or(Ok(()), |lse| expect(lse, 1, Field::Lse))?;
        outputs.weights.as_ref().map_or(Ok(()), |weights| expect(weights, kv_len, Field::Weights))
    }
}

/// `1 / sqrt(n)`: the square root rounded to f64, then the quotient rounded to f64.
///
/// The root is taken in integers, because `core` has none for floats and an engine's own is not promised exact.
pub fn default_scale(n: usize) -> f64 {
    if n == 0 {
        return f64::INFINITY;
    }
    // n * 4^shift has 125 or 126 bits, its root 63: ten more than f64 keeps, with a sticky last bit for rounding.
    let shift = (u128::from(n as u64).leading_zeros() - 2) / 2;
    let scaled = u128::from(n as u64) << (2 * shift);
    let root = scaled.isqrt();
    let sticky = u64::from(root * root != scaled);
    let mut sqrt = (root as u64 | sticky) as f64;
    // Exact: a division by a power of two far from the ends of the range.
    sqrt /= (1u128 << shift) as f64;
    1.0 / sqrt
}
