//! Ranges of linear memory: where a number from the host becomes a slice, or is refused.

use crate::error::{Error, Field, Reason};
use crate::layout::Shape;

const PAGE: u64 = 65_536;

extern "C" {
    /// The linker's symbol: the end of stack and constants.
    static __heap_base: u8;
}

/// The first byte after stack and constants.
pub fn heap_base() -> u32 {
    &raw const __heap_base as u32
}

/// Bytes `start..end` of linear memory, known to lie in the host's part of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u64,
    end: u64,
}

impl Span {
    /// No bytes.
    pub const EMPTY: Self = Self { start: 0, end: 0 };

    /// `bytes` from `pointer` on, aligned to `align`. An empty span may have any pointer.
    #[inline(never)]
    pub fn new(pointer: u32, bytes: u64, align: u32, field: Field) -> Result<Self, Error> {
        let start = u64::from(pointer);
        let end = start.checked_add(bytes).ok_or(Error::new(Reason::Size, field))?;
        if bytes == 0 {
            return Ok(Self::EMPTY);
        }
        let size = core::arch::wasm32::memory_size::<0>() as u64 * PAGE;
        if start < u64::from(heap_base()) || end > size {
            return Err(Error::new(Reason::Bounds, field));
        }
        if !pointer.is_multiple_of(align) {
            return Err(Error::new(Reason::Alignment, field));
        }
        Ok(Self { start, end })
    }

    /// Whether the two share a byte.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Its start; aligned and never null, also when the span is empty.
    pub fn pointer<T>(&self) -> *mut T {
        if self.start == self.end {
            return core::ptr::NonNull::dangling().as_ptr();
        }
        self.start as usize as *mut T
    }

    fn len<T>(&self) -> usize {
        (self.end - self.start) as usize / size_of::<T>()
    }

    /// The span as a slice to read.
    ///
    /// # Safety
    /// For `'a` nothing else writes the span, and any bits are a valid `T`.
    pub unsafe fn slice<'a, T>(&self) -> &'a [T] {
        // SAFETY: in bounds and aligned by `new`; the rest is the caller's.
        unsafe { core::slice::from_raw_parts(self.pointer(), self.len::<T>()) }
    }

    /// The span as a slice to write.
    ///
    /// # Safety
    /// For `'a` nothing else reads or writes the span, and any bits are a valid `T`.
    pub unsafe fn slice_mut<'a, T>(&self) -> &'a mut [T] {
        // SAFETY: in bounds and aligned by `new`; the rest is the caller's.
        unsafe { core::slice::from_raw_parts_mut(self.pointer(), self.len::<T>()) }
    }
}

/// The shape of a contiguous f32 `[batch, heads, rows, width]` and its bytes, which must be addressable.
#[inline(never)]
pub fn contiguous(sizes: [usize; 4], field: Field) -> Result<(Shape, u64), Error> {
    let bytes = sizes.iter().try_fold(4u64, |p, n| p.checked_mul(*n as u64));
    let bytes = bytes.filter(|bytes| *bytes <= u64::from(u32::MAX)).ok_or(Error::new(Reason::Size, field))?;
    let [batch, heads, rows, width] = sizes;
    // Strides of empty axes may wrap; nothing is reached through them.
    let per_head = rows.wrapping_mul(width);
    let strides = [heads.wrapping_mul(per_head), width, per_head];
    Ok((Shape { sizes: [batch, rows, heads], width, strides }, bytes))
}

/// The allocator wasm-bindgen asks to be linked, though nothing here allocates: it always refuses.
struct NoAllocator;

// SAFETY: null is the documented answer of an allocator that cannot serve, and nothing it gave can come back.
unsafe impl core::alloc::GlobalAlloc for NoAllocator {
    unsafe fn alloc(&self, _: core::alloc::Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: core::alloc::Layout) {}
}

#[global_allocator]
static ALLOCATOR: NoAllocator = NoAllocator;
