//! Rows of numbers: the loops that operators over rows share, so that each is in the wasm once.

use crate::kernel::{canonical, Lanes, Native};

/// `y = (y * a) + (t * b)`, element by element: two products, each rounded, and their sum. A factor of 1 rounds nothing.
#[inline(never)]
pub fn add(y: &mut [f32], a: f32, t: &[f32], b: f32) {
    let (fours, rest) = y.as_chunks_mut::<4>();
    // There may be more of t.
    let (t_fours, t_rest) = t[..fours.len() * 4 + rest.len()].as_chunks::<4>();
    for (y, t) in fours.iter_mut().zip(t_fours) {
        let sum = Native::load(y).mul(Native::splat(a)).add(Native::load(t).mul(Native::splat(b)));
        sum.canonical().store(y);
    }
    for (y, t) in rest.iter_mut().zip(t_rest) {
        *y = canonical(*y * a + *t * b);
    }
}

/// `y = y * a`; with a factor of 1 every NaN becomes the one that is stored, and nothing else changes.
#[inline(never)]
pub fn scale(y: &mut [f32], a: f32) {
    let (fours, rest) = y.as_chunks_mut::<4>();
    for y in fours {
        Native::load(y).mul(Native::splat(a)).canonical().store(y);
    }
    for y in rest {
        *y = canonical(*y * a);
    }
}

/// `y = x`, every NaN as the one that is stored. By vectors: a call of the engine's copying takes longer than a row.
#[inline(never)]
pub fn copy(y: &mut [f32], x: &[f32]) {
    let (fours, rest) = y.as_chunks_mut::<4>();
    let (x_fours, x_rest) = x[..fours.len() * 4 + rest.len()].as_chunks::<4>();
    for (y, x) in fours.iter_mut().zip(x_fours) {
        Native::load(x).canonical().store(y);
    }
    for (y, x) in rest.iter_mut().zip(x_rest) {
        *y = canonical(*x);
    }
}

/// Where the rows of heads lie in `[batch, seq, heads, width]` or `[batch, heads, seq, width]`. As strides: a choice in the loop would be
/// compiled into a loop for each.
#[derive(Clone, Copy)]
pub struct Rows {
    /// Rows of a batch row.
    pub seq: usize,
    /// Heads of a row.
    pub heads: usize,
    /// Elements of a row of a head.
    pub width: usize,
    strides: [usize; 2],
}

impl Rows {
    /// Contiguous rows.
    pub fn new(seq: usize, heads: usize, width: usize, heads_outside: bool) -> Self {
        let strides = if heads_outside { [width, seq.wrapping_mul(width)] } else { [heads.wrapping_mul(width), width] };
        Self { seq, heads, width, strides }
    }

    /// The first element of row `i` of batch row `b` and a head. Sizes were multiplied before, so nothing wraps.
    pub fn start(&self, b: usize, i: usize, head: usize) -> usize {
        b * self.seq * self.heads * self.width + i * self.strides[0] + head * self.strides[1]
    }
}
