//! Blocks of a key-value cache: pieces of memory of one size, found through a table.
//!
//! # Safety
//! Contract B, which the unsafe blocks below cite: every entry of `table` but [`ABSENT`] is the distance in bytes from
//! `base` to `byte_length` bytes, aligned to 16, that stay readable (in a [`BlocksMut`] also writable, and reached through no
//! other reference while a slice of them is borrowed) for `'a`.

use crate::error::{Error, Field, Reason};
use core::marker::PhantomData;

/// The table's entry for a block that is not there.
pub const ABSENT: u32 = u32::MAX;

/// Elements that blocks can be read as: any bits are a valid one.
///
/// # Safety
/// Only for types without padding, of which any bits are valid, and whose alignment divides 16.
pub unsafe trait Stored: Copy {}

// SAFETY: numbers.
unsafe impl Stored for f32 {}
// SAFETY: numbers.
unsafe impl Stored for u16 {}
// SAFETY: numbers.
unsafe impl Stored for i8 {}

/// Blocks to read.
#[derive(Clone, Copy)]
pub struct Blocks<'a> {
    base: *const u8,
    table: &'a [u32],
    byte_length: usize,
    life: PhantomData<&'a [u32]>,
}

/// Blocks to write.
pub struct BlocksMut<'a> {
    base: *mut u8,
    table: &'a [u32],
    byte_length: usize,
    life: PhantomData<&'a mut [u32]>,
}

fn check(bytes: usize, table: &[u32], byte_length: usize) -> Result<(), Error> {
    let inside =
        |at: u32| at.is_multiple_of(16) && (at as usize).checked_add(byte_length).is_some_and(|end| end <= bytes);
    match table.iter().all(|at| *at == ABSENT || inside(*at)) {
        true => Ok(()),
        false => Err(Error::new(Reason::Bounds, Field::Key)),
    }
}

/// Where `n` elements at `at` bytes of a block lie, from `base`.
fn offset<T>(table: &[u32], byte_length: usize, entry: usize, at: usize, n: usize) -> Option<usize> {
    let block = *table.get(entry)?;
    assert!(at.is_multiple_of(align_of::<T>()) && at <= byte_length && n <= (byte_length - at) / size_of::<T>());
    (block != ABSENT).then_some(block as usize + at)
}

impl<'a> Blocks<'a> {
    /// Blocks inside a slice whose first element is aligned to 16 bytes; refused when the table reaches past its end.
    pub fn new(memory: &'a [u32], table: &'a [u32], byte_length: usize) -> Result<Self, Error> {
        check(size_of_val(memory), table, byte_length)?;
        // SAFETY: contract B, just checked against the slice.
        Ok(unsafe { Self::from_raw(memory.as_ptr().cast(), table, byte_length) })
    }

    /// Blocks proved elsewhere.
    ///
    /// # Safety
    /// Contract B.
    pub unsafe fn from_raw(base: *const u8, table: &'a [u32], byte_length: usize) -> Self {
        Self { base, table, byte_length, life: PhantomData }
    }

    /// How many entries the table has.
    pub fn entries(&self) -> usize {
        self.table.len()
    }

    /// `n` elements at `at` bytes of a block; `None` where the block is not there.
    #[inline]
    pub fn slice<T: Stored>(&self, entry: usize, at: usize, n: usize) -> Option<&'a [T]> {
        let offset = offset::<T>(self.table, self.byte_length, entry, at, n)?;
        // SAFETY: contract B; `offset` has seen to it that the elements lie inside the block, aligned.
        Some(unsafe { core::slice::from_raw_parts(self.base.wrapping_add(offset).cast(), n) })
    }
}

impl<'a> BlocksMut<'a> {
    /// As [`Blocks::new`].
    pub fn new(memory: &'a mut [u32], table: &'a [u32], byte_length: usize) -> Result<Self, Error> {
        check(size_of_val(memory), table, byte_length)?;
        // SAFETY: contract B, just checked against the slice, which is borrowed for as long.
        Ok(unsafe { Self::from_raw(memory.as_mut_ptr().cast(), table, byte_length) })
    }

    /// Blocks proved elsewhere.
    ///
    /// # Safety
    /// Contract B.
    pub unsafe fn from_raw(base: *mut u8, table: &'a [u32], byte_length: usize) -> Self {
        Self { base, table, byte_length, life: PhantomData }
    }

    /// As [`Blocks::slice`], to write.
    #[inline]
    pub fn slice<T: Stored>(&mut self, entry: usize, at: usize, n: usize) -> Option<&mut [T]> {
        let offset = offset::<T>(self.table, self.byte_length, entry, at, n)?;
        // SAFETY: contract B, and `&mut self` keeps other slices from being borrowed.
        Some(unsafe { core::slice::from_raw_parts_mut(self.base.wrapping_add(offset).cast(), n) })
    }
}
