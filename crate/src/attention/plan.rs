//! Sizes of tiles, passes and scratch memory, from the sizes alone. Nothing here can change a bit of the result.

use super::cache::CacheDType;
use super::cache_rows::ROWS_ONE_BY_ONE;
use super::spec::{Source, Spec};
use super::{mask::MAX_ROWS, operand::Operand, BLOCK_KV};
use crate::error::{Error, Field, Reason};
use crate::kernel::{MR, NR, ROW_STRIDE};

/// Packed keys and values held at once (in elements) where one (batch row, kv head) needs less: 4 MiB. Threads wait for each other
/// between passes, so they should be few; tiles go through one unit after the other, which a core's own cache holds.
const PACK_BUDGET: u64 = 1 << 20;
/// Elements of one unit's values up to which they are packed beside its keys, where several tiles of rows read them: half a MiB. A
/// longer context takes no more memory than its keys.
const PACKED_VALUES: u64 = 1 << 17;
/// Elements of a tile's widest operand above which it takes fewer rows.
const TILE_BUDGET: usize = 1 << 15;

/// Elements of the widest operand of the rows that meet a block's panels together.
const GROUPS_BUDGET: usize = 1 << 13;
/// Most groups of four rows that meet a block together.
pub const MAX_GROUPS: usize = MAX_ROWS / MR;

/// Elements between value rows from which on they are copied. At 512 bytes the 64 rows of a block share eight sets of a
/// first-level cache of 64, all of whose ways they fill: the accumulators then push them out between two groups of rows.
const FAR_APART: usize = 128;
/// Rows of a tile for which a copy of a block's values pays.
const COPYING_ROWS: usize = 32;

/// How a call is cut up.
///
/// Scratch is `[packed keys of a pass][workspace of one tile]`. A unit is a (batch row, kv head); its query rows are
/// numbered with the heads of a group side by side, `row = i * group + g`, so that a tile reads K and V once for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Units whose keys are packed together.
    pub units_per_pass: usize,
    /// Rounds of packing and attending.
    pub passes: usize,
    /// The first block that holds keys.
    pub first_block: usize,
    /// Blocks of keys per unit.
    pub blocks: usize,
    /// Query rows of a tile, a multiple of 4.
    pub rows_per_tile: usize,
    /// Groups of four rows whose scores are held at once.
    pub groups_at_once: usize,
    /// Row tiles per unit.
    pub row_tiles: usize,
    /// Lanes of the values that are packed before each block's keys, `[lane / 8][64][8]`: all, or none.
    pub packed_lanes: usize,
    /// Elements from one packed block to the next.
    pub packed_block: usize,
    /// Elements of one unit's packed blocks: the keys of each are `[kv / 8][head_dim][8]`, and end with the last panel.
    pub packed_unit: usize,
    /// Elements of the packed blocks of a pass.
    pub packed: usize,
    /// Width of an accumulator row: `value_head_dim` rounded up to 8.
    pub value_width: usize,
    /// Segments of 64 in a query row.
    pub segments: usize,
    /// States a tile may hold at once.
    pub slots: usize,
    /// Lanes of the values that are copied per block: those that are no whole 8, or all where they are not f32.
    pub copied_lanes: usize,
    /// Lanes of the values that a block's copy has room for.
    pub reserved_lanes: usize,
    /// Elements of the keys of a block that are copied: those of a cache of half floats, where they serve more than one row, and
    /// those that are not packed ahead.
    pub copied_keys: usize,
    /// Elements of a tile's workspace.
    pub workspace: usize,
}

impl Plan {
    /// The plan of a call; refused when the scratch memory cannot be addressed.
    #[inline(never)]
    pub fn new(spec: &Spec<'_>) -> Result<Self, Error> {
        let sizes = spec.sizes();
        let too_large = Error::new(Reason::Size, Field::Scratch);
        let first_block = sizes.kv_start / BLOCK_KV;
        // Panels lie at absolute positions, so that blocks do.
        let held = sizes.kv_end() - first_block * BLOCK_KV;
        let panels = if sizes.kv_len == 0 { 0 } else { held.div_ceil(NR) as u64 };
        let is_cached = matches!(spec.source, Source::Cache(_));
        let units = sizes.units();
        let value_width = sizes.value_head_dim.next_multiple_of(NR);
        let segments = sizes.head_dim.div_ceil(ROW_STRIDE);
        let widest = value_width.max(segments * ROW_STRIDE);
        let rows = sizes.q_len * sizes.group();
        let rows_per_tile = (TILE_BUDGET / widest / MR * MR).clamp(MR, MAX_ROWS).min(rows.next_multiple_of(MR).max(MR));
        // Blocks that one tile reads are packed on the way. A tap shows the scores of all of them, and a part goes through them twice.
        let packs_ahead =
            !is_cached && (rows > rows_per_tile || spec.options.tap.is_some() || spec.options.shard.is_some());
        let packed_panels = if packs_ahead { panels } else { 0 };
        let packed_keys = packed_panels.checked_mul(NR as u64 * sizes.head_dim as u64).ok_or(too_large)?;
        let groups_at_once = (GROUPS_BUDGET / widest / MR).clamp(1, MAX_GROUPS).min(rows_per_tile / MR);
        let blocks = panels.div_ceil((BLOCK_KV / NR) as u64) as usize;
        let levels = blocks.checked_ilog2().map_or(1, |n| n as usize + 1);
        // A part may end inside the tree on both sides.
        let slots = if spec.options.shard.is_some() { 2 * levels + 1 } else { levels };
        let values = (blocks as u64 * BLOCK_KV as u64).checked_mul(value_width as u64);
        let values = values.filter(|n| *n <= PACKED_VALUES && !is_cached && rows > rows_per_tile).unwrap_or(0);
        let packed_lanes = if values == 0 { 0 } else { value_width };
        let units_per_pass = (PACK_BUDGET / (packed_keys + values).max(1)).clamp(1, units.max(1) as u64) as usize;
        let (copied_keys, copied_lanes) = match &spec.source {
            _ if packed_lanes > 0 => (0, 0),
            // Value rows that lie apart share few sets of the first-level cache, and are read once for every group of rows.
            Source::Rows { value: Operand::F32(value), .. }
                if value.shape().strides[1] < FAR_APART || rows_per_tile < COPYING_ROWS =>
            {
                (0, value_width - sizes.value_head_dim / NR * NR)
            }
            Source::Rows { .. } => (0, value_width),
            Source::Cache(cache) => match cache.format().dtype {
                CacheDType::F32 | CacheDType::Int8 => (0, 0),
                _ if rows == 1 => (0, 0),
                CacheDType::Bf16 if rows <= ROWS_ONE_BY_ONE => (0, 0),
                // One lane more is the slack behind the values.
                _ => (BLOCK_KV * sizes.head_dim, value_width + 1),
            },
        };
        // Memory is there for the copy whatever the strides are, so that it follows from the sizes alone.
        let copied_keys = if is_cached || packs_ahead { copied_keys } else { BLOCK_KV * sizes.head_dim };
        let reserved_lanes = match &spec.source {
            Source::Rows { .. } if rows_per_tile >= COPYING_ROWS && packed_lanes == 0 => value_width,
            _ => copied_lanes,
        };
        let workspace =
            Workspace::elements(rows_per_tile, groups_at_once, segments, slots, value_width, reserved_lanes);
        let workspace = workspace.and_then(|n| n.checked_add(copied_keys as u64)).ok_or(too_large)?;
        let packed_unit = packed_keys + values;
        let packed = packed_unit.checked_mul(units_per_pass as u64).ok_or(too_large)?;
        let scratch = packed.checked_add(workspace).ok_or(too_large)?;
        if scratch > isize::MAX as u64 / 4 {
            return Err(too_large);
        }
        Ok(Self {
            units_per_pass,
            passes: units.div_ceil(units_per_pass),
            first_block,
            blocks,
            rows_per_tile,
            groups_at_once,
            row_tiles: rows.div_ceil(rows_per_tile),
            packed_lanes,
            packed_block: BLOCK_KV * (sizes.head_dim + packed_lanes),
            packed_unit: packed_unit as usize,
            packed: packed as usize,
            value_width,
            segments,
            slots,
            copied_lanes,
            reserved_lanes,
            copied_keys,
            workspace: workspace as usize,
        })
    }

    /// Elements of scratch memory.
    pub fn scratch(&self) -> usize {
        self.packed + self.workspace
    }

    /// Tiles of the packing phase of a full pass; the keys of a cache are packed already.
    pub fn pack_tiles(&self) -> usize {
        if self.packed == 0 {
            return 0;
        }
        self.units_per_pass.saturating_mul(self.blocks)
    }
}

/// The temporary memory of one tile, cut out of one slice.
pub struct Workspace<'a> {
    /// Query rows, `[segment][row][64]`.
    pub query: &'a mut [f32],
    /// Scores of some groups of four rows against one block, `[group][4][64]`, then their exponentials.
    pub scores: &'a mut [f32],
    /// Copied values of one block, `[lane / 8][64][8]`.
    pub value_copy: &'a mut [f32],
    /// Copied keys of one block, as panels.
    pub key_copy: &'a mut [f32],
    /// `m` of every slot and row.
    pub m: &'a mut [f32],
    /// `l` of every slot and row.
    pub l: &'a mut [f32],
    /// `o` of every slot and row, `[slot][row][value_width]`.
    pub o: &'a mut [f32],
}

impl<'a> Workspace<'a> {
    fn elements(
        rows: usize,
        groups: usize,
        segments: usize,
        slots: usize,
        value_width: usize,
        copied_lanes: usize,
    ) -> Option<u64> {
        let rows = rows as u64;
        let slots = slots as u64;
        let query = rows.checked_mul(segments as u64)?.checked_mul(ROW_STRIDE as u64)?;
        let o = rows.checked_mul(slots)?.checked_mul(value_width as u64)?;
        let copied = (copied_lanes as u64).checked_mul(BLOCK_KV as u64)?;
        let scores = (groups * MR * BLOCK_KV) as u64;
        query.checked_add(o)?.checked_add(2 * rows * slots)?.checked_add(scores)?.checked_add(copied)
    }

    /// Cuts `memory`, which has `plan.workspace` elements.
    pub fn new(plan: &Plan, memory: &'a mut [f32]) -> Self {
        let rows = plan.rows_per_tile;
        let (query, rest) = memory.split_at_mut(plan.segments * rows * ROW_STRIDE);
        let (scores, rest) = rest.split_at_mut(plan.groups_at_once * MR * BLOCK_KV);
        let (value_copy, rest) = rest.split_at_mut(plan.reserved_lanes * BLOCK_KV);
        let (key_copy, rest) = rest.split_at_mut(plan.copied_keys);
        let (m, rest) = rest.split_at_mut(plan.slots * rows);
        let (l, o) = rest.split_at_mut(plan.slots * rows);
        Self { query, scores, value_copy, key_copy, m, l, o }
    }
}
