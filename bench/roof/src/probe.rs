//! Exports, one loop each. `# Safety` is the same for all: every pointer is 16-byte aligned and the bytes named in
//! the export's text lie inside linear memory. `roof.mjs` is the only caller and lays them out.

use core::arch::wasm32::*;

/// Repeats of the body per loop turn, so that the counter and the branch cost nothing next to it.
const UNROLL: usize = 4;

/// `rounds * UNROLL` steps of `N` independent chains `a = step(a)`. Reads a multiplier, an addend and N starting
/// values (N + 2 vectors) at `operands`; the ends are stored back over the starting values, so no step is dead.
///
/// # Safety
/// As the module says.
#[inline(always)]
unsafe fn chains<const N: usize>(operands: *mut v128, rounds: u32, step: impl Fn(v128, v128, v128) -> v128) {
    // SAFETY: the caller vouches for N + 2 vectors at `operands`.
    unsafe {
        let (multiplier, addend) = (v128_load(operands), v128_load(operands.add(1)));
        let mut chain: [v128; N] = core::array::from_fn(|i| v128_load(operands.add(2 + i)));
        for _ in 0..rounds {
            for _ in 0..UNROLL {
                for value in &mut chain {
                    *value = step(*value, multiplier, addend);
                }
            }
        }
        for (i, value) in chain.iter().enumerate() {
            v128_store(operands.add(2 + i), *value);
        }
    }
}

/// Exports the chains of one step at one width: the best width differs between processors (the number of pipes times
/// their latency), so each is its own function and the bench takes the fastest.
macro_rules! export_chains {
    ($step:expr; $($name:ident = $width:literal),+) => { $(
        /// Chains of the width in the name.
        ///
        /// # Safety
        /// As the module says, for the width + 2 vectors at `operands`.
        #[no_mangle]
        pub unsafe extern "C" fn $name(operands: *mut v128, rounds: u32) {
            // SAFETY: the same contract.
            unsafe { chains::<$width>(operands, rounds, $step) }
        }
    )+ };
}

export_chains!(|a, m, b| f32x4_add(f32x4_mul(a, m), b);
    multiply_add_8 = 8, multiply_add_10 = 10, multiply_add_12 = 12, multiply_add_14 = 14);

#[cfg(target_feature = "relaxed-simd")]
export_chains!(|a, m, b| f32x4_relaxed_madd(a, m, b);
    fused_8 = 8, fused_10 = 10, fused_12 = 12, fused_14 = 14);

export_chains!(|a, m, _| f32x4_div(m, a); divide_8 = 8);

/// Steps per turn of `multiply_add_*`, `fused_*` and `divide_*`.
#[no_mangle]
pub extern "C" fn unroll() -> u32 {
    UNROLL as u32
}

/// Adds up `byte_length` bytes at `from` (a multiple of `128 * STREAMS`) as 32-bit integers: integer additions are
/// cheap everywhere, so the loads are what is timed. The range is read as `STREAMS` equal parts at once.
///
/// # Safety
/// As the module says.
#[inline(always)]
unsafe fn read<const STREAMS: usize>(from: *const u8, byte_length: u32) -> i32 {
    let part = byte_length as usize / STREAMS;
    // Four sums hide the latency of an addition; with eight, V8 on x64 keeps one of them in memory.
    let mut sums = [i32x4_splat(0); 4];
    let mut at = 0;
    while at < part {
        for stream in 0..STREAMS {
            for i in 0..8 / STREAMS {
                // SAFETY: at + 128 / STREAMS <= part, so the load ends inside the range.
                let loaded = unsafe { v128_load(from.add(stream * part + at + i * 16).cast()) };
                let sum = &mut sums[(stream * (8 / STREAMS) + i) % 4];
                *sum = i32x4_add(*sum, loaded);
            }
        }
        at += 128 / STREAMS;
    }
    let total = sums.into_iter().fold(i32x4_splat(0), |a, b| i32x4_add(a, b));
    i32x4_extract_lane::<0>(total)
        .wrapping_add(i32x4_extract_lane::<1>(total))
        .wrapping_add(i32x4_extract_lane::<2>(total))
        .wrapping_add(i32x4_extract_lane::<3>(total))
}

/// One run through the range from its beginning to its end.
///
/// # Safety
/// As the module says, for `byte_length` bytes.
#[no_mangle]
pub unsafe extern "C" fn read_1(from: *const u8, byte_length: u32) -> i32 {
    // SAFETY: the same contract.
    unsafe { read::<1>(from, byte_length) }
}

/// Four places of the range at once: some prefetchers follow several streams better than one.
///
/// # Safety
/// As the module says, for `byte_length` bytes.
#[no_mangle]
pub unsafe extern "C" fn read_4(from: *const u8, byte_length: u32) -> i32 {
    // SAFETY: the same contract.
    unsafe { read::<4>(from, byte_length) }
}

/// `2^t` for `t <= 0`: the magic-number addition, then a polynomial of degree 6 (c0..c6 at `table[2..]`).
#[inline(always)]
fn exp2(t: v128, table: &[v128; 9]) -> v128 {
    let [lowest, magic, coefficients @ ..] = table;
    let z = f32x4_add(t, *magic);
    let f = f32x4_sub(t, f32x4_sub(z, *magic));
    let mut p = coefficients[6];
    for c in coefficients[..6].iter().rev() {
        p = f32x4_add(f32x4_mul(p, f), *c);
    }
    v128_and(i32x4_add(p, i32x4_shl(z, 23)), f32x4_ge(t, *lowest))
}

/// `exp2` of `count` (a multiple of 16) values at `from`, four vectors at a time, added up as a softmax does. The
/// nine constants are vectors at `table`: lowest argument, magic number, coefficients.
///
/// # Safety
/// As the module says, for `count` floats at `from` and nine vectors at `table`.
#[no_mangle]
pub unsafe extern "C" fn exp2_sum(from: *const f32, count: u32, table: *const v128) -> f32 {
    // SAFETY: nine vectors at `table`, by contract.
    let table: [v128; 9] = core::array::from_fn(|i| unsafe { v128_load(table.add(i)) });
    let mut sums = [f32x4_splat(0.0); 4];
    let mut at = 0;
    while at < count as usize {
        // SAFETY: at + 16 <= count, by contract.
        let t: [v128; 4] = core::array::from_fn(|i| unsafe { v128_load(from.add(at + i * 4).cast()) });
        let p = t.map(|t| exp2(t, &table));
        for (sum, p) in sums.iter_mut().zip(p) {
            *sum = f32x4_add(*sum, p);
        }
        at += 16;
    }
    let total = sums.into_iter().fold(f32x4_splat(0.0), |a, b| f32x4_add(a, b));
    f32x4_extract_lane::<0>(total)
        + f32x4_extract_lane::<1>(total)
        + f32x4_extract_lane::<2>(total)
        + f32x4_extract_lane::<3>(total)
}
