//! The wasm boundary: numbers in, a status out. No strings, no JavaScript values, no panic across.
//!
//! A call is an argument block in linear memory (`abi`), whose operands are proved before anything is read (`memory`).
//! `plan` says how much scratch memory and how many tiles a call has; `run` does tiles `from..to` of one phase of one pass,
//! or all there is of a call to attention that is given scratch memory enough.
//! Tiles of a phase are independent of each other and may run in any order, on any thread: threads are instances of the
//! modules over one memory, each with its own stack, its own number and, by that, its own part of the scratch memory.
//!
//! The crate becomes two modules, one for each feature, that work on one memory: they share the stack, since neither calls the
//! other, and their constants lie apart (the linker is told where). What a module is not asked for is left out of it.

mod abi;
mod block;
mod cache;
mod fingerprint;
mod located;
mod memory;
mod merge;
mod operator;
mod program;
#[cfg(feature = "attention")]
mod questions;
mod scratch;

use crate::attention::forward::{attend_tile, pack_block, packed_range};
use crate::attention::merge::merge_row;
use crate::attention::plan::Plan;
use crate::attention::spec::{Outputs, Spec};
use crate::attention::split::{attend_split, merge_splits, Splits};
use crate::error::{Error, Field, Reason};
use crate::kernel::{exp::exp2, tanh::tanh, Lanes, Native};
use abi::{AttentionArgs, FunctionArgs};
use cache::CacheCall;
use core::ops::Range;
use merge::MergeArgs;
use scratch::Scratch;
use wasm_bindgen::prelude::wasm_bindgen;

const KIND_ATTENTION: u32 = 1;
const KIND_FUNCTION: u32 = 2;
const KIND_MERGE: u32 = 3;
const KIND_OPERATOR: u32 = 4;
const KIND_CACHE: u32 = 5;
const PHASE_PACK: u32 = 0;
const PHASE_ATTEND: u32 = 1;
const PHASE_SPLIT: u32 = 2;
const PHASE_MERGE: u32 = 3;
const PHASE_ALL: u32 = 4;

/// Phases of the cache kind, of which a call has one; rows that may be refused are checked before they are shared out.
const PHASE_APPEND: u32 = 0;
const PHASE_READ: u32 = 1;
const PHASE_CHECK: u32 = 2;
const PHASE_APPEND_CHECKED: u32 = 3;

/// What this module does; the linker drops the rest.
const ATTENTION: bool = cfg!(feature = "attention");
const OPERATORS: bool = cfg!(feature = "operators");

const UNKNOWN: Error = Error::new(Reason::Kind, Field::Call);

fn status(result: Result<(), Error>) -> u32 {
    result.err().map_or(0, Error::status)
}

/// The first byte of linear memory that belongs to the host.
#[wasm_bindgen]
pub fn heap_base() -> u32 {
    memory::heap_base()
}

/// FNV-1a over the offsets of both argument blocks: host and module must agree on them.
#[wasm_bindgen]
pub fn abi_fingerprint() -> u32 {
    fingerprint::fingerprint()
}

/// Checks a call and writes its plan into the argument block.
#[wasm_bindgen]
pub fn plan(kind: u32, args: u32) -> u32 {
    status(match kind {
        KIND_OPERATOR if OPERATORS => operator::plan(args),
        _ if !ATTENTION => Err(UNKNOWN),
        KIND_ATTENTION => plan_attention(args),
        KIND_FUNCTION => FunctionArgs::read(args).map(|_| ()),
        KIND_MERGE => MergeArgs::read(args).map(|_| ()),
        KIND_CACHE => CacheCall::read(args).map(|_| ()),
        _ => Err(UNKNOWN),
    })
}

/// Runs tiles `from..to` of a phase of a pass on a thread; tiles past the end of a short pass are nothing.
#[wasm_bindgen]
pub fn run(kind: u32, phase: u32, args: u32, pass: u32, from: u32, to: u32, thread: u32) -> u32 {
    status(match (kind, phase) {
        (KIND_OPERATOR, _) if OPERATORS => operator::run(args, phase, from, to, thread),
        _ if !ATTENTION => Err(UNKNOWN),
        (KIND_ATTENTION, _) => run_attention(phase, args, pass, from..to, thread),
        (KIND_FUNCTION, 0) => apply_function(args),
        (KIND_MERGE, 0) => merge(args, from, to, thread),
        (KIND_CACHE, PHASE_APPEND | PHASE_CHECK | PHASE_APPEND_CHECKED) => CacheCall::read(args)
            .and_then(|call| call.append(phase != PHASE_APPEND_CHECKED, phase != PHASE_CHECK, from, to)),
        (KIND_CACHE, PHASE_READ) => CacheCall::read(args).and_then(|call| call.read_back(from, to)),
        _ => Err(UNKNOWN),
    })
}

fn plan_attention(args: u32) -> Result<(), Error> {
    let args = AttentionArgs::read(args)?;
    let spec = args.spec()?;
    args.write_plan(&spec, &args.plan(&spec)?)
}

/// A tile of a pass.
struct PassTile {
    /// Its number in the pass.
    number: usize,
    /// Its unit, and that unit's number in the pass.
    unit: usize,
    local: usize,
    /// Its number in the unit.
    inner: usize,
}

/// The tiles `from..to` of a pass whose units have so many each; those past the end of a short pass are nothing.
fn tiles(plan: &Plan, units: usize, pass: u32, range: Range<u32>, per_unit: usize) -> impl Iterator<Item = PassTile> {
    let in_pass = plan.units_per_pass;
    let first = (pass as usize).checked_mul(in_pass);
    range.map_while(move |tile| {
        let number = tile as usize;
        let local = number.checked_div(per_unit)?;
        let unit = first?.checked_add(local)?;
        (local < in_pass && unit < units).then(|| PassTile { number, unit, local, inner: number % per_unit })
    })
}

fn pack(spec: &Spec<'_>, plan: &Plan, scratch: &Scratch, pass: u32, range: Range<u32>) {
    for tile in tiles(plan, spec.sizes().units(), pass, range, plan.blocks) {
        let range = packed_range(plan, tile.inner);
        let panels = scratch.packed_mut(tile.local * plan.packed_unit + range.start, range.len());
        pack_block(spec, plan, tile.unit, tile.inner, panels);
    }
}

fn attend(spec: &Spec<'_>, plan: &Plan, scratch: &Scratch, outputs: &mut Outputs<'_>, pass: u32, range: Range<u32>) {
    for tile in tiles(plan, spec.sizes().units(), pass, range, plan.row_tiles) {
        let packed = scratch.packed(tile.local * plan.packed_unit, plan.packed_unit);
        attend_tile(spec, plan, packed, scratch.workspace_mut(), outputs, tile.unit, tile.inner);
    }
}

/// Runs tiles of a phase of attention; or, where nobody shares it, all phases of all passes: a call that reads, proves and
/// plans three times takes most of a small one's time.
fn run_attention(phase: u32, args: u32, pass: u32, range: Range<u32>, thread: u32) -> Result<(), Error> {
    let args = AttentionArgs::read(args)?;
    let spec = args.spec()?;
    let plan = args.plan(&spec)?;
    // Who packs needs no workspace, and there may be none: packing is shared where attending is not worth it.
    let scratch = args.scratch(&spec, &plan, if phase == PHASE_PACK { 0 } else { thread })?;
    if phase == PHASE_PACK {
        pack(&spec, &plan, &scratch, pass, range);
        return Ok(());
    }
    if phase == PHASE_SPLIT {
        let splits = args.splits(&spec, &plan)?.ok_or(UNKNOWN)?;
        attend_splits(&spec, &plan, &scratch, &splits, pass, range);
        return Ok(());
    }
    let mut outputs = args.outputs()?;
    spec.expect_outputs(&outputs)?;
    match phase {
        PHASE_ATTEND => attend(&spec, &plan, &scratch, &mut outputs, pass, range),
        PHASE_MERGE => {
            let splits = args.splits(&spec, &plan)?.ok_or(UNKNOWN)?;
            merge_tiles(&spec, &plan, &scratch, &splits, &mut outputs, pass, range);
        }
        PHASE_ALL => {
            args.write_plan(&spec, &plan)?;
            for pass in 0..plan.passes as u32 {
                pack(&spec, &plan, &scratch, pass, 0..plan.pack_tiles() as u32);
                attend(&spec, &plan, &scratch, &mut outputs, pass, 0..u32::MAX);
            }
        }
        _ => return Err(UNKNOWN),
    }
    Ok(())
}

/// Tiles of the split phase: those of the attending one, each as many times as it has splits.
fn attend_splits(spec: &Spec<'_>, plan: &Plan, scratch: &Scratch, splits: &Splits, pass: u32, range: Range<u32>) {
    let count = splits.count.max(1);
    for tile in tiles(plan, spec.sizes().units(), pass, range, plan.row_tiles.saturating_mul(count)) {
        let packed = scratch.packed(tile.local * plan.packed_unit, plan.packed_unit);
        let state = scratch.state_mut(tile.number * splits.state, splits.state);
        let place = [tile.unit, tile.inner / count, tile.inner % count];
        attend_split(spec, plan, splits, packed, scratch.workspace_mut(), state, place);
    }
}

/// Tiles of the phase that merges splits: those of the attending one.
fn merge_tiles(
    spec: &Spec<'_>,
    plan: &Plan,
    scratch: &Scratch,
    splits: &Splits,
    outputs: &mut Outputs<'_>,
    pass: u32,
    range: Range<u32>,
) {
    for tile in tiles(plan, spec.sizes().units(), pass, range, plan.row_tiles) {
        let packed = scratch.packed(tile.local * plan.packed_unit, plan.packed_unit);
        let size = splits.count * splits.state;
        let states = scratch.states(tile.number * size, size);
        let place = [tile.unit, tile.inner];
        merge_splits(spec, plan, splits, packed, scratch.workspace_mut(), states, outputs, place);
    }
}

/// Merges rows `from..to`, numbered `(b * num_heads + h) * q_len + i`.
fn merge(args: u32, from: u32, to: u32, thread: u32) -> Result<(), Error> {
    let args = MergeArgs::read(args)?;
    let mut outputs = args.outputs()?;
    let memory = args.memory(thread)?;
    let sizes = &args.sizes;
    let rows = sizes.batch.saturating_mul(sizes.num_heads).saturating_mul(sizes.q_len);
    for row in from as usize..(to as usize).min(rows) {
        let i = row % sizes.q_len;
        let (b, h) = (row / sizes.q_len / sizes.num_heads, row / sizes.q_len % sizes.num_heads);
        let real = args.q_lengths.get(b).is_none_or(|n| i < *n as usize);
        merge_row(sizes, args.count(), args.items(), args.sinks, real, [b, i, h], memory, &mut outputs);
    }
    Ok(())
}

fn apply_function(args: u32) -> Result<(), Error> {
    let (op, input, out) = FunctionArgs::read(args)?;
    let apply: fn(Native) -> Native = match op {
        0 => exp2,
        1 => tanh,
        _ => return Err(UNKNOWN),
    };
    for (input, out) in input.chunks(4).zip(out.chunks_mut(4)) {
        let mut lanes = [0.0; 4];
        lanes[..input.len()].copy_from_slice(input);
        out.copy_from_slice(&apply(Native::load(&lanes)).canonical().to_array()[..input.len()]);
    }
    Ok(())
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Every index is proved before; should one be wrong after all, the host sees a trap and retires the engine.
    core::arch::wasm32::unreachable()
}
