//! One block of keys for all rows of a tile: some groups of four rows at a time meet its panels one by one, then its values
//! eight lanes at a time.
//!
//! A block's keys and values alone are 32 KiB at 64 lanes, as large as most first-level caches: with each group walking
//! through all of them, every load came from the second level. Now a panel is read from there once for all rows that meet it
//! together, up to a whole tile's.

use super::mask::{BlockSight, Columns};
use super::plan::MAX_GROUPS;
use super::run::Run;
use super::spec::ScoreScale;
use super::state::{Place, Stack};
use super::BLOCK_KV;
use crate::kernel::gemm_tile::{Merge, Store};
use crate::kernel::{MR, NR};
use core::ops::Range;

impl Run<'_> {
    /// Adds one block to the states of row groups; without a sight they see all of it.
    pub(super) fn visit(
        &mut self,
        stack: &mut Stack<'_>,
        place: Place,
        groups: Range<usize>,
        block: usize,
        sight: Option<&BlockSight>,
        only_visible: bool,
    ) {
        let one_by_one = only_visible || self.int8(block).is_some();
        let at_once = if one_by_one { 1 } else { self.plan.groups_at_once };
        let mut columns = [Columns::ALL; MAX_GROUPS];
        for first in groups.clone().step_by(at_once) {
            let some = first..groups.end.min(first + at_once);
            let columns = &mut columns[..some.len()];
            if let Some(sight) = sight {
                for (columns, group) in columns.iter_mut().zip(some.clone()) {
                    *columns = sight.columns(group);
                    if let (true, Place::New(slot)) = (columns.is_empty(), place) {
                        stack.set_empty(slot, group);
                    }
                }
            }
            match columns {
                [one] if one.is_empty() => {}
                [one] => self.block(stack, place, first, block, one, only_visible),
                _ => self.groups(stack, place, some, block, columns),
            }
        }
    }

    /// Adds one block to the states of groups whose scores are held at once.
    fn groups(&mut self, stack: &mut Stack<'_>, place: Place, groups: Range<usize>, block: usize, columns: &[Columns]) {
        let (ScoreScale::Plain(factor) | ScoreScale::Capped(factor, _)) = self.spec.score_scale;
        for panel in 0..BLOCK_KV / NR {
            for run in runs(columns, |columns| columns.panels().contains(&panel)) {
                self.at = run.start * MR * BLOCK_KV;
                let run = groups.start + run.start..groups.start + run.end;
                self.dot_panel(run, block, panel, Some(factor));
            }
        }
        let mut merges = [Merge { x: [1.0; MR], y: [1.0; MR] }; MAX_GROUPS];
        for (i, (group, columns)) in groups.clone().zip(columns).enumerate() {
            if columns.is_empty() {
                continue;
            }
            self.at = i * MR * BLOCK_KV;
            self.finish_scores(group, block, columns);
            let (m, l) = self.exponentials(group, columns);
            match place {
                Place::New(slot) => stack.set(slot, group, m, l),
                Place::Sibling(slot) => merges[i] = stack.join(slot, group, m, l),
            }
        }
        let mut next = 0;
        while let Some(first) = columns.get(next) {
            let weighed = self.weighed(block, first);
            let same = columns[next..].iter().take_while(|other| self.weighed(block, other) == weighed).count();
            let run = next..next + same;
            next = run.end;
            if weighed.is_empty() {
                continue;
            }
            self.at = run.start * MR * BLOCK_KV;
            let those = groups.start + run.start..groups.start + run.end;
            match place {
                Place::New(slot) => self.values(stack.o_of(slot, those), block, weighed, same, Store),
                Place::Sibling(slot) => self.values(stack.o_of(slot, those), block, weighed, same, &merges[run]),
            }
        }
        self.at = 0;
    }

    /// The columns whose values are read: those of the panels that are keys at all, so that groups whose sights end in the same
    /// panels go together. A hidden one's weight is +0.
    fn weighed(&self, block: usize, columns: &Columns) -> Range<usize> {
        if columns.is_empty() {
            return 0..0;
        }
        let keys = self.spec.keys(self.batch);
        let start = block * BLOCK_KV;
        let panels = columns.panels();
        (panels.start * NR).max(keys.start.saturating_sub(start))..(panels.end * NR).min(keys.end - start)
    }
}

/// The longest runs of groups of which something holds.
fn runs<'a>(columns: &'a [Columns], holds: impl Fn(&Columns) -> bool + 'a) -> impl Iterator<Item = Range<usize>> + 'a {
    let mut next = 0;
    core::iter::from_fn(move || {
        let start = next + columns[next..].iter().position(&holds)?;
        let length = columns[start..].iter().take_while(|columns| holds(columns)).count();
        next = start + length;
        Some(start..next)
    })
}
