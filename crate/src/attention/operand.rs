//! Operands in the element types they are stored in. What enters the arithmetic is always f32.

use crate::kernel::convert::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use crate::layout::{Shape, View, ViewMut};

/// A tensor to read: f32, or half floats as their bits.
#[derive(Clone, Copy)]
pub enum Operand<'a> {
    /// binary32.
    F32(View<'a, f32>),
    /// binary16.
    F16(View<'a, u16>),
    /// The upper half of binary32.
    Bf16(View<'a, u16>),
}

impl<'a> From<View<'a, f32>> for Operand<'a> {
    fn from(view: View<'a, f32>) -> Self {
        Self::F32(view)
    }
}

impl Operand<'_> {
    /// Its sizes and strides.
    pub fn shape(&self) -> &Shape {
        match self {
            Self::F32(view) => view.shape(),
            Self::F16(view) | Self::Bf16(view) => view.shape(),
        }
    }

    /// Copies elements `from..` of a row to `to`, as f32.
    #[inline]
    pub fn copy(&self, [batch, seq, head]: [usize; 3], from: usize, to: &mut [f32]) {
        match self {
            Self::F32(view) => to.copy_from_slice(&view.row(batch, seq, head)[from..from + to.len()]),
            Self::F16(view) => widen(view.row(batch, seq, head), from, to, f16_to_f32),
            Self::Bf16(view) => widen(view.row(batch, seq, head), from, to, bf16_to_f32),
        }
    }
}

/// Out of line: the f32 path, which most calls take, stays small where it is inlined.
#[inline(never)]
fn widen(row: &[u16], from: usize, to: &mut [f32], f: impl Fn(u16) -> f32) {
    convert(&row[from..], to, f);
}

#[inline(always)]
fn convert<A: Copy, B>(from: &[A], to: &mut [B], f: impl Fn(A) -> B) {
    for (from, to) in from[..to.len()].iter().zip(to) {
        *to = f(*from);
    }
}

/// A tensor to write, rounded once from f32.
pub enum Target<'a> {
    /// binary32.
    F32(ViewMut<'a, f32>),
    /// binary16.
    F16(ViewMut<'a, u16>),
    /// The upper half of binary32.
    Bf16(ViewMut<'a, u16>),
}

impl<'a> From<ViewMut<'a, f32>> for Target<'a> {
    fn from(view: ViewMut<'a, f32>) -> Self {
        Self::F32(view)
    }
}

impl Target<'_> {
    /// Its sizes and strides.
    pub fn shape(&self) -> &Shape {
        match self {
            Self::F32(view) => view.shape(),
            Self::F16(view) | Self::Bf16(view) => view.shape(),
        }
    }

    /// Writes `values` to elements `from..` of a row.
    #[inline]
    pub fn write(&mut self, [batch, seq, head]: [usize; 3], from: usize, values: &[f32]) {
        let range = from..from + values.len();
        match self {
            Self::F32(view) => view.row(batch, seq, head)[range].copy_from_slice(values),
            Self::F16(view) => convert(values, &mut view.row(batch, seq, head)[range], f32_to_f16),
            Self::Bf16(view) => convert(values, &mut view.row(batch, seq, head)[range], f32_to_bf16),
        }
    }

    /// Makes a row all zeros.
    pub fn clear(&mut self, [batch, seq, head]: [usize; 3]) {
        match self {
            Self::F32(view) => view.row(batch, seq, head).fill(0.0),
            Self::F16(view) | Self::Bf16(view) => view.row(batch, seq, head).fill(0),
        }
    }
}
