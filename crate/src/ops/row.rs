//! Rows of numbers, in place: the two loops that operators over rows share, so that each is in the wasm once.

use crate::kernel::canonical;

/// `y = (y * a) + (t * b)`, element by element: two products, each rounded, and their sum. A factor of 1 rounds nothing.
#[inline(never)]
pub fn add(y: &mut [f32], a: f32, t: &[f32], b: f32) {
    for (y, t) in y.iter_mut().zip(t) {
        *y = canonical(*y * a + *t * b);
    }
}

/// `y = y * a`; with a factor of 1 every NaN becomes the one that is stored, and nothing else changes.
#[inline(never)]
pub fn scale(y: &mut [f32], a: f32) {
    for y in y {
        *y = canonical(*y * a);
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
