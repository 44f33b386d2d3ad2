//! Places of an argument block: spans that are proved, then read as what lies there.

use super::block::dtype;
use super::memory::Span;
use crate::attention::operand::{Operand, Target};
use crate::error::{Error, Field, Reason};
use crate::layout::{Shape, View, ViewMut};

/// A place in memory with the shape of what lies there.
#[derive(Clone, Copy)]
pub(super) struct Located {
    pub(super) pointer: u32,
    pub(super) dtype: u32,
    pub(super) shape: Shape,
    pub(super) field: Field,
}

/// An array of numbers of 4 bytes.
#[derive(Clone, Copy)]
pub(super) struct Array {
    pub(super) pointer: u32,
    pub(super) count: u32,
    pub(super) field: Field,
}

impl Array {
    #[inline(never)]
    pub(super) fn span(&self) -> Result<Span, Error> {
        Span::new(self.pointer, u64::from(self.count) * 4, 4, self.field)
    }

    pub(super) fn slice<'a, T>(&self) -> Result<&'a [T], Error> {
        const { assert!(size_of::<T>() == 4) };
        // SAFETY: inputs are not written during a call; T is u32, i32 or f32, for which any bits are valid.
        Ok(unsafe { self.span()?.slice() })
    }
}

impl Located {
    #[inline(never)]
    pub(super) fn span(&self) -> Result<Span, Error> {
        let bytes = match self.dtype {
            dtype::F32 => 4,
            dtype::F16 | dtype::BF16 => 2,
            dtype::BOOL => 1,
            _ => return Err(Error::new(Reason::Kind, self.field)),
        };
        let extent = self.shape.extent().ok_or(Error::new(Reason::Size, self.field))? as u64;
        Span::new(self.pointer, extent * bytes, bytes as u32, self.field)
    }

    // The three below rest on contract V of `layout`: `span` covers the shape's extent, any bits are a valid element, inputs
    // are not written during a call and outputs overlap nothing, which `AttentionArgs::read` has checked.

    #[inline(never)]
    pub(super) fn operand<'a>(&self) -> Result<Operand<'a>, Error> {
        let span = self.span()?;
        // SAFETY: contract V, as said above.
        Ok(unsafe {
            match self.dtype {
                dtype::F32 => Operand::F32(View::from_raw(span.pointer(), self.shape)),
                dtype::F16 => Operand::F16(View::from_raw(span.pointer(), self.shape)),
                dtype::BF16 => Operand::Bf16(View::from_raw(span.pointer(), self.shape)),
                _ => return Err(Error::new(Reason::Kind, self.field)),
            }
        })
    }

    pub(super) fn target<'a>(&self) -> Result<Target<'a>, Error> {
        let span = self.span()?;
        // SAFETY: contract V, as said above.
        Ok(unsafe {
            match self.dtype {
                dtype::F32 => Target::F32(ViewMut::from_raw(span.pointer(), self.shape)),
                dtype::F16 => Target::F16(ViewMut::from_raw(span.pointer(), self.shape)),
                dtype::BF16 => Target::Bf16(ViewMut::from_raw(span.pointer(), self.shape)),
                _ => return Err(Error::new(Reason::Kind, self.field)),
            }
        })
    }

    pub(super) fn view_mut<'a, T>(&self) -> Result<ViewMut<'a, T>, Error> {
        // SAFETY: contract V, as said above; T is f32 or i32.
        Ok(unsafe { ViewMut::from_raw(self.span()?.pointer(), self.shape) })
    }
}

/// Refuses a span that shares a byte with an output.
#[inline(never)]
pub(super) fn keep_apart(outputs: &[(Span, Field)], span: Span) -> Result<(), Error> {
    match outputs.iter().find(|(output, _)| output.overlaps(&span)) {
        Some((_, field)) => Err(Error::new(Reason::Overlap, *field)),
        None => Ok(()),
    }
}
