//! Attention pooling: `f(q) = sum_i alpha(q, k_i) v_i`, with every score and every way to make weights of scores.
//!
//! Shapes: query `[batch, q_len, heads, features]`, key `[batch, kv_len, kv_heads, features]`, value `[batch, kv_len, kv_heads, value_dim]`
//! (or heads before lengths), out like the query with `value_dim`; weights and scores `[batch, heads, q_len, kv_len]`. Query
//! head h reads key head `h / (heads / kv_heads)`. Query and key are features: what a score's matrices make of the user's vectors.
//!
//! Order, per row: scores of all keys (`score`), keys hidden by lengths and mask (`visibility`), weights (`normalize`), product with
//! the values (`product`). A row has the same bits alone and among many. What lies under a hidden key is never seen.
//!
//! Loops: keys are packed once into panels of eight, for all query rows; a tile is four query rows, whose scores over all keys lie in
//! workspace, so that memory is O(q_len + kv_len) and a normaliser can look at a whole row.

mod additive;
mod distance;
mod lanes;
mod network;
pub mod normalize;
mod product;
mod score;
pub mod unit_rows;
mod visibility;

use crate::error::{Error, Field, Reason};
use crate::kernel::pack::pack_panel;
use crate::kernel::{Native, CANONICAL_NAN, MR, NR};
use crate::layout::{Shape, View, ViewMut};
use crate::ops::{amount, outputs, product as product_of, Arguments, Operator, Output, Plan, Scratch};
use core::ops::Range;
use normalize::Normalize;
use product::Values;
use score::Score;
use visibility::Visibility;

/// Integers: batch, q_len, kv_len, heads, kv_heads, features, value_dim, layout (0 bshd, 1 bhsd), shared (1: key is `[kv_len,
/// features]` for all), kind of lengths (0 none, 1 per batch row, 2 per query), four sizes of the mask, score, activation, number and two
/// widths of further hidden layers, then those of [`Normalize`]. Numbers: that of [`Normalize`]; scale or width. Inputs: query, key,
/// value, mask, lengths, v, bias of the query's features, weight and bias of two further layers, constant. Outputs: out, weights, scores.
pub struct Pooling<'a> {
    batch: usize,
    q_len: usize,
    kv_len: usize,
    heads: usize,
    kv_heads: usize,
    features: usize,
    value_dim: usize,
    by_head: bool,
    shared: bool,
    query: View<'a>,
    key: View<'a>,
    value: View<'a>,
    bias: Option<&'a [f32]>,
    visibility: Visibility<'a>,
    score: Score<'a>,
    normalize: Normalize,
}

/// Where the lists of integers and inputs have what the parts read.
mod at {
    pub const LENGTHS: usize = 9;
    pub const SCORE: usize = 14;
    pub const NORMALIZE: usize = 19;
}

impl Pooling<'_> {
    fn key_groups(&self) -> usize {
        if self.shared {
            1
        } else {
            self.batch * self.kv_heads
        }
    }

    fn panels(&self) -> usize {
        self.kv_len.div_ceil(NR)
    }

    /// Scores of a row in workspace: all panels.
    fn row(&self) -> usize {
        self.panels() * NR
    }

    fn shape(&self, width: usize) -> Shape {
        shape(self.by_head, [self.batch, self.q_len, self.heads], width)
    }

    /// The keys of a batch row and key head.
    fn keys(&self, batch: usize, head: usize) -> Keys<'_> {
        let (batch, head) = if self.shared { (0, 0) } else { (batch, head) };
        Keys { view: self.key, batch, head }
    }

    #[inline(never)]
    fn pack(&self, shared: &mut [f32], workspace: &mut [f32], tiles: Range<usize>) {
        let panel = self.score.panel(self.features);
        for tile in tiles {
            let (group, p) = (tile / self.panels(), tile % self.panels());
            if group == self.key_groups() {
                self.score.pack_weights(&mut shared[self.key_groups() * self.panels() * panel..]);
                return;
            }
            let to = &mut shared[tile * panel..][..panel];
            let keys = &mut workspace[..self.features * NR];
            self.keys(group / self.kv_heads, group % self.kv_heads).unpack(p, keys);
            self.score.pack(keys, to);
        }
    }

    /// One tile: four query rows of one batch row and head.
    #[inline(never)]
    fn pool(
        &self,
        shared: &[f32],
        workspace: &mut [f32],
        out: &mut ViewMut<'_>,
        weights: &mut Option<&mut [f32]>,
        scores: &mut Option<&mut [f32]>,
        tile: usize,
    ) {
        let quads = self.q_len.div_ceil(MR);
        let (group, first) = (tile / quads, tile % quads * MR);
        let (batch, head) = (group / self.heads, group % self.heads);
        let kv_head = head / (self.heads / self.kv_heads);
        let rows = MR.min(self.q_len - first);
        let row = self.row();
        let (s, workspace) = workspace.split_at_mut(MR * row);
        let (query, workspace) = workspace.split_at_mut(MR * self.features);
        for (r, to) in query.chunks_exact_mut(self.features).take(rows).enumerate() {
            to.copy_from_slice(self.query.row(batch, first + r, head));
            if let Some(bias) = self.bias {
                to.iter_mut().zip(bias).for_each(|(a, bias)| *a += bias);
            }
        }
        let length = (first..first + rows).map(|i| self.visibility.length(batch, i)).max().unwrap_or(0);
        let (panel, panels) = (self.score.panel(self.features), length.div_ceil(NR));
        let keys = if self.shared { 0 } else { batch * self.kv_heads + kv_head } * self.panels() * panel;
        let (packed, blocks) = shared.split_at(self.key_groups() * self.panels() * panel);
        let packed = &packed[keys..][..panels * panel];
        let query = &query[..rows * self.features];
        if length > 0 {
            let keys = self.keys(batch, kv_head);
            self.score.score(self.features, query, packed, blocks, workspace, s, row, &keys);
        }
        for (r, s) in s.chunks_exact_mut(row.max(1)).enumerate() {
            if r >= rows {
                s.fill(0.0);
                continue;
            }
            let number = group * self.q_len + first + r;
            let stored = number * self.kv_len..(number + 1) * self.kv_len;
            self.visibility.hide(batch, head, first + r, s);
            if let Some(scores) = scores {
                store(s, &mut scores[stored.clone()]);
            }
            self.normalize.apply(number as u64, s, workspace);
            if let Some(weights) = weights {
                store(s, &mut weights[stored]);
            }
        }
        let values = Values { view: self.value, batch, head: kv_head };
        values.multiply(s, row, length, rows, workspace, |r, result| {
            out.row(batch, first + r, head).copy_from_slice(result);
        });
    }
}

/// The keys of one batch row and head.
pub(crate) struct Keys<'a> {
    view: View<'a>,
    batch: usize,
    head: usize,
}

impl Keys<'_> {
    /// Lays the keys of a panel as they are, `[features][8]`.
    #[inline(never)]
    fn unpack(&self, panel: usize, to: &mut [f32]) {
        // The last one again for those that are missing.
        let last = self.view.shape().sizes[1] - 1;
        let rows = core::array::from_fn(|r| self.view.row(self.batch, last.min(panel * NR + r), self.head));
        pack_panel::<Native>(&rows, to);
    }
}

/// Copies numbers, every NaN as the one that is stored.
#[inline(never)]
fn store(from: &[f32], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = if from.is_nan() { CANONICAL_NAN } else { *from };
    }
}

fn shape(by_head: bool, [batch, seq, heads]: [usize; 3], width: usize) -> Shape {
    if by_head {
        Shape::bhsd(batch, seq, heads, width)
    } else {
        Shape::bshd(batch, seq, heads, width)
    }
}

impl<'a> Operator<'a> for Pooling<'a> {
    #[inline(never)]
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let integer = |i| arguments.integer(i);
        let [batch, q_len, kv_len, heads, kv_heads] = [integer(0)?, integer(1)?, integer(2)?, integer(3)?, integer(4)?];
        let (features, value_dim, by_head, shared) = (integer(5)?, integer(6)?, integer(7)? == 1, arguments.flag(8)?);
        if features == 0 || value_dim == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        product_of(&[batch, heads, q_len])?;
        let key_sizes = if shared { [1, kv_len, 1] } else { [batch, kv_len, kv_heads] };
        let view = |i, sizes: [usize; 3], width, field| {
            let data = arguments.f32(i, &[sizes[0], sizes[1], sizes[2], width])?;
            View::new(data, shape(by_head, sizes, width), field)
        };
        let score = Score::read(arguments, features, at::SCORE)?;
        Ok(Self {
            batch,
            q_len,
            kv_len,
            heads,
            kv_heads,
            features,
            value_dim,
            by_head,
            shared,
            query: view(0, [batch, q_len, heads], features, Field::Query)?,
            key: view(1, key_sizes, features, Field::Key)?,
            value: view(2, [batch, kv_len, kv_heads], value_dim, Field::Value)?,
            bias: arguments.optional_f32(6, &[features])?,
            visibility: Visibility::read(arguments, [batch, heads, q_len, kv_len], at::LENGTHS, 4, 3)?,
            score,
            normalize: Normalize::read(arguments, at::NORMALIZE, 0, score.is_logarithm())?,
        })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let packed = product_of(&[self.key_groups(), self.panels(), self.score.panel(self.features)])?;
        let row = self.row();
        // What the parts of a tile work in lies one after the other in time, so they share.
        let part = self.score.workspace(self.features)?.max(self.normalize.workspace(row)?);
        let part = part.max(product_of(&[self.value_dim.next_multiple_of(NR), MR])? + product::workspace(0));
        let part = part.max(product_of(&[self.features, NR])?);
        let weights = self.score.packed_weights()?;
        let total = |parts: &[usize]| {
            parts.iter().try_fold(0usize, |sum, n| sum.checked_add(*n)).ok_or(Error::new(Reason::Size, Field::Scratch))
        };
        Ok(Plan {
            shared: total(&[packed, weights])?,
            workspace: total(&[product_of(&[MR, row])?, product_of(&[MR, self.features])?, part])?,
            tiles: [
                product_of(&[self.key_groups(), self.panels()])? + usize::from(weights > 0),
                product_of(&[self.batch, self.heads, self.q_len.div_ceil(MR)])?,
            ],
        })
    }

    fn work(&self) -> usize {
        let per_feature = match self.score {
            Score::Dot(_) => 1,
            Score::Distance(_) => 2,
            // A division, or a layer, for every feature.
            Score::Additive(_) | Score::Network(_) => 32,
        };
        let pair = amount(&[self.features, per_feature]).saturating_add(self.value.shape().width + 32);
        amount(&[self.batch, self.heads, self.q_len, self.kv_len, pair])
    }

    fn run(
        &self,
        out: &mut [Output<'_>],
        scratch: Scratch<'_>,
        phase: usize,
        tiles: Range<usize>,
    ) -> Result<(), Error> {
        if phase == 0 {
            self.pack(scratch.shared, scratch.workspace, tiles);
            return Ok(());
        }
        let [out, weights, scores] = outputs(out)?;
        let rows = [self.batch, self.heads, self.q_len, self.kv_len];
        let (mut weights, mut scores) = (weights.optional_f32(&rows)?, scores.optional_f32(&rows)?);
        let data = out.f32(&[self.batch, self.q_len, self.heads, self.value_dim])?;
        let mut out = ViewMut::new(data, self.shape(self.value_dim), Field::Out)?;
        for tile in tiles {
            self.pool(scratch.shared, scratch.workspace, &mut out, &mut weights, &mut scores, tile);
        }
        Ok(())
    }
}
