//! Up to 64 truth values as the bits of a word: how a block's visible keys are carried.

/// Bits `from..to` set; `from <= to <= 64`.
#[inline(always)]
pub fn range(from: u32, to: u32) -> u64 {
    let below = |n: u32| if n >= 64 { u64::MAX } else { (1 << n) - 1 };
    below(to) & !below(from)
}

/// Bit i set where `bytes[i]` is not 0; at most 64 bytes.
#[inline]
pub fn of_bytes(bytes: &[u8]) -> u64 {
    let (sixteens, rest) = bytes.as_chunks::<16>();
    let mut bits = 0;
    for (i, chunk) in sixteens.iter().enumerate() {
        bits |= u64::from(!zeros_of_sixteen(chunk)) << (16 * i);
    }
    for (i, byte) in rest.iter().enumerate() {
        bits |= u64::from(*byte != 0) << (16 * sixteens.len() + i);
    }
    bits
}

/// The same of 64 bytes.
#[inline(always)]
pub fn of_block(bytes: &[u8; 64]) -> u64 {
    let [a, b, c, d] = [0, 1, 2, 3].map(|i| u64::from(zeros_of_sixteen(&bytes.as_chunks().0[i])));
    !(a | b << 16 | c << 32 | d << 48)
}

/// Bit i set where `numbers[i]` is `number`; at most 64 numbers.
#[inline]
pub fn of_equal(numbers: &[i32], number: i32) -> u64 {
    let (fours, rest) = numbers.as_chunks::<4>();
    let mut bits = 0;
    for (i, four) in fours.iter().enumerate() {
        bits |= u64::from(equal_four(four, number)) << (4 * i);
    }
    for (i, other) in rest.iter().enumerate() {
        bits |= u64::from(*other == number) << (4 * fours.len() + i);
    }
    bits
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
use super::simd128::{equal_four, zero_bytes as zeros_of_sixteen};

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn equal_four(numbers: &[i32; 4], number: i32) -> u8 {
    numbers.iter().rev().fold(0, |bits, other| bits << 1 | u8::from(*other == number))
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
fn zeros_of_sixteen(bytes: &[u8; 16]) -> u16 {
    bytes.iter().rev().fold(0, |bits, byte| bits << 1 | u16::from(*byte == 0))
}
