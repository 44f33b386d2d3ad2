//! `y = activation(x Wᵀ + b)`: the matrix product.
//!
//! Shapes: x `[groups, rows, in]`, W `[weight_groups, out, in]` (each output feature a row, as PyTorch stores it), b `[out]`, y
//! `[groups, rows, out]`; group g is multiplied by W of `g mod weight_groups`.
//!
//! Order, per element: the inner axis in segments of 64 from index 0; in a segment `s = +0`, then `s = s + (x * w)` ascending;
//! the segments' sums are added in order, the bias last. So a row has the same bits alone and among many.
//!
//! Error: `|err| <= u * (min(in, 64) + segments + 1) * (sum |x w| + |b|)`, first order, u = 2^-24; then the activation's own.
//!
//! Loops (after BLIS: Van Zee and van de Geijn 2015): W is packed once into panels of 8 outputs; a tile is 32 rows, copied to blocks
//! at the micro-kernel's constant stride; a panel meets all rows of the tile while it is in the first cache.

use super::activation::Activation;
use super::{outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::gemm_tile::{gemm_tile, Add, Store};
use crate::kernel::pack::pack_panel;
use crate::kernel::{Lanes, Native, MR, NR, ROW_STRIDE};
use crate::layout::Rows8;
use core::ops::Range;

/// Rows of a tile.
const TILE_ROWS: usize = 32;
/// Elements of one block of A: four rows of a segment.
const A_BLOCK: usize = MR * ROW_STRIDE;

/// Integers: groups, rows, in, out, weight_groups, activation. Inputs: x, W, b (optional). Output: y.
pub struct Linear<'a> {
    groups: usize,
    rows: usize,
    inner: usize,
    outer: usize,
    weight_groups: usize,
    activation: Activation,
    x: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

impl Linear<'_> {
    fn segments(&self) -> usize {
        self.inner.div_ceil(ROW_STRIDE).max(1)
    }

    fn panels(&self) -> usize {
        self.outer.div_ceil(NR)
    }

    fn row_tiles(&self) -> usize {
        self.rows.div_ceil(TILE_ROWS)
    }

    fn pack(&self, panels: &mut [f32], tiles: Range<usize>) {
        for tile in tiles {
            let (group, panel) = (tile / self.panels(), tile % self.panels());
            let first = panel * NR;
            let n = NR.min(self.outer - first);
            let start = (group * self.outer + first) * self.inner;
            let mut rows: [&[f32]; NR] = [&[]; NR];
            for (r, row) in rows[..n].iter_mut().enumerate() {
                *row = &self.weight[start + r * self.inner..][..self.inner];
            }
            pack_panel::<Native>(&rows[..n], &mut panels[tile * self.inner * NR..][..self.inner * NR]);
        }
    }

    /// Copies rows of x to blocks `[row / 4][segment][4][64]`; rows past the end become zeros.
    fn copy_rows(&self, group: usize, first: usize, rows: usize, blocks: &mut [f32]) {
        for (i, block) in blocks.chunks_exact_mut(A_BLOCK).take(rows.div_ceil(MR) * self.segments()).enumerate() {
            let (quad, from) = (i / self.segments(), i % self.segments() * ROW_STRIDE);
            let n = ROW_STRIDE.min(self.inner - from);
            for (r, to) in block.chunks_exact_mut(ROW_STRIDE).enumerate() {
                let row = quad * MR + r;
                if row < rows {
                    to[..n].copy_from_slice(&self.x[(group * self.rows + first + row) * self.inner + from..][..n]);
                } else {
                    to[..n].fill(0.0);
                }
            }
        }
    }

    /// One tile of rows against all panels.
    fn multiply(&self, panels: &[f32], blocks: &mut [f32], y: &mut [f32], tile: usize) {
        let (group, first) = (tile / self.row_tiles(), tile % self.row_tiles() * TILE_ROWS);
        let rows = TILE_ROWS.min(self.rows - first);
        self.copy_rows(group, first, rows, blocks);
        let weight = group % self.weight_groups * self.panels() * self.inner * NR;
        for panel in 0..self.panels() {
            let b = &panels[weight + panel * self.inner * NR..][..self.inner * NR];
            let column = panel * NR;
            for quad in (0..rows).step_by(MR) {
                let mut sums = [0.0; MR * NR];
                for segment in 0..self.segments() {
                    let a = &blocks[(quad / MR * self.segments() + segment) * A_BLOCK..][..A_BLOCK];
                    let from = segment * ROW_STRIDE;
                    let n = ROW_STRIDE.min(self.inner - from);
                    let b = Rows8::packed(&b[from * NR..], n);
                    if segment == 0 {
                        gemm_tile::<Native, _>(a, b, &mut sums, NR, Store);
                    } else {
                        gemm_tile::<Native, _>(a, b, &mut sums, NR, Add);
                    }
                }
                for r in 0..MR.min(rows - quad) {
                    let start = (group * self.rows + first + quad + r) * self.outer + column;
                    let n = NR.min(self.outer - column);
                    self.finish(column, &mut sums[r * NR..][..NR], &mut y[start..start + n]);
                }
            }
        }
    }

    /// Adds the bias and applies the activation to eight outputs.
    #[inline(always)]
    fn finish(&self, column: usize, sums: &mut [f32], y: &mut [f32]) {
        let mut bias = [0.0; NR];
        if let Some(b) = self.bias {
            bias[..y.len()].copy_from_slice(&b[column..column + y.len()]);
        }
        let (sums_by_four, _) = sums.as_chunks_mut::<4>();
        let (bias, _) = bias.as_chunks::<4>();
        for (sums, bias) in sums_by_four.iter_mut().zip(bias) {
            let mut x = Native::load(sums);
            if self.bias.is_some() {
                x = x.add(Native::load(bias));
            }
            self.activation.apply(x).canonical().store(sums);
        }
        y.copy_from_slice(&sums[..y.len()]);
    }
}

impl<'a> Operator<'a> for Linear<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i| arguments.integer(i);
        let [groups, rows, inner, outer, weight_groups] =
            [integer(0)?, integer(1)?, integer(2)?, integer(3)?, integer(4)?];
        if inner == 0 || weight_groups == 0 || !groups.is_multiple_of(weight_groups) {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        product(&[groups, rows, outer])?;
        Ok(Self {
            groups,
            rows,
            inner,
            outer,
            weight_groups,
            activation: Activation::from_number(integer(5)?)?,
            x: arguments.f32(0, &[groups, rows, inner])?,
            weight: arguments.f32(1, &[weight_groups, outer, inner])?,
            bias: arguments.optional_f32(2, &[outer])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan {
            shared: product(&[self.weight_groups, self.panels(), self.inner, NR])?,
            workspace: product(&[TILE_ROWS.min(self.rows.next_multiple_of(MR)), self.segments(), ROW_STRIDE])?,
            tiles: [product(&[self.weight_groups, self.panels()])?, product(&[self.groups, self.row_tiles()])?],
        })
    }

    fn run(
        &self,
        out: &mut [Output<'_>],
        scratch: Scratch<'_>,
        phase: usize,
        tiles: Range<usize>,
    ) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let y = y.f32(&[self.groups, self.rows, self.outer])?;
        if phase == 0 {
            self.pack(scratch.shared, tiles);
        } else {
            for tile in tiles {
                self.multiply(scratch.shared, scratch.workspace, y, tile);
            }
        }
        Ok(())
    }
}
