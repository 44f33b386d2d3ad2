//! Logarithm, power of two and power in f64: what frequencies are made of.
//!
//! Order (all steps f64, none fused):
//! - `log2(x)`: `x = 2^e * g`, g in [1, 2), halved from the f64 nearest sqrt(2) on; `s = (g - 1) / (g + 1)`, `z = s * s`,
//!   `P = sum z^k / (2k + 1)` for k = 0..11 by Horner; `e + (2 * s * P) * LOG2E`.
//! - `exp2(y)`: the nearest integer n by adding and taking away 1.5 * 2^52, `t = (y - n) * LN2`, `sum t^k / k!` for k = 0..13 by
//!   Horner, times 2^n. Below -1022 it is +0, from 1024 on Infinity.
//! - `power(x, y) = exp2(y * log2(x))`; `ln(x) = log2(x) * LN2`; `square_root(x) = power(x, 1/2)`.
//!
//! Exact where x and the result are powers of two. Error, measured: log2 3 ulp of f64, exp2 1 ulp; `power(base, -y)` for y in
//! [0, 1] and a base up to 10^7 16 ulp (the exponent's rounding, times ln 2 of its size).

use core::f64::consts::{LN_2, LOG2_E, SQRT_2};

const MAGIC: f64 = 6_755_399_441_055_744.0;

/// `1 / k!`.
static EXPONENTIAL: [f64; 14] = {
    let (mut all, mut factorial, mut k) = ([1.0; 14], 1.0, 1);
    while k < 14 {
        factorial *= k as f64;
        all[k] = 1.0 / factorial;
        k += 1;
    }
    all
};

/// The base-2 logarithm of a normal, positive number.
#[inline(never)]
pub fn log2(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut e = f64::from((bits >> 52) as i32 - 1023);
    let mut g = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if g >= SQRT_2 {
        g *= 0.5;
        e += 1.0;
    }
    let s = (g - 1.0) / (g + 1.0);
    let z = s * s;
    let mut p = 1.0 / 23.0;
    for k in (0..11).rev() {
        p = p * z + 1.0 / f64::from(2 * k + 1);
    }
    e + (2.0 * s * p) * LOG2_E
}

/// `2^y`.
#[inline(never)]
pub fn exp2(y: f64) -> f64 {
    if y < -1022.0 {
        return 0.0;
    }
    if y >= 1024.0 {
        return f64::INFINITY;
    }
    let n = (y + MAGIC) - MAGIC;
    let t = (y - n) * LN_2;
    let mut p = EXPONENTIAL[13];
    for c in EXPONENTIAL[..13].iter().rev() {
        p = p * t + c;
    }
    // In two halves, since 2^1024 is no number while p * 2^1024 with p < 1 is one.
    let half = n as i64 >> 1;
    let scale = |n: i64| f64::from_bits(((n + 1023) as u64) << 52);
    p * scale(half) * scale(n as i64 - half)
}

/// `x^y` for a normal, positive x.
pub fn power(x: f64, y: f64) -> f64 {
    exp2(y * log2(x))
}

/// The natural logarithm of a normal, positive number.
pub fn ln(x: f64) -> f64 {
    log2(x) * LN_2
}

/// The square root of a normal, positive number, to a few ulp of f64; exact for powers of four.
pub fn square_root(x: f64) -> f64 {
    power(x, 0.5)
}
