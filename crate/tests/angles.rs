//! Sine, cosine, logarithm and power in f64 against std's, and what rounding to f32 makes of them.

use saccade::kernel::power::{exp2, ln, log2, power, square_root};
use saccade::kernel::sin_cos::{sin_cos, sin_cos_f32, LARGEST_ANGLE};

/// Numbers in [0, 1), the same ones in every run.
fn numbers(count: usize) -> impl Iterator<Item = f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    })
}

fn ulp(x: f64) -> f64 {
    let bits = x.abs().max(f64::MIN_POSITIVE).to_bits();
    f64::from_bits(bits + 1) - f64::from_bits(bits)
}

fn ulp_f32(x: f64) -> f64 {
    let x = x.abs().max(1e-37) as f32;
    f64::from(f32::from_bits(x.to_bits() + 1)) - f64::from(x)
}

#[test]
fn sine_and_cosine_are_within_their_bound() {
    let (mut worst, mut worst_f32, mut other, mut total) = (0f64, 0f64, 0usize, 0usize);
    let scales = [1e-9, 1e-3, 0.8, 7.0, 1e3, 1e5, 1e7, LARGEST_ANGLE];
    for (i, x) in numbers(400_000).enumerate() {
        let a = (2.0 * x - 1.0) * scales[i % scales.len()];
        let (sine, cosine) = sin_cos(a);
        let rounded = sin_cos_f32(a, 1.0);
        for (got, single, want) in [(sine, rounded.0, a.sin()), (cosine, rounded.1, a.cos())] {
            worst = worst.max((got - want).abs() / ulp(want));
            worst_f32 = worst_f32.max((f64::from(single) - want).abs() / ulp_f32(want));
            other += usize::from(single != want as f32);
            total += 1;
        }
    }
    println!("sin, cos: {worst:.3} ulp of f64, {worst_f32:.9} ulp of f32, {other} of {total} not the nearest f32");
    assert!(worst <= 2.5, "{worst} ulp");
    assert!(worst_f32 <= 0.500001, "{worst_f32} ulp");
    assert!(other <= 1);
}

#[test]
fn angles_next_to_multiples_of_a_quarter_turn() {
    let mut worst = 0f64;
    for n in (1..2_700_000_000u64).step_by(1_000_003).chain(1..1000) {
        let a = n as f64 * std::f64::consts::FRAC_PI_2;
        for a in [a, f64::from_bits(a.to_bits() + 1), f64::from_bits(a.to_bits() - 1)] {
            let (sine, cosine) = sin_cos(a);
            worst = worst.max((sine - a.sin()).abs() / ulp(a.sin())).max((cosine - a.cos()).abs() / ulp(a.cos()));
        }
    }
    println!("at quarter turns: {worst:.3} ulp of f64");
    assert!(worst <= 64.0, "{worst}");
}

#[test]
fn positions_times_frequencies() {
    for position in [0i64, 1, -1, 7, 4096, 131_071, -131_072, 1_048_576, i64::from(i32::MAX), i64::from(i32::MIN)] {
        for i in 0..64 {
            let a = position as f64 * power(10_000.0, -(i as f64) / 64.0);
            let (sine, cosine) = sin_cos_f32(a, 1.0);
            assert_eq!(sine, a.sin() as f32, "{position} {i}");
            assert_eq!(cosine, a.cos() as f32, "{position} {i}");
        }
    }
    assert_eq!(sin_cos(0.0), (0.0, 1.0));
}

#[test]
fn logarithms_and_powers() {
    let (mut worst_log, mut worst_exp, mut worst_power) = (0f64, 0f64, 0f64);
    for x in numbers(200_000) {
        let y = 2048.0 * x - 1022.0;
        worst_exp = worst_exp.max((exp2(y.min(1023.9)) - y.min(1023.9).exp2()).abs() / ulp(y.min(1023.9).exp2()));
        let number = (x * 60.0 - 30.0).exp2();
        worst_log = worst_log.max((log2(number) - number.log2()).abs() / ulp(number.log2()).max(ulp(0.01)));
        for base in [100.0, 10_000.0, 500_000.0, 1e6, 1e7] {
            worst_power = worst_power.max((power(base, -x) - base.powf(-x)).abs() / ulp(base.powf(-x)));
        }
    }
    println!("log2 {worst_log:.3}, exp2 {worst_exp:.3}, power {worst_power:.3} ulp of f64");
    assert!(worst_log <= 3.5 && worst_exp <= 1.5 && worst_power <= 18.0);
    for k in -1000..1000 {
        assert_eq!(exp2(f64::from(k)), 2f64.powi(k));
        assert_eq!(log2(2f64.powi(k)), f64::from(k));
    }
    assert_eq!(exp2(-1023.0), 0.0);
    assert_eq!(exp2(1024.0), f64::INFINITY);
    assert_eq!(ln(1.0), 0.0);
    for n in 1..5000u32 {
        assert_eq!(square_root(f64::from(n)) as f32, f64::from(n).sqrt() as f32);
    }
}
