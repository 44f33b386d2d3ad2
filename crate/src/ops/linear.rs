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
//! there: so W is gone through once for 256 rows, and nothing of its size has to be kept. One to three rows, and those that fill no
//! four, go by themselves along W as it lies.

use super::activation::Activation;
use super::{amount, outputs, product, Arguments, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::gemm_block::{copy_row, gemm_block, pack_columns, row_along_rows, row_by_columns, A_BLOCK};
use crate::kernel::row_tile::COLUMNS;
use crate::kernel::{Lanes, Native, MR, ROW_STRIDE};
use core::ops::Range;

/// Rows of a tile.
const TILE_ROWS: usize = 256;
/// Columns of a tile, in groups of 32.
const TILE_GROUPS: usize = 8;

/// Rows of W are touched before they are read up to this length.
const LONGEST_AHEAD: usize = 1024;

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

    /// A group of columns that is packed.
    fn panel(&self, weight_group: usize, columns: usize) -> &[[f32; COLUMNS]] {
        &self.data.as_chunks().0[(weight_group * self.columns() + columns) * self.inner..][..self.inner]
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
        let place = if self.weight.packed || self.quads() == 0 { 0 } else { ROW_STRIDE * COLUMNS };
        let blocks = product(&[self.quads(), self.segments(), A_BLOCK])?;
        Ok([blocks, place, TILE_ROWS.min(self.rows) * COLUMNS])
    }

    /// Multiplies the rows of a tile, whose blocks are filled, by its columns.
    fn multiply(&self, tile: usize, workspace: &mut [f32], y: &mut [f32]) -> Result<(), Error> {
        let (group, first, rows) = self.rows_of(tile / self.column_tiles());
        let from = tile % self.column_tiles() * TILE_GROUPS;
        let weight_group = group % self.weight_groups;
        let Weight { outer, inner, .. } = self.weight;
        let [blocks, place, _] = self.memory()?;
        let (blocks, rest) = workspace.split_at_mut(blocks);
        let (place, sums) = rest.split_at_mut(place);
        let sums = &mut sums.as_chunks_mut::<COLUMNS>().0[..rows];
        for columns in from..self.weight.columns().min(from + TILE_GROUPS) {
            let (fours, alone) = sums.split_at_mut(rows / MR * MR);
            if !fours.is_empty() {
                self.multiply_fours(weight_group, columns, blocks, place, fours);
            }
            if !alone.is_empty() {
                let x = &self.x[(first + fours.len()) * inner..(first + rows) * inner];
                self.multiply_alone(weight_group, columns, x, alone);
            }
            let column = columns * COLUMNS;
            self.finish(column, sums, &mut y[first * outer + column..]);
        }
        Ok(())
    }

    /// Fours of rows, whose blocks are filled, times a group of columns.
    fn multiply_fours(
        &self,
        weight_group: usize,
        columns: usize,
        blocks: &[f32],
        place: &mut [f32],
        sums: &mut [[f32; COLUMNS]],
    ) {
        for (i, blocks) in blocks.as_chunks().0.chunks_exact(self.quads()).enumerate().take(self.segments()) {
            let segment = self.segment(i);
            let b = if self.weight.packed {
                &self.weight.panel(weight_group, columns)[segment]
            } else {
                let place = &mut place.as_chunks_mut().0[..segment.len()];
                self.weight.pack(weight_group, columns, segment.start, place);
                place
            };
            gemm_block::<Native>(&blocks[..sums.len() / MR], b, sums, i > 0);
        }
    }

    /// Rows as they lie times a group of columns: what is packed from one end to the other, rows of W by fours.
    fn multiply_alone(&self, weight_group: usize, columns: usize, x: &[f32], sums: &mut [[f32; COLUMNS]]) {
        let Weight { data, packed, outer, inner } = self.weight;
        if packed {
            let panel = self.weight.panel(weight_group, columns);
            for (x, sums) in x.chunks_exact(inner).zip(sums) {
                row_by_columns::<Native>(x, panel, sums);
            }
            return;
        }
        let first = columns * COLUMNS;
        for from in (first..outer.min(first + COLUMNS)).step_by(4) {
            // The last row again for those that are missing.
            let quad =
                [0, 1, 2, 3].map(|i| &data[(weight_group * outer + (from + i).min(outer - 1)) * inner..][..inner]);
            // Where they are longer, four rows are gone from the first cache before they are read.
            let next = if inner > LONGEST_AHEAD {
                &[]
            } else {
                data.get((weight_group * outer + from + 4) * inner..).unwrap_or_default()
            };
            for (x, sums) in x.chunks_exact(inner).zip(&mut *sums) {
                row_along_rows::<Native>(x, quad, next, &mut sums.as_chunks_mut().0[(from - first) / 4]);
            }
        }
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
