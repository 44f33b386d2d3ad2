//! Which keys a query row sees.
//!
//! At this step every rule is an interval of keys, `causal` and `kv_lengths`:
//! ```text
//!            keys ->                    q_offset = 1, kv_length = 4
//!   row 0    # # . . .
//!   row 1    # # # . .
//!   row 2    # # # # .
//!   row 3    # # # # .
//! ```
//! A tile of rows asks [`Tile`] for the blocks it must visit and for the columns of a block that four rows need.

use super::{spec::Spec, BLOCK_KV};
use crate::kernel::gemm_tile::MR;

/// Most rows of a tile.
pub const MAX_ROWS: usize = 64;

/// Keys `from..to`; empty when `from >= to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// First key.
    pub from: u32,
    /// One past the last key.
    pub to: u32,
}

impl Interval {
    const EMPTY: Self = Self { from: 0, to: 0 };

    fn is_empty(self) -> bool {
        self.from >= self.to
    }

    /// The smallest interval that holds both.
    fn hull(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }

    /// The part inside a block, as columns 0..=64 of the block.
    pub fn in_block(self, block: usize) -> Self {
        let start = block * BLOCK_KV;
        let column = |j: u32| (j as usize).saturating_sub(start).min(BLOCK_KV) as u32;
        Self { from: column(self.from), to: column(self.to) }
    }
}

/// What a row sees.
pub fn visible(spec: &Spec<'_>, batch: usize, row: usize) -> Interval {
    let mut to = spec.kv_length(batch) as i64;
    if spec.options.causal {
        to = to.min(row as i64 + spec.q_offset(batch) + 1);
    }
    if to <= 0 {
        return Interval::EMPTY;
    }
    Interval { from: 0, to: to as u32 }
}

/// What the rows of a tile see.
pub struct Tile {
    rows: [Interval; MAX_ROWS],
    all: Interval,
}

/// What four rows need of a block.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// Columns some row sees; nothing outside need be computed.
    pub needed: Interval,
    /// Whether every row sees all of `needed`.
    pub full: bool,
}

impl Tile {
    /// Asks each of `n` rows.
    pub fn new(n: usize, visible: impl Fn(usize) -> Interval) -> Self {
        let mut rows = [Interval::EMPTY; MAX_ROWS];
        let mut all = Interval::EMPTY;
        for (r, interval) in rows.iter_mut().enumerate().take(n) {
            *interval = visible(r);
            all = all.hull(*interval);
        }
        Self { rows, all }
    }

    /// What one row sees.
    pub fn row(&self, r: usize) -> Interval {
        self.rows[r]
    }

    /// The blocks in which some row sees a key, ascending.
    pub fn blocks(&self) -> core::ops::Range<usize> {
        if self.all.is_empty() {
            return 0..0;
        }
        self.all.from as usize / BLOCK_KV..(self.all.to as usize).div_ceil(BLOCK_KV)
    }

    /// What rows `r..r + 4` need of a block; rows past the tile's end need nothing and hinder nothing.
    pub fn columns(&self, r: usize, n: usize, block: usize) -> Columns {
        let rows = &self.rows[r..(r + MR).min(n)];
        let needed = rows.iter().fold(Interval::EMPTY, |sum, row| sum.hull(row.in_block(block)));
        Columns { needed, full: rows.iter().all(|row| row.in_block(block) == needed) }
    }
}
