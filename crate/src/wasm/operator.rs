//! The block of an operator beside attention: lists of integers, of numbers and of operands.

use super::block::dtype;
use super::memory::Span;
use crate::error::{Error, Field, Reason};
use crate::ops::{self, Arguments, Input, Output, PHASES};
use core::mem::offset_of;

/// The most integers, numbers, inputs and outputs of a call.
pub const INTEGERS: usize = 32;
pub const FLOATS: usize = 8;
pub const INPUTS: usize = 12;
pub const OUTPUTS: usize = 4;

/// Contiguous elements; absent where the pointer is 0.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Place {
    pub pointer: u32,
    pub dtype: u32,
    pub count: u32,
}

/// The block, as the host writes it.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub struct OperatorBlock {
    pub floats: [f64; FLOATS],
    pub number: u32,
    pub scratch: u32,
    pub scratch_byte_length: u32,
    pub plan_scratch_byte_length: u32,
    pub plan_tiles: [u32; PHASES],
    pub plan_workspace_byte_length: u32,
    pub plan_work: u32,
    pub integers: [u32; INTEGERS],
    pub inputs: [Place; INPUTS],
    pub outputs: [Place; OUTPUTS],
}

/// Offsets of the fields in order, then the size.
pub const OFFSETS: [u32; 12] = [
    offset_of!(OperatorBlock, floats) as u32,
    offset_of!(OperatorBlock, number) as u32,
    offset_of!(OperatorBlock, scratch) as u32,
    offset_of!(OperatorBlock, scratch_byte_length) as u32,
    offset_of!(OperatorBlock, plan_scratch_byte_length) as u32,
    offset_of!(OperatorBlock, plan_tiles) as u32,
    offset_of!(OperatorBlock, plan_workspace_byte_length) as u32,
    offset_of!(OperatorBlock, plan_work) as u32,
    offset_of!(OperatorBlock, integers) as u32,
    offset_of!(OperatorBlock, inputs) as u32,
    offset_of!(OperatorBlock, outputs) as u32,
    size_of::<OperatorBlock>() as u32,
];

fn span(place: &Place, field: Field) -> Result<Span, Error> {
    let bytes = match place.dtype {
        dtype::F32 | dtype::I32 => 4,
        dtype::F16 | dtype::BF16 => 2,
        dtype::BOOL => 1,
        _ => return Err(Error::new(Reason::Kind, field)),
    };
    Span::new(place.pointer, u64::from(place.count) * bytes, bytes as u32, field)
}

fn input<'a>(place: &Place) -> Result<Input<'a>, Error> {
    if place.pointer == 0 {
        return Ok(Input::Absent);
    }
    let span = span(place, Field::Input)?;
    // SAFETY: inputs are not written during a call (`read` refuses outputs over them); any bits are valid numbers.
    Ok(unsafe {
        match place.dtype {
            dtype::F32 => Input::F32(span.slice()),
            dtype::F16 => Input::F16(span.slice()),
            dtype::BF16 => Input::Bf16(span.slice()),
            dtype::BOOL => Input::Bool(span.slice()),
            _ => Input::I32(span.slice()),
        }
    })
}

fn output<'a>(place: &Place) -> Result<Output<'a>, Error> {
    if place.pointer == 0 {
        return Ok(Output::Absent);
    }
    let span = span(place, Field::Out)?;
    // SAFETY: `read` has proved that outputs overlap nothing; any bits are valid numbers.
    Ok(unsafe {
        match place.dtype {
            dtype::F32 => Output::F32(span.slice_mut()),
            dtype::I32 => Output::I32(span.slice_mut()),
            _ => return Err(Error::new(Reason::Kind, Field::Out)),
        }
    })
}

/// The block at `pointer`, copied out of memory: later writes by the host cannot change what was checked.
fn read(pointer: u32) -> Result<(OperatorBlock, Span), Error> {
    let at = Span::new(pointer, size_of::<OperatorBlock>() as u64, 16, Field::Call)?;
    // SAFETY: the host writes the block before the call and not during it; a block is numbers only.
    let block = unsafe { at.slice::<OperatorBlock>() }[0];
    let mut spans = [Span::EMPTY; OUTPUTS + 1];
    for (span_of, place) in spans.iter_mut().zip(block.outputs.iter().filter(|place| place.pointer != 0)) {
        *span_of = span(place, Field::Out)?;
    }
    spans[OUTPUTS] = Span::new(block.scratch, u64::from(block.scratch_byte_length), 16, Field::Scratch)?;
    for (i, written) in spans.iter().enumerate() {
        let mut clash = written.overlaps(&at) || spans[..i].iter().any(|other| other.overlaps(written));
        for place in block.inputs.iter().filter(|place| place.pointer != 0) {
            clash |= span(place, Field::Input)?.overlaps(written);
        }
        if clash {
            return Err(Error::new(Reason::Overlap, Field::Out));
        }
    }
    Ok((block, at))
}

fn with<R>(block: &OperatorBlock, then: impl FnOnce(&Arguments<'_>) -> Result<R, Error>) -> Result<R, Error> {
    let mut inputs = [Input::Absent; INPUTS];
    for (to, place) in inputs.iter_mut().zip(&block.inputs) {
        *to = input(place)?;
    }
    then(&Arguments { integers: &block.integers, floats: &block.floats, inputs: &inputs })
}

/// Checks a call and writes its plan into the block.
pub fn plan(pointer: u32) -> Result<(), Error> {
    let (mut block, at) = read(pointer)?;
    let (plan, work) = with(&block, |arguments| ops::plan_and_work(block.number, arguments))?;
    // `scratch` has seen to it that the bytes fit.
    block.plan_scratch_byte_length = (plan.scratch()? * 4) as u32;
    block.plan_workspace_byte_length = (plan.stride() * 4) as u32;
    block.plan_work = u32::try_from(work.div_ceil(1024)).unwrap_or(u32::MAX);
    for (to, tiles) in block.plan_tiles.iter_mut().zip(plan.tiles) {
        *to = u32::try_from(tiles).map_err(|_| Error::new(Reason::Size, Field::Call))?;
    }
    // SAFETY: as in `read`; no reference to the block is held here.
    let place = unsafe { at.slice_mut::<OperatorBlock>() };
    place[0] = block;
    Ok(())
}

/// Runs tiles `from..to` of a phase on a thread.
pub fn run(pointer: u32, phase: u32, from: u32, to: u32, thread: u32) -> Result<(), Error> {
    let (block, _) = read(pointer)?;
    let [a, b, c, d] = &block.outputs;
    let mut outputs = [output(a)?, output(b)?, output(c)?, output(d)?];
    let bytes = u64::from(block.scratch_byte_length) / 4 * 4;
    // SAFETY: apart from all else by `read`; threads use parts of it that are apart.
    let scratch = unsafe { Span::new(block.scratch, bytes, 16, Field::Scratch)?.slice_mut() };
    let (phase, tiles) = (phase as usize, from as usize..to as usize);
    with(&block, |arguments| ops::run_on(block.number, arguments, &mut outputs, scratch, phase, tiles, thread as usize))
}
