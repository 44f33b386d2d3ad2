//! What an operator is called with.

use crate::error::{Error, Field, Reason};
use crate::layout::stride;
use core::ops::Range;

/// Phases that an operator can have: one that prepares (packs), one that computes.
pub const PHASES: usize = 2;

/// An operand to read: contiguous elements.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// An optional operand that is not given.
    Absent,
    /// binary32.
    F32(&'a [f32]),
    /// binary16 as bits.
    F16(&'a [u16]),
    /// The upper half of binary32.
    Bf16(&'a [u16]),
    /// Truth values: not 0 = true.
    Bool(&'a [u8]),
    /// Integers.
    I32(&'a [i32]),
}

/// An operand to write: contiguous elements.
#[derive(Debug)]
pub enum Output<'a> {
    /// An optional operand that is not wanted.
    Absent,
    /// binary32.
    F32(&'a mut [f32]),
    /// Integers.
    I32(&'a mut [i32]),
}

/// Sizes, choices, numbers and inputs of a call. What is missing at the end of a list reads as an error for an integer or a
/// number, and as absent for an input.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// Sizes and choices.
    pub integers: &'a [u32],
    /// Numbers.
    pub floats: &'a [f64],
    /// Operands to read.
    pub inputs: &'a [Input<'a>],
}

const WRONG: Error = Error::new(Reason::Value, Field::Call);

impl<'a> Arguments<'a> {
    /// Integer `i`.
    pub fn integer(&self, i: usize) -> Result<usize, Error> {
        self.integers.get(i).map(|n| *n as usize).ok_or(WRONG)
    }

    /// Integer `i`, which is not 0 for true.
    pub fn flag(&self, i: usize) -> Result<bool, Error> {
        self.integer(i).map(|n| n != 0)
    }

    /// The first `N` integers; an i32 is in its bits.
    pub fn integers<const N: usize>(&self) -> Result<[usize; N], Error> {
        self.integers.first_chunk().map(|n: &[u32; N]| n.map(|n| n as usize)).ok_or(WRONG)
    }

    /// The first `N` numbers; all are finite.
    pub fn numbers<const N: usize>(&self) -> Result<[f64; N], Error> {
        self.floats.first_chunk().filter(|_| self.are_finite()).copied().ok_or(WRONG)
    }

    #[inline(never)]
    fn are_finite(&self) -> bool {
        self.floats.iter().all(|x| x.is_finite())
    }

    /// Number `i`.
    pub fn float(&self, i: usize) -> Result<f64, Error> {
        self.floats.get(i).copied().ok_or(WRONG)
    }

    /// Number `i`, which is finite.
    pub fn finite(&self, i: usize) -> Result<f64, Error> {
        self.float(i)?.is_finite().then(|| self.floats[i]).ok_or(WRONG)
    }

    /// Input `i`, whatever it is.
    pub fn input(&self, i: usize) -> Input<'a> {
        self.inputs.get(i).copied().unwrap_or(Input::Absent)
    }

    /// Input `i`: f32 of the sizes given.
    pub fn f32(&self, i: usize, sizes: &[usize]) -> Result<&'a [f32], Error> {
        self.optional_f32(i, sizes)?.ok_or(Error::new(Reason::Kind, Field::Input))
    }

    /// Input `i`: f32 of the sizes given, or absent.
    pub fn optional_f32(&self, i: usize, sizes: &[usize]) -> Result<Option<&'a [f32]>, Error> {
        match self.input(i) {
            Input::Absent => Ok(None),
            Input::F32(data) => exact(data, sizes).map(Some),
            _ => Err(Error::new(Reason::Kind, Field::Input)),
        }
    }

    /// Input `i`: integers of the sizes given, or absent.
    pub fn optional_i32(&self, i: usize, sizes: &[usize]) -> Result<Option<&'a [i32]>, Error> {
        match self.input(i) {
            Input::Absent => Ok(None),
            Input::I32(data) => exact(data, sizes).map(Some),
            _ => Err(Error::new(Reason::Kind, Field::Input)),
        }
    }

    /// Input `i`: truth values of the sizes given, or absent.
    pub fn optional_bool(&self, i: usize, sizes: &[usize]) -> Result<Option<&'a [u8]>, Error> {
        match self.input(i) {
            Input::Absent => Ok(None),
            Input::Bool(data) => exact(data, sizes).map(Some),
            _ => Err(Error::new(Reason::Kind, Field::Input)),
        }
    }
}

/// The product of sizes, which must fit.
#[inline(never)]
pub fn product(sizes: &[usize]) -> Result<usize, Error> {
    let product = sizes.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    product.filter(|n| *n <= u32::MAX as usize / 4).ok_or(Error::new(Reason::Size, Field::Call))
}

/// The product of sizes, at most `usize::MAX`: a count of things to do.
#[inline(never)]
pub fn amount(sizes: &[usize]) -> usize {
    sizes.iter().fold(1, |product: usize, size| product.saturating_mul(*size))
}

fn exact<'a, T>(data: &'a [T], sizes: &[usize]) -> Result<&'a [T], Error> {
    if data.len() == product(sizes)? {
        Ok(data)
    } else {
        Err(Error::new(Reason::Bounds, Field::Input))
    }
}

/// The first `N` operands to write.
pub fn outputs<'a, 'b, const N: usize>(outputs: &'a mut [Output<'b>]) -> Result<&'a mut [Output<'b>; N], Error> {
    outputs.first_chunk_mut().ok_or(Error::new(Reason::Kind, Field::Out))
}

impl Output<'_> {
    /// f32 of the sizes given.
    #[inline(never)]
    pub fn f32(&mut self, sizes: &[usize]) -> Result<&mut [f32], Error> {
        self.optional_f32(sizes)?.ok_or(Error::new(Reason::Kind, Field::Out))
    }

    /// f32 of the sizes given, or absent.
    pub fn optional_f32(&mut self, sizes: &[usize]) -> Result<Option<&mut [f32]>, Error> {
        match self {
            Self::Absent => Ok(None),
            Self::F32(data) if data.len() == product(sizes)? => Ok(Some(data)),
            Self::F32(_) => Err(Error::new(Reason::Bounds, Field::Out)),
            Self::I32(_) => Err(Error::new(Reason::Kind, Field::Out)),
        }
    }

    /// Integers of the sizes given, or absent.
    pub fn optional_i32(&mut self, sizes: &[usize]) -> Result<Option<&mut [i32]>, Error> {
        match self {
            Self::Absent => Ok(None),
            Self::I32(data) if data.len() == product(sizes)? => Ok(Some(data)),
            Self::I32(_) => Err(Error::new(Reason::Bounds, Field::Out)),
            Self::F32(_) => Err(Error::new(Reason::Kind, Field::Out)),
        }
    }
}

/// The memory and the tiles that an operator needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// f32 elements that one phase writes and the next reads.
    pub shared: usize,
    /// f32 elements of temporary memory for the tile that is running.
    pub workspace: usize,
    /// Tiles of each phase; a phase without tiles is left out.
    pub tiles: [usize; PHASES],
}

/// An operator's temporary memory.
pub struct Scratch<'a> {
    /// What one phase writes and the next reads.
    pub shared: &'a mut [f32],
    /// For the tile that is running.
    pub workspace: &'a mut [f32],
}

impl Plan {
    /// f32 elements of temporary memory in all.
    pub fn scratch(&self) -> Result<usize, Error> {
        let total = self.shared.checked_add(self.workspace);
        total.filter(|n| *n <= u32::MAX as usize / 4).ok_or(Error::new(Reason::Size, Field::Scratch))
    }

    /// Temporary memory in its parts, and the tiles that there are of those asked for.
    #[inline(never)]
    pub fn prepare<'a>(
        &self,
        scratch: &'a mut [f32],
        phase: usize,
        tiles: Range<usize>,
        thread: usize,
    ) -> Result<(Scratch<'a>, Range<usize>), Error> {
        let end = tiles.end.min(*self.tiles.get(phase).ok_or(Error::new(Reason::Kind, Field::Call))?);
        Ok((self.split(scratch, thread)?, tiles.start.min(end)..end))
    }

    /// Elements from one thread's workspace to the next.
    pub fn stride(&self) -> usize {
        stride(self.workspace)
    }

    /// Temporary memory in its parts: `[shared][workspace of each thread]`.
    pub fn split<'a>(&self, scratch: &'a mut [f32], thread: usize) -> Result<Scratch<'a>, Error> {
        let too_small = Error::new(Reason::Bounds, Field::Scratch);
        let from = thread.checked_mul(self.stride()).ok_or(too_small)?;
        let (shared, rest) = scratch.split_at_mut_checked(self.shared).ok_or(too_small)?;
        let workspace = rest.get_mut(from..).and_then(|rest| rest.get_mut(..self.workspace)).ok_or(too_small)?;
        Ok(Scratch { shared, workspace })
    }
}
