//! Scores of a network: `s = v . y_n + c`, `y_1 = f(a + b)`, `y_l = f(W_l y_(l-1) + c_l)`, with a the query's part of the first layer (its
//! bias included) and b the key's part. With f = tanh and one hidden layer this is additive attention.
//!
//! Order: `a + b` is one addition; further layers and v are matrix products of the numeric contract; c is added last.
//!
//! Eight keys at a time stand side by side, so a layer is the matrix product's own tile with W as its rows, and no array of the size
//! queries x keys x hidden ever exists.

use super::lanes::fold;
use crate::error::{Error, Field, Reason};
use crate::kernel::gemm_tile::{gemm_tile, AddScale, Store};
use crate::kernel::{Lanes, Native, MR, NR, ROW_STRIDE};
use crate::layout::Rows8;
use crate::ops::activation::Activation;
use crate::ops::{product, Arguments};

/// The most hidden layers after the first.
pub const DEEP: usize = 2;
/// Elements of a block of four rows of W.
const A_BLOCK: usize = MR * ROW_STRIDE;

/// A hidden layer after the first.
#[derive(Clone, Copy)]
struct Layer<'a> {
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    inner: usize,
    outer: usize,
}

/// A network that scores a pair of query and key.
#[derive(Clone, Copy)]
pub struct Network<'a> {
    /// Applied after every layer but the last.
    pub activation: Activation,
    deep: [Option<Layer<'a>>; DEEP],
    widest: usize,
    last: &'a [f32],
    constant: f32,
}

impl Layer<'_> {
    fn segments(&self) -> usize {
        self.inner.div_ceil(ROW_STRIDE)
    }

    fn packed(&self) -> usize {
        self.outer.div_ceil(MR) * self.segments() * A_BLOCK
    }

    /// Lays W into blocks of four rows and 64 columns; rows past the last are zeros.
    fn pack(&self, blocks: &mut [f32]) {
        for (i, block) in blocks.chunks_exact_mut(A_BLOCK).enumerate() {
            let (quad, from) = (i / self.segments() * MR, i % self.segments() * ROW_STRIDE);
            let n = ROW_STRIDE.min(self.inner - from);
            for (r, to) in block.chunks_exact_mut(ROW_STRIDE).enumerate() {
                if quad + r < self.outer {
                    to[..n].copy_from_slice(&self.weight[(quad + r) * self.inner + from..][..n]);
                } else {
                    to[..n].fill(0.0);
                }
            }
        }
    }

    #[inline(never)]
    fn run(&self, activation: Activation, blocks: &[f32], x: &[f32], y: &mut [f32]) {
        for (i, block) in blocks.chunks_exact(A_BLOCK).enumerate() {
            let (quad, segment) = (i / self.segments() * MR, i % self.segments());
            let n = ROW_STRIDE.min(self.inner - segment * ROW_STRIDE);
            let columns = Rows8::packed(&x[segment * ROW_STRIDE * NR..], n);
            let y = &mut y[quad * NR..][..MR * NR];
            if segment == 0 {
                gemm_tile::<Native, _>(block, columns, y, NR, Store);
            } else {
                gemm_tile::<Native, _>(block, columns, y, NR, AddScale(1.0));
            }
        }
        let y = &mut y[..self.outer * NR];
        if let Some(bias) = self.bias {
            add(bias, y);
        }
        activation.apply_to(y.as_chunks_mut().0);
    }
}

/// Adds a number to every row of eight.
#[inline(never)]
fn add(numbers: &[f32], rows: &mut [f32]) {
    for (a, row) in numbers.iter().zip(rows.as_chunks_mut::<NR>().0) {
        for half in row.as_chunks_mut::<4>().0 {
            Native::splat(*a).add(Native::load(half)).store(half);
        }
    }
}

impl<'a> Network<'a> {
    /// A single hidden layer with tanh, weighted by `v`.
    pub fn additive(v: &'a [f32]) -> Self {
        Self { activation: Activation::Tanh, deep: [None; DEEP], widest: v.len(), last: v, constant: 0.0 }
    }

    /// Reads activation, number and widths of the further hidden layers from `integer` on, v from input `last`, weights and biases of
    /// the layers from input `deep` on, and the constant behind them.
    #[inline(never)]
    pub fn read(
        arguments: &Arguments<'a>,
        features: usize,
        integer: usize,
        last: usize,
        deep: usize,
    ) -> Result<Self, Error> {
        let activation = Activation::from_number(arguments.integer(integer)?)?;
        let count = arguments.integer(integer + 1)?;
        if count > DEEP {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        let (mut layers, mut inner, mut widest) = ([None; DEEP], features, features);
        for (l, layer) in layers.iter_mut().enumerate().take(count) {
            let outer = arguments.integer(integer + 2 + l)?;
            let weight = arguments.f32(deep + 2 * l, &[outer, inner])?;
            let bias = arguments.optional_f32(deep + 2 * l + 1, &[outer])?;
            if outer == 0 {
                return Err(Error::new(Reason::Value, Field::Call));
            }
            *layer = Some(Layer { weight, bias, inner, outer });
            (inner, widest) = (outer, widest.max(outer));
        }
        let constant = arguments.optional_f32(deep + 2 * DEEP, &[1])?.map_or(0.0, |c| c[0]);
        Ok(Self { activation, deep: layers, widest, last: arguments.f32(last, &[inner])?, constant })
    }

    fn layers(&self) -> impl Iterator<Item = &Layer<'a>> {
        self.deep.iter().flatten()
    }

    /// f32 elements of the packed weights of the further layers.
    pub fn packed(&self) -> Result<usize, Error> {
        self.layers().try_fold(0, |sum, layer| {
            product(&[layer.outer.div_ceil(MR), layer.segments(), A_BLOCK])?;
            Ok(sum + layer.packed())
        })
    }

    /// Packs the further layers.
    #[inline(never)]
    pub fn pack(&self, mut blocks: &mut [f32]) {
        for layer in self.layers() {
            let (own, rest) = core::mem::take(&mut blocks).split_at_mut(layer.packed());
            layer.pack(own);
            blocks = rest;
        }
    }

    /// f32 elements that [`Self::score`] works in.
    pub fn workspace(&self) -> Result<usize, Error> {
        product(&[2, self.widest.next_multiple_of(MR), NR])
    }

    /// Scores of a row against a panel of eight keys.
    #[inline(never)]
    pub fn score(&self, mut blocks: &[f32], row: &[f32], panel: &[f32], workspace: &mut [f32], out: &mut [f32; NR]) {
        let (mut x, mut y) = workspace.split_at_mut(self.widest.next_multiple_of(MR) * NR);
        let hidden = &mut x[..panel.len()];
        hidden.copy_from_slice(panel);
        add(row, hidden);
        self.activation.apply_to(hidden.as_chunks_mut().0);
        for layer in self.layers() {
            let (own, rest) = blocks.split_at(layer.packed());
            layer.run(self.activation, own, x, y);
            core::mem::swap(&mut x, &mut y);
            blocks = rest;
        }
        fold::<Native>(self.last, self.last, x, out, |_, w, h, sum| w.mul_add(h, sum));
        out.iter_mut().for_each(|s| *s += self.constant);
    }
}
