//! Views: where bounds, products and alignment are proved, once, so that everything after can trust an index.
//!
//! A [`View`] is a tensor `[batch, seq, heads, width]` with a stride in elements for each of the first three axes and a
//! contiguous last one. A [`ViewMut`] is the same for writing. The cursors at the end ([`Rows8`], [`TileSteps`]) walk
//! memory that was proved before the loop, so that the micro-kernel's loop tests one pointer and nothing else.
//!
//! # Safety
//! Contract V, which the unsafe blocks below cite: `data` points at `extent` elements, where `extent` covers the last
//! element any index inside `shape` can reach; they stay readable (in a [`ViewMut`] also writable, and reached through
//! no other reference while a row is borrowed) for `'a`.

pub mod blocks;
pub mod pairs;
pub mod quad_steps;
pub mod row_steps;

use crate::error::{Error, Field, Reason};
use crate::kernel::{MR, NR, ROW_STRIDE};
use core::marker::PhantomData;

/// Elements from one thread's workspace of `elements` to the next: whole cache lines, which two threads never share.
pub fn stride(elements: usize) -> usize {
    elements.next_multiple_of(16)
}

/// The sizes and strides of a view, in elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// `[batch, seq, heads]`.
    pub sizes: [usize; 3],
    /// The contiguous last axis.
    pub width: usize,
    /// Elements from one index to the next along batch, seq and heads.
    pub strides: [usize; 3],
}

impl Shape {
    /// A contiguous `[batch, seq, heads, width]` (the layout "bshd").
    pub const fn bshd(batch: usize, seq: usize, heads: usize, width: usize) -> Self {
        Self { sizes: [batch, seq, heads], width, strides: [seq * heads * width, heads * width, width] }
    }

    /// A contiguous `[batch, heads, seq, width]` (the layout "bhsd"); the view's axes stay batch, seq, heads.
    pub const fn bhsd(batch: usize, seq: usize, heads: usize, width: usize) -> Self {
        Self { sizes: [batch, seq, heads], width, strides: [heads * seq * width, width, seq * width] }
    }

    /// Elements from the first to one past the last; 0 when an axis is empty; `None` when it does not fit.
    #[inline(never)]
    pub fn extent(&self) -> Option<usize> {
        if self.width == 0 || self.sizes.contains(&0) {
            return Some(0);
        }
        let mut last = self.width as u64;
        for (size, stride) in self.sizes.iter().zip(self.strides) {
            last = last.checked_add((*size as u64 - 1).checked_mul(stride as u64)?)?;
        }
        // A slice holds at most isize::MAX bytes.
        (last <= isize::MAX as u64 / 4).then_some(last as usize)
    }

    #[inline(always)]
    fn offset(&self, batch: usize, seq: usize, head: usize) -> usize {
        assert!(batch < self.sizes[0] && seq < self.sizes[1] && head < self.sizes[2]);
        batch * self.strides[0] + seq * self.strides[1] + head * self.strides[2]
    }
}

/// A tensor to read.
#[derive(Clone, Copy)]
pub struct View<'a, T = f32> {
    data: *const T,
    shape: Shape,
    life: PhantomData<&'a [T]>,
}

impl<'a, T> View<'a, T> {
    /// A view of a slice; refused when the shape reaches past its end.
    pub fn new(data: &'a [T], shape: Shape, field: Field) -> Result<Self, Error> {
        let extent = shape.extent().ok_or(Error::new(Reason::Size, field))?;
        if extent > data.len() {
            return Err(Error::new(Reason::Bounds, field));
        }
        // SAFETY: contract V, just checked against the slice.
        Ok(unsafe { Self::from_raw(data.as_ptr(), shape) })
    }

    /// A view of memory proved elsewhere.
    ///
    /// # Safety
    /// Contract V with `extent = shape.extent()`, which is not `None`.
    pub unsafe fn from_raw(data: *const T, shape: Shape) -> Self {
        Self { data, shape, life: PhantomData }
    }

    /// Its sizes and strides.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// One row: the last axis.
    #[inline(always)]
    pub fn row(&self, batch: usize, seq: usize, head: usize) -> &'a [T] {
        let offset = self.shape.offset(batch, seq, head);
        // SAFETY: contract V; the indices are inside the shape.
        unsafe { core::slice::from_raw_parts(self.data.add(offset), self.shape.width) }
    }
}

impl<'a> View<'a> {
    /// From the first element of `n` rows to their last: each begins so many elements behind the one before as the stride of
    /// their axis says.
    #[inline]
    pub fn rows(&self, batch: usize, seq: usize, head: usize, n: usize) -> &'a [f32] {
        if n == 0 {
            return &[];
        }
        assert!(seq + n <= self.shape.sizes[1]);
        let offset = self.shape.offset(batch, seq, head);
        let length = (n - 1) * self.shape.strides[1] + self.shape.width;
        // SAFETY: contract V; first and last row are inside the shape, and elements are only read.
        unsafe { core::slice::from_raw_parts(self.data.add(offset), length) }
    }

    /// Lanes `lane..lane + 8` of `n` rows from `seq` on: the B operand of a tile.
    #[inline(always)]
    pub fn rows8(&self, batch: usize, seq: usize, head: usize, lane: usize, n: usize) -> Rows8<'a> {
        if n == 0 {
            return Rows8::EMPTY;
        }
        assert!(lane + NR <= self.shape.width && seq + n <= self.shape.sizes[1]);
        let offset = self.shape.offset(batch, seq, head) + lane;
        // SAFETY: contract V; first and last row are inside the shape, and so are the lanes.
        let first = unsafe { self.data.add(offset) };
        Rows8 { first, stride: self.shape.strides[1], n, life: PhantomData }
    }
}

/// A tensor to write.
pub struct ViewMut<'a, T = f32> {
    data: *mut T,
    shape: Shape,
    life: PhantomData<&'a mut [T]>,
}

impl<'a, T> ViewMut<'a, T> {
    /// A view of a slice; refused when the shape reaches past its end.
    pub fn new(data: &'a mut [T], shape: Shape, field: Field) -> Result<Self, Error> {
        let extent = shape.extent().ok_or(Error::new(Reason::Size, field))?;
        if extent > data.len() {
            return Err(Error::new(Reason::Bounds, field));
        }
        // SAFETY: contract V, just checked against the slice, which is borrowed for as long.
        Ok(unsafe { Self::from_raw(data.as_mut_ptr(), shape) })
    }

    /// A view of memory proved elsewhere.
    ///
    /// # Safety
    /// Contract V with `extent = shape.extent()`, which is not `None`.
    pub unsafe fn from_raw(data: *mut T, shape: Shape) -> Self {
        Self { data, shape, life: PhantomData }
    }

    /// Its sizes and strides.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// One row: the last axis.
    #[inline(always)]
    pub fn row(&mut self, batch: usize, seq: usize, head: usize) -> &mut [T] {
        let offset = self.shape.offset(batch, seq, head);
        // SAFETY: contract V; the indices are inside the shape, and `&mut self` keeps other rows from being borrowed.
        unsafe { core::slice::from_raw_parts_mut(self.data.add(offset), self.shape.width) }
    }
}

/// `n` rows of 8 contiguous lanes, `stride` elements apart: the B operand of a tile.
#[derive(Clone, Copy)]
pub struct Rows8<'a> {
    first: *const f32,
    stride: usize,
    n: usize,
    life: PhantomData<&'a [f32]>,
}

impl<'a> Rows8<'a> {
    /// No rows: a tile's sums stay +0.
    pub const EMPTY: Self = Self { first: core::ptr::null(), stride: 0, n: 0, life: PhantomData };

    /// Elements from one row to the next.
    #[inline(always)]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// `n` rows `stride` elements apart.
    #[inline(always)]
    pub fn strided(rows: &'a [f32], stride: usize, n: usize) -> Self {
        assert!(n == 0 || (n - 1) * stride + NR <= rows.len());
        Self { first: rows.as_ptr(), stride, n, life: PhantomData }
    }

    /// The first `n` rows of a packed panel, whose rows follow each other.
    #[inline(always)]
    pub fn packed(panel: &'a [f32], n: usize) -> Self {
        assert!(n * NR <= panel.len());
        Self { first: panel.as_ptr(), stride: NR, n, life: PhantomData }
    }
}

/// One element, of which the compiler does not know it: the distance of two steps in A.
///
/// Were it known, each step of an unrolled loop would be addressed from the first, and V8, which keeps an offset in a plain load but
/// not in a splat, would add up four addresses a step; with one pointer that moves, the rows are four fixed bases.
#[derive(Clone, Copy)]
pub struct Step(usize);

impl Step {
    /// Best made once for many tiles.
    #[inline(always)]
    pub fn one() -> Self {
        Self(core::hint::black_box(1))
    }
}

/// The inner steps of a tile: a column of four A elements and eight lanes of B at a time. `STRIDE` is that of B's rows, or 0 where
/// it is known to the rows only: a known one is an offset in the load itself, which saves an addition in most steps.
pub struct TileSteps<'a, const STRIDE: usize> {
    a: *const f32,
    a_end: *const f32,
    /// Always 1; see [`Step`].
    a_step: usize,
    b: *const f32,
    stride: usize,
    life: PhantomData<&'a [f32]>,
}

impl<'a, const STRIDE: usize> TileSteps<'a, STRIDE> {
    /// Pairs an A block, four rows [`ROW_STRIDE`] apart from its first element on, with the rows of B.
    #[inline(always)]
    pub fn new(a: &'a [f32], b: Rows8<'a>, step: Step) -> Self {
        assert!(STRIDE == 0 || STRIDE == b.stride);
        assert!(b.n <= ROW_STRIDE && (MR - 1) * ROW_STRIDE + b.n <= a.len());
        let range = a[..b.n].as_ptr_range();
        Self { a: range.start, a_end: range.end, a_step: step.0, b: b.first, stride: b.stride, life: PhantomData }
    }

    /// Does the steps of a turn, or those that are left; whether there may be more. A turn has four, and eight where B's stride is
    /// known: each turn costs a cycle beside its steps (with sixteen V8 11 keeps sums in memory).
    ///
    /// Each step may be the last: the exits between them cost one foreseen branch each, and keep a compiler (V8's up to 12) from
    /// moving the loads of all of them to the top, for which there are no registers.
    #[inline(always)]
    pub fn turn(&mut self, mut with: impl FnMut([&'a f32; MR], [&'a [f32; 4]; 2])) -> bool {
        let with = &mut with;
        let more = self.step(0, with) && self.step(1, with) && self.step(2, with) && self.step(3, with);
        if STRIDE == 0 {
            return more;
        }
        let more = more && self.step(4, with) && self.step(5, with) && self.step(6, with) && self.step(7, with);
        self.b = self.b.wrapping_add(8 * STRIDE);
        more
    }

    /// Does step `i` of a turn, if one is left; whether there was one.
    #[inline(always)]
    fn step(&mut self, i: usize, with: &mut impl FnMut([&'a f32; MR], [&'a [f32; 4]; 2])) -> bool {
        if self.a == self.a_end {
            return false;
        }
        // SAFETY: `new` proved n columns of A and [`Rows8`] holds n rows of B; the end pointer stops after n steps. The
        // steps past the last are computed wrapping and never read.
        unsafe {
            let a = [0, ROW_STRIDE, 2 * ROW_STRIDE, 3 * ROW_STRIDE].map(|row| &*self.a.add(row));
            let at = self.b.add(i * STRIDE);
            let b = [&*at.cast(), &*at.add(4).cast()];
            self.a = self.a.wrapping_add(self.a_step);
            if STRIDE == 0 {
                self.b = self.b.wrapping_add(self.stride);
            }
            with(a, b);
        }
        true
    }
}

/// Four elements of each of `ROWS` rows at a time, from first to last.
pub struct Abreast<'a, const ROWS: usize> {
    at: *const f32,
    end: *const f32,
    stride: usize,
    life: PhantomData<&'a [f32]>,
}

impl<'a, const ROWS: usize> Abreast<'a, ROWS> {
    /// Rows of `n` elements, a multiple of 4, which begin `stride` elements apart.
    #[inline(always)]
    pub fn new(rows: &'a [f32], stride: usize, n: usize) -> Self {
        assert!(n.is_multiple_of(4) && (ROWS - 1) * stride + n <= rows.len());
        let range = rows[..n].as_ptr_range();
        Self { at: range.start, end: range.end, stride, life: PhantomData }
    }
}

impl<'a, const ROWS: usize> Iterator for Abreast<'a, ROWS> {
    type Item = [&'a [f32; 4]; ROWS];

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.end {
            return None;
        }
        // SAFETY: `new` proved n elements of every row, and that fours end where they do.
        unsafe {
            let fours = core::array::from_fn(|row| &*self.at.add(row * self.stride).cast());
            self.at = self.at.add(4);
            Some(fours)
        }
    }
}
