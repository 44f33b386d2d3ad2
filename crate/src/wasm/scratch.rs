//! The scratch memory of a call, as one thread sees it.

/// A call's scratch memory: packed keys, states of splits, then a workspace for each thread.
pub struct Scratch {
    pub(super) packed: *mut f32,
    pub(super) packed_len: usize,
    pub(super) states: *mut f32,
    pub(super) states_len: usize,
    pub(super) workspace: *mut f32,
    pub(super) workspace_len: usize,
}

impl Scratch {
    /// Packed keys to read.
    pub fn packed(&self, from: usize, len: usize) -> &[f32] {
        assert!(from <= self.packed_len && len <= self.packed_len - from);
        // SAFETY: inside the scratch span, which overlaps no operand; nobody packs while tiles attend.
        unsafe { core::slice::from_raw_parts(self.packed.add(from), len) }
    }

    /// A block of packed keys to write. Each tile of the packing phase has its own.
    #[allow(clippy::mut_from_ref)]
    pub fn packed_mut(&self, from: usize, len: usize) -> &mut [f32] {
        assert!(from <= self.packed_len && len <= self.packed_len - from);
        // SAFETY: inside the scratch span, which overlaps no operand; ranges of different tiles are disjoint, and a tile
        // drops its slice before the next begins.
        unsafe { core::slice::from_raw_parts_mut(self.packed.add(from), len) }
    }

    /// States of splits to read.
    pub fn states(&self, from: usize, len: usize) -> &[f32] {
        assert!(from <= self.states_len && len <= self.states_len - from);
        // SAFETY: as in `packed`; nobody writes states while they are merged.
        unsafe { core::slice::from_raw_parts(self.states.add(from), len) }
    }

    /// A split's state to write. Each tile of the split phase has its own.
    #[allow(clippy::mut_from_ref)]
    pub fn state_mut(&self, from: usize, len: usize) -> &mut [f32] {
        assert!(from <= self.states_len && len <= self.states_len - from);
        // SAFETY: as in `packed_mut`.
        unsafe { core::slice::from_raw_parts_mut(self.states.add(from), len) }
    }

    /// The workspace of the tile that is running.
    #[allow(clippy::mut_from_ref)]
    pub fn workspace_mut(&self) -> &mut [f32] {
        // SAFETY: as in `packed_mut`; each thread has its own workspace and runs one tile at a time.
        unsafe { core::slice::from_raw_parts_mut(self.workspace, self.workspace_len) }
    }
}
