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

/// Adds the sums of blocks, given in ascending order, along the tree: a binary counter of unfinished subtrees.
#[derive(Clone, Copy, Debug)]
pub struct TreeSum {
    levels: [f32; 32],
    blocks: u32,
}

impl TreeSum {
    /// No block yet.
    pub const fn new() -> Self {
        Self { levels: [0.0; 32], blocks: 0 }
    }

    /// Adds the next block.
    pub fn push(&mut self, mut sum: f32) {
        let mut level = 0;
        while self.blocks >> level & 1 == 1 {
            sum += self.levels[level];
            level += 1;
        }
        self.levels[level] = sum;
        self.blocks += 1;
    }

    /// The sum of all blocks; +0 for none.
    pub fn total(&self) -> f32 {
        let mut total = None;
        for (level, sum) in self.levels.iter().enumerate() {
            if self.blocks >> level & 1 == 1 {
                total = Some(total.map_or(*sum, |right: f32| sum + right));
            }
        }
        total.unwrap_or(0.0)
    }
}

impl Default for TreeSum {
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
