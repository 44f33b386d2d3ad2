//! Which keys a part of a call holds, and what it can finish of them.
//!
//! A part holds keys `kv_start..kv_end` of `total`. What it can finish are the whole blocks inside it, and of the merge
//! tree over blocks the largest aligned subtrees inside those: their states are its *nodes*, left to right. A block it
//! shares with a neighbour stays open: of such an *edge* it ships the scores and the value rows, at most 63 keys a side.
//! Merging lays nodes and edge blocks of all parts side by side and folds them along the same tree.

use super::BLOCK_KV;
use core::ops::Range;

/// Which keys a part holds, out of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    start: usize,
    end: usize,
    total: usize,
}

impl Shard {
    /// Keys `start..end` of `total`; `None` when they are not.
    pub fn new(start: usize, end: usize, total: usize) -> Option<Self> {
        (start <= end && end <= total).then_some(Self { start, end, total })
    }

    /// All keys, those of other parts included.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Blocks no other part has a key of.
    pub fn whole_blocks(&self) -> Range<usize> {
        let from = self.start.div_ceil(BLOCK_KV);
        // The last block ends where the keys end.
        let to = if self.end == self.total { self.end.div_ceil(BLOCK_KV) } else { self.end / BLOCK_KV };
        from..to.max(from)
    }

    /// Keys of the open blocks on the left and on the right.
    pub fn edges(&self) -> [Range<usize>; 2] {
        let whole = self.whole_blocks();
        if whole.is_empty() && self.start / BLOCK_KV == self.end / BLOCK_KV {
            // All inside one block, which others share.
            return [self.start..self.end, self.end..self.end];
        }
        let left = self.start..(whole.start * BLOCK_KV).min(self.end);
        let right = (whole.end * BLOCK_KV).clamp(left.end, self.end)..self.end;
        [left, right]
    }

    /// Whether the aligned subtree of `2^height` blocks around a block lies inside the whole blocks (or past the end).
    pub fn holds(&self, block: usize, height: u32) -> bool {
        let whole = self.whole_blocks();
        let first = block >> height << height;
        first >= whole.start && (first + (1 << height) <= whole.end || self.end == self.total)
    }

    /// The first blocks of the largest aligned subtrees inside the whole blocks, left to right, each given to `f`.
    pub fn nodes(&self, mut f: impl FnMut(usize)) -> usize {
        let whole = self.whole_blocks();
        let (mut at, mut count) = (whole.start, 0);
        while at < whole.end {
            f(at);
            count += 1;
            let mut height = 0;
            while at % (2 << height) == 0 && self.holds(at, height + 1) && at + (1 << height) < whole.end {
                height += 1;
            }
            at += 1 << height;
        }
        count
    }
}
