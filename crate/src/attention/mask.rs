//! Which keys a query row sees.
//!
//! `causal`, the window and the lengths are intervals of keys, decided without looking at any; a mask tensor is read as
//! 64 bits per row and block. All must agree:
//! ```text
//!            keys ->                    causal, q_offset = 1, kv_length = 4
//!   row 0    # # . . .
//!   row 1    # # # . .
//!   row 2    # # # # .
//!   row 3    # # # # .
//! ```
//! A tile of rows asks [`Tile`] for the blocks it may have to visit, and for what its rows see of a block.

use super::{spec::Spec, BLOCK_KV};
use crate::kernel::bits;
use crate::kernel::{MR, NR};
use core::ops::Range;

/// Most rows of a tile.
pub const MAX_ROWS: usize = 64;

/// Keys a row may see by position alone: `from..to` and `start..first`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    start: u32,
    from: u32,
    to: u32,
    first: u32,
}

impl Sight {
    /// What a row sees by position and lengths.
    pub fn new(spec: &Spec<'_>, batch: usize, row: usize) -> Self {
        if row >= spec.q_length(batch) {
            return Self::default();
        }
        let position = spec.position(batch, row);
        let keys = spec.keys(batch);
        let (start, mut end) = (keys.start as i64, keys.end as i64);
        if spec.options.causal {
            end = end.min(position + 1);
        }
        let end = end.max(start);
        let (mut from, mut to, mut first) = (start, end, start);
        if let Some(window) = spec.options.window {
            from = window.left.map_or(start, |left| position - i64::from(left)).clamp(start, end);
            to = window.right.map_or(end, |right| position + i64::from(right) + 1).clamp(from, end);
            first = i64::from(window.first).clamp(start, end);
        }
        if first >= from {
            (from, to, first) = (start, to.max(first), start);
        }
        Self { start: start as u32, from: from as u32, to: to as u32, first: first as u32 }
    }

    fn in_block(&self, block: usize) -> u64 {
        let start = block * BLOCK_KV;
        let column = |j: u32| (j as usize).saturating_sub(start).min(BLOCK_KV) as u32;
        bits::range(column(self.from), column(self.to)) | bits::range(column(self.start), column(self.first))
    }
}

/// What the rows of a tile may see by position.
pub struct Tile<'a> {
    spec: &'a Spec<'a>,
    batch: usize,
    n: usize,
    rows: [Sight; MAX_ROWS],
    /// Each row's query row and head.
    places: [(u32, u32); MAX_ROWS],
    /// Each row of the mask, found once for all blocks.
    masks: Option<[&'a [u8]; MAX_ROWS]>,
    /// Blocks of the first keys, then all blocks any row may see.
    blocks: [Range<usize>; 2],
    /// Keys that every row sees by position.
    common: Range<usize>,
}

/// What the rows of a tile see of one block: bit c of a row is key `64 * block + c`.
pub struct BlockSight {
    rows: [u64; MAX_ROWS],
    n: usize,
}

/// What four rows see of one block.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// A word per row; rows past the tile's end have all bits.
    pub rows: [u64; MR],
    /// The first column some row sees.
    pub from: usize,
    /// One past the last.
    pub to: usize,
    /// Whether every row sees all columns of [`Columns::panels`].
    pub whole: bool,
}

impl Columns {
    /// All columns, seen by every row.
    pub const ALL: Self = Self { rows: [u64::MAX; MR], from: 0, to: BLOCK_KV, whole: true };

    /// Whether every row sees all columns of the block.
    pub fn all(&self) -> bool {
        self.whole && self.from == 0 && self.to == BLOCK_KV
    }

    /// No column is seen.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }

    /// The panels of 8 columns that hold those seen.
    pub fn panels(&self) -> Range<usize> {
        self.from / NR..self.to.div_ceil(NR)
    }
}

impl<'a> Tile<'a> {
    /// The tile of `n` rows of one batch row, whose query rows and heads are given by `place`.
    pub fn new(spec: &'a Spec<'a>, batch: usize, n: usize, place: impl Fn(usize) -> (usize, usize)) -> Self {
        let mut rows = [Sight::default(); MAX_ROWS];
        let mut places = [(0, 0); MAX_ROWS];
        let start = spec.sizes.kv_start;
        let (mut from, mut to, mut first) = (usize::MAX, 0, start);
        let mut common = 0..usize::MAX;
        for (r, sight) in rows.iter_mut().enumerate().take(n) {
            let (i, h) = place(r);
            places[r] = (i as u32, h as u32);
            *sight = Sight::new(spec, batch, i);
            if sight.from < sight.to {
                from = from.min(sight.from as usize);
                to = to.max(sight.to as usize);
            }
            first = first.max(sight.first as usize);
            common = common.start.max(sight.from as usize)..common.end.min(sight.to as usize);
        }
        let head = if first > start { start / BLOCK_KV..first.div_ceil(BLOCK_KV) } else { 0..0 };
        let main = (from / BLOCK_KV).max(head.end)..to.div_ceil(BLOCK_KV);
        let masks = spec.options.mask.as_ref().map(|mask| {
            let mut rows = [&[][..]; MAX_ROWS];
            for (row, (i, h)) in rows.iter_mut().zip(&places[..n]) {
                *row = mask.row(batch, *i as usize, *h as usize);
            }
            rows
        });
        Self { spec, batch, n, rows, places, masks, blocks: [head, main], common }
    }

    /// The blocks in which some row may see a key, ascending.
    pub fn blocks(&self) -> impl Iterator<Item = usize> {
        let [head, main] = self.blocks.clone();
        head.chain(main)
    }

    /// Whether every row sees all keys of a block, as it does of most: nothing else is then to be asked.
    pub fn sees_all(&self, block: usize) -> bool {
        let options = &self.spec.options;
        let unmasked = options.mask.is_none() && options.bit_mask.is_none();
        unmasked && self.common.start <= block * BLOCK_KV && (block + 1) * BLOCK_KV <= self.common.end
    }

    /// What the rows see of a block; `None` when none sees anything.
    pub fn block(&self, block: usize) -> Option<BlockSight> {
        let mut rows = [u64::MAX; MAX_ROWS];
        let keys = block * BLOCK_KV..(block + 1) * BLOCK_KV;
        let everywhere = self.common.start <= keys.start && keys.end <= self.common.end;
        if !everywhere {
            for (row, sight) in rows.iter_mut().zip(&self.rows).take(self.n) {
                *row = sight.in_block(block);
            }
        }
        if let Some(masks) = &self.masks {
            let width = self.spec.columns();
            // Nearly every row is a line of memory that has to be fetched, and a turn of the loop below so long that few would be under
            // way at once: so each is touched beforehand.
            let touch = |touched: u8, row: &&[u8]| touched ^ row.get(keys.start).copied().unwrap_or(0);
            core::hint::black_box(masks[..self.n].iter().fold(0, touch));
            let mut last = (core::ptr::null(), 0);
            for (row, bytes) in rows.iter_mut().zip(&masks[..self.n]) {
                // Broadcast rows are the same memory: read once.
                if !core::ptr::eq(bytes.as_ptr(), last.0) {
                    let word = match bytes.get(keys.clone()).and_then(|bytes| bytes.first_chunk()) {
                        Some(block) => bits::of_block(block),
                        None if bytes.len() == width => bits::of_bytes(&bytes[keys.start..width]),
                        None => u64::from(bytes[0] != 0).wrapping_neg(),
                    };
                    last = (bytes.as_ptr(), word);
                }
                *row &= last.1;
            }
        }
        if let Some(mask) = self.spec.options.bit_mask {
            let offset = self.spec.position(self.batch, 0);
            mask.restrict(self.batch, &self.places[..self.n], offset, block, &mut rows[..self.n]);
        }
        let any = rows[..self.n].iter().fold(0, |any, row| any | row);
        (any != 0).then_some(BlockSight { rows, n: self.n })
    }
}

impl BlockSight {
    /// What rows `4 * group..` see.
    #[inline(never)]
    pub fn columns(&self, group: usize) -> Columns {
        let at = group * MR;
        let rows = core::array::from_fn(|r| self.rows[at + r]);
        let real = &rows[..MR.min(self.n - at)];
        let any: u64 = real.iter().fold(0, |any, row| any | row);
        let from = any.trailing_zeros().min(BLOCK_KV as u32) as usize;
        let to = BLOCK_KV - any.leading_zeros() as usize;
        let mut columns = Columns { rows, from, to, whole: false };
        if from < to {
            let panels = columns.panels();
            let seen = bits::range((panels.start * NR) as u32, (panels.end * NR) as u32);
            columns.whole = real.iter().all(|row| row & seen == seen);
        }
        columns
    }
}
