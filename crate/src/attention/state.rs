//! Partial results of rows, `(m, l, o[value_head_dim])`, and their merging in the order of the aligned binary tree.
//!
//! A block's state has `m` = its largest score, `l` = the sum of `exp2(t - m)`, `o` = the sum of those times the value
//! rows. `merge(a, b)`: `m = max(a.m, b.m)`, `x = exp2(a.m - m)`, `y = exp2(b.m - m)`, `l = a.l x + b.l y`,
//! `o = a.o x + b.o y`. A state of no keys is `(-Infinity, 0, +0)`, for which that arithmetic is the identity; only two
//! such states need a guard, since their difference is NaN.
//!
//! The states of a tile's rows share one [`Stack`], a binary counter over block indices: rows that see nothing of a
//! block carry the empty state through it.

use crate::kernel::exp::exp2;
use crate::kernel::gemm_tile::Merge;
use crate::kernel::MR;
use crate::kernel::{Lanes, Native};

/// Most states a stack can hold: one per bit of a block index, twice for a part that ends inside the tree.
const MAX_SLOTS: usize = 64;

/// The height of the smallest aligned subtree that holds both blocks.
fn height(left: u32, right: u32) -> u32 {
    u32::BITS - (left ^ right).leading_zeros()
}

/// `m` and the two factors of a merge, for four rows.
#[inline(always)]
fn factors(a: &[f32; 4], b: &[f32; 4]) -> (Native, Merge) {
    let (a, b) = (Native::load(a), Native::load(b));
    let m = a.larger(b);
    let base = m.zero_where(m.equal(Native::splat(f32::NEG_INFINITY)));
    let merge = Merge { x: exp2(a.sub(base)).to_array(), y: exp2(b.sub(base)).to_array() };
    (m, merge)
}

/// `a x + b y`, each product rounded.
#[inline(always)]
fn mix(a: &[f32; 4], x: Native, b: &[f32; 4], y: Native) -> Native {
    Native::load(a).mul(x).add(Native::load(b).mul(y))
}

/// Where the state of the next block goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into this slot, which is new.
    New(usize),
    /// Merged into this slot, which holds the block's left sibling.
    Sibling(usize),
}

/// The states of a tile's rows.
pub struct Stack<'a> {
    m: &'a mut [f32],
    l: &'a mut [f32],
    o: &'a mut [f32],
    rows: usize,
    /// Rows that are no padding.
    real: usize,
    width: usize,
    /// A block index inside each slot's subtree.
    blocks: [u32; MAX_SLOTS],
    depth: usize,
}

impl<'a> Stack<'a> {
    /// An empty stack of states for `rows` rows with `width` accumulators each, both multiples of their tile; the first `real`
    /// rows are wanted.
    pub fn new(m: &'a mut [f32], l: &'a mut [f32], o: &'a mut [f32], rows: usize, real: usize, width: usize) -> Self {
        Self { m, l, o, rows, real, width, blocks: [0; MAX_SLOTS], depth: 0 }
    }

    /// Makes room for a block to the right of all before: completes the subtrees that end before it, for the row
    /// groups given, and says where its state goes.
    pub fn enter(&mut self, block: usize, groups: core::ops::Range<usize>) -> Place {
        self.enter_within(block, groups, &|_, _| true)
    }

    /// As [`Stack::enter`], where only those subtrees may be completed that `allowed` holds to be all here: it is asked
    /// with a block and the height of the subtree around it.
    #[inline(never)]
    pub fn enter_within(
        &mut self,
        block: usize,
        groups: core::ops::Range<usize>,
        allowed: &dyn Fn(usize, u32) -> bool,
    ) -> Place {
        let block = block as u32;
        while let Some((left, right)) = self.top_two() {
            // Siblings below the node at which the new block joins them: nothing can come between them any more.
            let below = (left ^ right).leading_zeros() > (right ^ block).leading_zeros();
            if !below || !allowed(right as usize, height(left, right)) {
                break;
            }
            self.merge_top(groups.clone());
        }
        let sibling = self.depth > 0 && self.blocks[self.depth - 1] ^ block == 1;
        if sibling && allowed(block as usize, 1) {
            self.blocks[self.depth - 1] = block;
            return Place::Sibling(self.depth - 1);
        }
        self.blocks[self.depth] = block;
        self.depth += 1;
        Place::New(self.depth - 1)
    }

    /// States held.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Completes the subtrees at the right end that `allowed` holds to be all here.
    pub fn settle(&mut self, groups: core::ops::Range<usize>, allowed: &dyn Fn(usize, u32) -> bool) {
        while let Some((left, right)) = self.top_two() {
            if !allowed(right as usize, height(left, right)) {
                break;
            }
            self.merge_top(groups.clone());
        }
    }

    /// Forgets all states.
    pub fn clear(&mut self) {
        self.depth = 0;
    }

    fn top_two(&self) -> Option<(u32, u32)> {
        let top = self.depth.checked_sub(2)?;
        Some((self.blocks[top], self.blocks[top + 1]))
    }

    /// Merges all that is there, right to left, and leaves the rows' states in slot 0.
    pub fn finish(&mut self, groups: core::ops::Range<usize>) {
        if self.depth == 0 {
            for group in groups.clone() {
                self.set_empty(0, group);
            }
        }
        while self.depth >= 2 {
            self.merge_top(groups.clone());
        }
        self.depth = 0;
    }

    #[inline(never)]
    fn merge_top(&mut self, groups: core::ops::Range<usize>) {
        let (left, right) = (self.depth - 2, self.depth - 1);
        for group in groups {
            let [m, l] = self.scalars(right, group);
            let merge = self.join(left, group, m, l);
            let size = self.rows * self.width;
            let (lower, upper) = self.o.split_at_mut(right * size);
            for r in 0..MR.min(self.real - group * MR) {
                let row = (group * MR + r) * self.width;
                let (x, y) = (Native::splat(merge.x[r]), Native::splat(merge.y[r]));
                let (a, _) = lower[left * size + row..][..self.width].as_chunks_mut::<4>();
                let (b, _) = upper[row..][..self.width].as_chunks::<4>();
                for (a, b) in a.iter_mut().zip(b) {
                    mix(a, x, b, y).store(a);
                }
            }
        }
        self.blocks[left] = self.blocks[right];
        self.depth -= 1;
    }

    fn scalars(&self, slot: usize, group: usize) -> [[f32; 4]; 2] {
        let at = slot * self.rows + group * MR;
        [&self.m, &self.l].map(|part| core::array::from_fn(|r| part[at + r]))
    }

    /// Joins `(m, l)` of four rows on the right of a slot and gives the factors under which their o must follow.
    #[inline(never)]
    pub fn join(&mut self, slot: usize, group: usize, m: [f32; 4], l: [f32; 4]) -> Merge {
        let [left_m, left_l] = self.scalars(slot, group);
        let (joint_m, merge) = factors(&left_m, &m);
        let joint_l = mix(&left_l, Native::load(&merge.x), &l, Native::load(&merge.y));
        self.set(slot, group, joint_m.to_array(), joint_l.to_array());
        merge
    }

    /// Sets `(m, l)` of four rows.
    pub fn set(&mut self, slot: usize, group: usize, m: [f32; 4], l: [f32; 4]) {
        let at = slot * self.rows + group * MR;
        self.m[at..at + MR].copy_from_slice(&m);
        self.l[at..at + MR].copy_from_slice(&l);
    }

    /// Adds `l y` to the sums of four rows that were joined without theirs.
    pub fn add_sums(&mut self, slot: usize, group: usize, l: [f32; 4], y: [f32; 4]) {
        let at = slot * self.rows + group * MR;
        for (to, (l, y)) in self.l[at..at + MR].iter_mut().zip(l.into_iter().zip(y)) {
            *to += l * y;
        }
    }

    /// Makes four rows' state the empty one.
    #[inline(never)]
    pub fn set_empty(&mut self, slot: usize, group: usize) {
        self.set(slot, group, [f32::NEG_INFINITY; 4], [0.0; 4]);
        self.o(slot, group).fill(0.0);
    }

    /// The accumulators of four rows, `width` apart.
    pub fn o(&mut self, slot: usize, group: usize) -> &mut [f32] {
        self.o_of(slot, group..group + 1)
    }

    /// The same of some groups of four.
    pub fn o_of(&mut self, slot: usize, groups: core::ops::Range<usize>) -> &mut [f32] {
        let at = (slot * self.rows + groups.start * MR) * self.width;
        &mut self.o[at..at + groups.len() * MR * self.width]
    }

    /// Merges a sink into each of four rows, from the right: the state `(sink * log2e, 1, 0)`; -Infinity is none, and one
    /// that is not a number (or too large for one) makes its row NaN.
    pub fn add_sinks(&mut self, group: usize, sinks: [f32; MR]) {
        let logits = sinks.map(|sink| (f64::from(sink) * core::f64::consts::LOG2_E) as f32);
        let m = logits.map(|m| if m < f32::INFINITY { m } else { 0.0 });
        let l = logits.map(|m| match m {
            f32::NEG_INFINITY => 0.0,
            m if m < f32::INFINITY => 1.0,
            _ => f32::NAN,
        });
        let merge = self.join(0, group, m, l);
        let width = self.width.max(1);
        for (o, x) in self.o(0, group).chunks_exact_mut(width).zip(merge.x) {
            for o in o {
                // The sink's own product is +0; adding it turns a -0 into +0.
                *o = *o * x + 0.0;
            }
        }
    }

    /// `(m, l, o)` of one row in a slot.
    pub fn state(&self, slot: usize, row: usize) -> (f32, f32, &[f32]) {
        let at = slot * self.rows + row;
        (self.m[at], self.l[at], &self.o[at * self.width..(at + 1) * self.width])
    }
}
