//! `y = activation(x Wᵀ + b)`: the matrix product.
//!
//! Shapes: x `[groups, rows, in]`, W `[weight_groups, out, in]` (each output feature a row, as PyTorch stores it), b `[out]`, y
//! `[groups, rows, out]`; group g is multiplied by W of `g mod weight_groups`. W may be packed, `[weight_groups, out / 32, in, 32]`:
//! 32 output features side by side, the last one again for those that are missing.
//!
//! Order, per element: the inner axis in segments of 64 from index 0; in a segment `s = +0`, then `s = s + (x * w)` ascending;
//! the segments' sums are added in order, the bias last. So a row has the same bits alone and among many.
//!
//! Error: `|err| <= u * (min(in, 64) + segments + 1) * (sum |x w| + |b|)`, first order, u = 2^-24; then the activation's own.
//!
//! Loops (after BLIS: Van Zee and van de Geijn 2015): a tile is 256 rows and 256 columns. Its rows are copied to blocks at the
//! micro-kernel's constant stride. A segment of 32 columns (8 KiB) is laid side by side in the first cache and meets all rows
//! there: so W is gone through once for 256 rows, and nothing of its size has to be kept.

use super::activation::Activation;
use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::gemm_block::{copy_row, gemm_block, pack_columns, row_block, row_by_rows, A_BLOCK};
use crate::kernel::row_tile::COLUMNS;
use crate::kernel::{Lanes, Native, MR, ROW_STRIDE};
use core::ops::Range;

/// Rows of a tile.
const TILE_ROWS: usize = 256;
/// Columns of a tile, in groups of 32.
const TILE_GROUPS: usize = 8;

/// Weights by rows, or packed.
#[derive(Clone, Copy)]
pub struct Weight<'a> {
    /// The elements.
    pub data: &'a [f32],
    /// Whether 32 output features lie side by side.
    pub packed: bool,
    /// Output features.
    pub outer: usize,
    /// Input features.
    pub inner: usize,
}

impl Weight<'_> {
    /// Groups of 32 output features.
    pub fn columns(&self) -> usize {
        self.outer.div_ceil(COLUMNS)
    }

    /// Lays a segment of a group of columns side by side.
    fn pack(&self, weight_group: usize, columns: usize, from: usize, to: &mut [[f32; COLUMNS]]) {
        let first = columns * COLUMNS;
        let rows = &self.data[(weight_group * self.outer + first) * self.inner + from..];
        pack_columns::<Native>(rows, self.inner, COLUMNS.min(self.outer - first), to);
    }

    /// Packs a group of columns whole.
    pub fn pack_all(&self, weight_group: usize, columns: usize, to: &mut [[f32; COLUMNS]]) {
        for (i, to) in to.chunks_mut(ROW_STRIDE).enumerate() {
            self.pack(weight_group, columns, i * ROW_STRIDE, to);
        }
    }
}

/// Integers: groups, rows, in, out, weight_groups, activation, 1 for packed weights (optional). Inputs: x, W, b (optional).
/// Output: y.
pub struct Linear<'a> {
    groups: usize,
    rows: usize,
    weight_groups: usize,
    activation: Activation,
    x: &'a [f32],
    weight: Weight<'a>,
    bias: Option<&'a [f32]>,
}

impl<'a> Linear<'a> {
    /// One group of rows and packed weights, without an activation.
    pub fn of_packed(x: &'a [f32], weight: Weight<'a>, bias: Option<&'a [f32]>) -> Self {
        let rows = x.len() / weight.inner;
        Self { groups: 1, rows, weight_groups: 1, activation: Activation::Identity, x, weight, bias }
    }

    fn row_tiles(&self) -> usize {
        self.rows.div_ceil(TILE_ROWS)
    }

    fn column_tiles(&self) -> usize {
        self.weight.columns().div_ceil(TILE_GROUPS)
    }

    fn segments(&self) -> usize {
        self.weight.inner.div_ceil(ROW_STRIDE)
    }

    fn segment(&self, i: usize) -> Range<usize> {
        let from = i * ROW_STRIDE;
        from..self.weight.inner.min(from + ROW_STRIDE)
    }

    /// Fours of rows in a tile: what is copied to blocks. Rows left over are read where they lie.
    fn quads(&self) -> usize {
        TILE_ROWS.min(self.rows) / MR
    }

    /// Group, first row among all groups, and count of rows of a tile of rows.
    fn rows_of(&self, tile: usize) -> (usize, usize, usize) {
        let (group, first) = (tile / self.row_tiles(), tile % self.row_tiles() * TILE_ROWS);
        (group, group * self.rows + first, TILE_ROWS.min(self.rows - first))
    }

    /// What of a row of x lies in a segment.
    fn part_of(&self, row: usize, segment: &Range<usize>) -> &'a [f32] {
        &self.x[row * self.weight.inner..][segment.start..segment.end]
    }

    /// Copies rows of x, in fours, to blocks `[segment][row / 4][4][64]`.
    #[inline(never)]
    fn copy_rows(&self, tile: usize, workspace: &mut [f32]) {
        let (_, first, rows) = self.rows_of(tile);
        let (blocks, _) = workspace.as_chunks_mut::<A_BLOCK>();
        for (i, blocks) in blocks.chunks_exact_mut(self.quads()).take(self.segments()).enumerate() {
            let segment = self.segment(i);
            let fours = blocks.as_flattened_mut().as_chunks_mut::<ROW_STRIDE>().0;
            for (r, to) in fours[..rows / MR * MR].iter_mut().enumerate() {
                copy_row::<Native>(self.part_of(first + r, &segment), to);
            }
        }
    }

    /// f32 elements of a tile's memory: blocks of rows, a segment of 32 columns, 32 sums for each row.
    fn memory(&self) -> Result<[usize; 3], Error> {
        let place = if self.weight.packed { 0 } else { ROW_STRIDE * COLUMNS };
        let blocks = product(&[self.quads(), self.segments(), A_BLOCK])?;
        Ok([blocks, place, TILE_ROWS.min(self.rows) * COLUMNS])
    }

    /// Multiplies the rows of a tile, whose blocks are filled, by its columns.
    fn multiply(&self, tile: usize, workspace: &mut [f32], y: &mut [f32]) -> Result<(), Error> {
        let (group, first, rows) = self.rows_of(tile / self.column_tiles());
        let from = tile % self.column_tiles() * TILE_GROUPS;
        let weight_group = group % self.weight_groups;
        let in_fours = rows / MR * MR;
        let Weight { data, packed, outer, inner } = self.weight;
        // Fewer rows than a block are multiplied by W as it lies.
        let by_rows = !packed && in_fours == 0;
        let [blocks, place, _] = self.memory()?;
        let (blocks, rest) = workspace.split_at_mut(blocks);
        let (place, sums) = rest.split_at_mut(place);
        let sums = &mut sums.as_chunks_mut::<COLUMNS>().0[..rows];
        for columns in from..self.weight.columns().min(from + TILE_GROUPS) {
            for i in 0..self.segments() {
                let segment = self.segment(i);
                if by_rows && segment.len().is_multiple_of(4) && (columns + 1) * COLUMNS <= outer {
                    let rows_of_w = &data[(weight_group * outer + columns * COLUMNS) * inner + segment.start..];
                    for (r, sums) in sums.iter_mut().enumerate() {
                        row_by_rows::<Native>(self.part_of(first + r, &segment), rows_of_w, inner, sums, i > 0);
                    }
                    continue;
                }
                let b = if packed {
                    let panel = (weight_group * self.weight.columns() + columns) * inner;
                    &data.as_chunks().0[panel + segment.start..panel + segment.end]
                } else {
                    let place = &mut place.as_chunks_mut().0[..segment.len()];
                    self.weight.pack(weight_group, columns, segment.start, place);
                    place
                };
                let (fours, alone) = sums.split_at_mut(in_fours);
                if in_fours > 0 {
                    let a = &blocks.as_chunks().0[i * self.quads()..][..in_fours / MR];
                    gemm_block::<Native>(a, b, fours, i > 0);
                }
                for (r, sums) in alone.iter_mut().enumerate() {
                    row_block::<Native>(self.part_of(first + in_fours + r, &segment), b, sums, i > 0);
                }
            }
            let column = columns * COLUMNS;
            self.finish(column, sums, &mut y[first * outer + column..]);
        }
        Ok(())
    }

    /// Adds the bias, applies the activation and stores 32 outputs of each row, or as many as there are.
    #[inline(never)]
    fn finish(&self, column: usize, sums: &[[f32; COLUMNS]], y: &mut [f32]) {
        let n = COLUMNS.min(self.weight.outer - column);
        let mut bias = [0.0; COLUMNS];
        if let Some(b) = self.bias {
            for (to, b) in bias.iter_mut().zip(&b[column..]) {
                *to = *b;
            }
        }
        let mut rest = [0.0; COLUMNS];
        for (sums, y) in sums.iter().zip(y.chunks_mut(self.weight.outer)) {
            let whole = y.first_chunk_mut().filter(|_| n == COLUMNS);
            let partial = whole.is_none();
            let to = whole.unwrap_or(&mut rest).as_chunks_mut::<4>().0;
            for ((sum, bias), to) in sums.as_chunks::<4>().0.iter().zip(bias.as_chunks::<4>().0).zip(to) {
                let mut x = Native::load(sum);
                if self.bias.is_some() {
                    x = x.add(Native::load(bias));
                }
                if self.activation != Activation::Identity {
                    x = self.activation.apply(x);
                }
                x.canonical().store(to);
            }
            if partial {
                for (to, x) in y[..n].iter_mut().zip(rest) {
                    *to = x;
                }
            }
        }
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
        let packed = arguments.integers.get(6).is_some_and(|packed| *packed != 0);
        let whole = if packed { outer.div_ceil(COLUMNS) * COLUMNS } else { outer };
        Ok(Self {
            groups,
            rows,
            weight_groups,
            activation: Activation::from_number(integer(5)?)?,
            x: arguments.f32(0, &[groups, rows, inner])?,
            weight: Weight { data: arguments.f32(1, &[weight_groups, whole, inner])?, packed, outer, inner },
            bias: arguments.optional_f32(2, &[outer])?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let [blocks, place, sums] = self.memory()?;
        Ok(Plan {
            shared: 0,
            workspace: blocks.checked_add(place + sums).ok_or(Error::new(Reason::Size, Field::Call))?,
            tiles: [0, product(&[self.groups, self.row_tiles(), self.column_tiles()])?],
        })
    }

    fn work(&self) -> usize {
        // Few rows wait for the weight to be read.
        amount(&[self.groups, if self.rows < 4 { 4 } else { self.rows }, self.weight.inner, self.weight.outer])
    }

    fn run(&self, out: &mut [Output<'_>], scratch: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [y] = outputs(out)?;
        let y = y.f32(&[self.groups, self.rows, self.weight.outer])?;
        let mut copied = None;
        for tile in tiles {
            let of_rows = tile / self.column_tiles();
            if copied != Some(of_rows) && self.quads() > 0 {
                self.copy_rows(of_rows, scratch.workspace);
                copied = Some(of_rows);
            }
            self.multiply(tile, scratch.workspace, y)?;
        }
        Ok(())
    }
}

/// Lays the weights of a matrix product side by side, once for many calls. Integers: weight_groups, in, out. Input: W `[weight_groups, out,
/// in]`. Output: `[weight_groups, out / 32, in, 32]`.
pub struct PackWeight<'a> {
    weight_groups: usize,
    weight: Weight<'a>,
}

impl<'a> Operator<'a> for PackWeight<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [weight_groups, inner, outer] = arguments.integers()?;
        let data = arguments.f32(0, &[weight_groups, outer, inner])?;
        Ok(Self { weight_groups, weight: Weight { data, packed: false, outer, inner } })
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan { shared: 0, workspace: 0, tiles: [0, product(&[self.weight_groups, self.weight.columns()])?] })
    }

    fn work(&self) -> usize {
        amount(&[self.weight_groups, self.weight.inner, self.weight.outer, 4])
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [to] = outputs(out)?;
        let (columns, inner) = (self.weight.columns(), self.weight.inner);
        let to = to.f32(&[self.weight_groups, columns, inner, COLUMNS])?.as_chunks_mut().0;
        for tile in tiles {
            self.weight.pack_all(tile / columns, tile % columns, &mut to[tile * inner..][..inner]);
        }
        Ok(())
    }
}
