//! Sums of many numbers, with one order whatever is tiled.
//!
//! Order: blocks of 64 from index 0; in a block four sums, `s_r` = +0 and then the elements i with i mod 4 = r, ascending;
//! the block is `(s_0 + s_2) + (s_1 + s_3)`; blocks are added along the aligned binary tree over their indices, as attention
//! merges its states. Error: at most `(19 + ceil(log2(blocks)))` roundings on the way of any element.

use crate::kernel::Lanes;

/// Elements of a block.
pub const BLOCK: usize = 64;

/// The sum of a block of at most 64 elements.
#[inline(always)]
pub fn block_sum<L: Lanes>(block: &[f32]) -> f32 {
    let (fours, rest) = block.as_chunks::<4>();
    let mut sums = L::splat(0.0);
    for four in fours {
        sums = sums.add(L::load(four));
    }
    let mut sums = sums.to_array();
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += x;
    }
    (sums[0] + sums[2]) + (sums[1] + sums[3])
}

/// What a tree adds: sums of blocks of one row, or of four rows in lanes.
pub trait Term: Copy {
    /// +0.
    fn zero() -> Self;
    /// `self + other`.
    fn plus(self, other: Self) -> Self;
}

impl Term for f32 {
    #[inline(always)]
    fn zero() -> Self {
        0.0
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

impl<L: Lanes> Term for L {
    #[inline(always)]
    fn zero() -> Self {
        L::splat(0.0)
    }
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.add(other)
    }
}

/// Adds the sums of blocks, given in ascending order, along the tree: a binary counter of unfinished subtrees.
#[derive(Clone, Copy, Debug)]
pub struct TreeSum<T = f32> {
    levels: [T; 32],
    blocks: u32,
}

impl<T: Term> TreeSum<T> {
    /// No block yet.
    pub fn new() -> Self {
        Self { levels: [T::zero(); 32], blocks: 0 }
    }

    /// Adds the next block.
    #[inline(never)]
    pub fn push(&mut self, mut sum: T) {
        let complete = self.blocks.trailing_ones() as usize;
        for level in 0..complete {
            // The mask says to the compiler what the count of blocks says to us: there are no more levels.
            sum = sum.plus(self.levels[level & 31]);
        }
        self.levels[complete & 31] = sum;
        self.blocks += 1;
    }

    /// The sum of all blocks; +0 for none.
    #[inline(never)]
    pub fn total(&self) -> T {
        let (mut left, mut total) = (self.blocks, T::zero());
        while left != 0 {
            let sum = self.levels[left.trailing_zeros() as usize & 31];
            total = if left == self.blocks { sum } else { sum.plus(total) };
            left &= left - 1;
        }
        total
    }
}

impl<T: Term> Default for TreeSum<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The sum of a row of numbers.
#[inline(never)]
pub fn sum<L: Lanes>(row: &[f32]) -> f32 {
    let mut tree = TreeSum::new();
    for block in row.chunks(BLOCK) {
        tree.push(block_sum::<L>(block));
    }
    tree.total()
}
