//! Folds states of all parts of a call along the merge tree, row by row: the second half of [`super::partial`].

use super::operand::Target;
use super::output::store_row;
use super::spec::Sizes;
use super::state::{Place, Stack};
use super::BLOCK_KV;
use crate::kernel::reduce::{exp_and_sum, row_max};
use crate::kernel::MR;
use crate::kernel::{exp::Exp2, Native};
use crate::layout::ViewMut;

/// What is merged, left to right. Rows are numbered `(b * num_heads + h) * q_len + i`.
#[derive(Clone, Copy)]
#[allow(missing_docs)] // The fields are named in each line of documentation.
pub enum Item<'a> {
    /// Finished states: `m[row]`, `l[row]`, `o[row][value_head_dim]`, at the subtree that begins with `block`.
    Node { block: usize, m: &'a [f32], l: &'a [f32], o: &'a [f32] },
    /// One block put together from its parts: `scores[row][64]`, -Infinity where nothing is seen, and
    /// `values[(b * num_kv_heads + kv_head)][64][value_head_dim]`.
    Edge { block: usize, scores: &'a [f32], values: &'a [f32] },
    /// An ordinary result: `lse[row]` (natural) and `out[row][value_head_dim]`.
    Result { block: usize, lse: &'a [f32], out: &'a [f32] },
}

/// Where the merged rows go.
pub struct MergeOutputs<'a> {
    /// `[batch, q_len, num_heads, value_head_dim]`.
    pub out: Target<'a>,
    /// `[batch, q_len, num_heads, 1]`.
    pub lse: Option<ViewMut<'a>>,
}

/// Elements of temporary memory for `count` items of this width.
pub fn scratch(count: usize, value_head_dim: usize) -> Option<usize> {
    let slots = slots(count);
    let width = value_head_dim.checked_next_multiple_of(4)?;
    slots.checked_mul(MR)?.checked_mul(width.checked_add(2)?)
}

fn slots(count: usize) -> usize {
    count.clamp(1, 31)
}

/// Merges one row of `count` items, which come left to right. `sinks` are one logit per query head or none; `real` is false for padding rows, which have no sink.
#[inline(never)]
pub fn merge_row<'a>(
    sizes: &Sizes,
    count: usize,
    items: impl Iterator<Item = Item<'a>>,
    sinks: &[f32],
    real: bool,
    [b, i, h]: [usize; 3],
    memory: &mut [f32],
    outputs: &mut MergeOutputs<'_>,
) {
    let width = sizes.value_head_dim;
    let padded = width.next_multiple_of(4);
    let slots = slots(count);
    let (m, rest) = memory.split_at_mut(slots * MR);
    let (l, o) = rest.split_at_mut(slots * MR);
    // One row in the first lane of a group of four.
    let mut stack = Stack::new(m, l, &mut o[..slots * MR * padded], MR, 1, padded);
    let row = (b * sizes.num_heads + h) * sizes.q_len + i;
    let unit = b * sizes.num_kv_heads + h / sizes.group().max(1);
    for item in items {
        let (Item::Node { block, .. } | Item::Edge { block, .. } | Item::Result { block, .. }) = item;
        let place = stack.enter(block, 0..1);
        match item {
            Item::Node { m, l, o, .. } => {
                add(&mut stack, place, m[row], l[row], |d| o[row * width + d], width);
            }
            Item::Result { lse, out, .. } => {
                let m = (f64::from(lse[row]) * core::f64::consts::LOG2_E) as f32;
                let l = match lse[row] {
                    x if x.is_nan() => f32::NAN,
                    f32::NEG_INFINITY => 0.0,
                    _ => 1.0,
                };
                add(&mut stack, place, m, l, |d| if l == 0.0 { 0.0 } else { out[row * width + d] }, width);
            }
            Item::Edge { scores, values, .. } => {
                let scores: &[f32; BLOCK_KV] =
                    scores[row * BLOCK_KV..][..BLOCK_KV].first_chunk().unwrap_or(&[0.0; BLOCK_KV]);
                let mut p = *scores;
                let (quads, _) = p.as_chunks_mut::<4>();
                let m = row_max::<Native>(quads);
                let base = if m == f32::NEG_INFINITY { 0.0 } else { m };
                let l = exp_and_sum(&Exp2::<Native>::new(), quads, base);
                let values = &values[unit * BLOCK_KV * width..][..BLOCK_KV * width];
                let sum = |d: usize| {
                    let seen = (0..BLOCK_KV).filter(|c| scores[*c] != f32::NEG_INFINITY);
                    seen.fold(0.0, |sum, c| sum + p[c] * values[c * width + d])
                };
                add(&mut stack, place, m, l, sum, width);
            }
        }
    }
    stack.finish(0..1);
    if let (true, Some(sink)) = (real, sinks.get(h)) {
        stack.add_sinks(0, [*sink, f32::NEG_INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY]);
    }
    store_row(&stack, 0, width, [b, i, h], &mut outputs.out, outputs.lse.as_mut());
}

/// Puts a state where the stack says; its accumulators are given by lane.
fn add(stack: &mut Stack<'_>, place: Place, m: f32, l: f32, o: impl Fn(usize) -> f32, width: usize) {
    const EMPTY: f32 = f32::NEG_INFINITY;
    let (m, l) = ([m, EMPTY, EMPTY, EMPTY], [l, 0.0, 0.0, 0.0]);
    match place {
        Place::New(slot) => {
            stack.set_empty(slot, 0);
            stack.set(slot, 0, m, l);
            for (d, to) in stack.o(slot, 0).iter_mut().enumerate().take(width) {
                *to = o(d);
            }
        }
        Place::Sibling(slot) => {
            let merge = stack.join(slot, 0, m, l);
            for (d, to) in stack.o(slot, 0).iter_mut().enumerate().take(width) {
                *to = *to * merge.x[0] + o(d) * merge.y[0];
            }
        }
    }
}
