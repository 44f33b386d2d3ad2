//! exp2, tanh and the logarithms against f64: a dense sample always, every f32 of the domain when SACCADE_LONG is set.

use saccade::kernel::{
    exp::exp2,
    ln::{ln, log_sum_exp},
    portable::F32x4,
    tanh::tanh,
    Lanes,
};

/// A step that is odd and no power of two, so that all mantissas, exponents and lanes are met.
fn step() -> usize {
    if std::env::var("SACCADE_LONG").is_ok_and(|x| x == "1") {
        1
    } else {
        1009
    }
}

/// The largest error in units in the last place of the exact result, over the bit patterns given.
fn largest_error(bits: std::ops::RangeInclusive<u32>, f: fn(F32x4) -> F32x4, exact: fn(f64) -> f64) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    for bits in bits.step_by(step()) {
        let x = f32::from_bits(bits);
        let got = f64::from(f(F32x4::splat(x)).to_array()[3]);
        let want = exact(f64::from(x));
        let ulp = 2f64.powi(want.abs().log2().floor().max(-126.0) as i32 - 23);
        let error = (got - want).abs() / ulp;
        if error > worst.0 {
            worst = (error, x);
        }
    }
    worst
}

#[test]
fn exp2_is_within_its_bound() {
    let (error, at) = largest_error(0x8000_0000..=(-126f32).to_bits(), exp2, f64::exp2);
    println!("exp2: {error:.4} ulp at {at:e}");
    assert!(error <= 1.29153, "{error} ulp at {at:e}");
}

#[test]
fn tanh_is_within_its_bound() {
    let (error, at) = largest_error(0..=f32::MAX.to_bits(), tanh, f64::tanh);
    println!("tanh: {error:.4} ulp at {at:e}");
    assert!(error <= 1.93, "{error} ulp at {at:e}");
}

#[test]
fn tanh_is_odd() {
    for bits in (0..=0x7f80_0000u32).step_by(step() * 7) {
        let x = f32::from_bits(bits);
        let [plus, minus] = [x, -x].map(|x| tanh(F32x4::splat(x)).to_array()[0].to_bits());
        assert_eq!(plus | 0x8000_0000, minus);
    }
}

#[test]
fn ends_and_seams() {
    let exp2 = |x: f32| exp2(F32x4::splat(x)).to_array()[1];
    assert_eq!(exp2(0.0).to_bits(), 1f32.to_bits());
    assert_eq!(exp2(-0.0).to_bits(), 1f32.to_bits());
    assert_eq!(exp2(-126.0), f32::MIN_POSITIVE);
    assert_eq!(exp2(f32::from_bits((-126f32).to_bits() + 1)).to_bits(), 0);
    assert_eq!(exp2(-1e38).to_bits(), 0);
    assert_eq!(exp2(f32::NEG_INFINITY).to_bits(), 0);
    for nan in [0x7fc0_0000, 0x7f80_0001, 0xffff_ffff, 0x7fc0_01ff] {
        assert!(exp2(f32::from_bits(nan)).is_nan());
        assert!(tanh(F32x4::splat(f32::from_bits(nan))).to_array()[0].is_nan());
    }
    for k in 0..=126 {
        assert_eq!(f64::from(exp2(-(k as f32))), 2f64.powi(-k));
    }
    let tanh = |x: f32| tanh(F32x4::splat(x)).to_array()[2];
    assert_eq!(tanh(f32::INFINITY), 1.0);
    assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
    assert_eq!(tanh(-0.0).to_bits(), (-0f32).to_bits());
    assert_eq!(tanh(1e-40), 1e-40);
}

#[test]
fn log_sum_exp_is_the_nearest_or_its_neighbour() {
    let mut worst: f64 = 0.0;
    for l_bits in (1f32.to_bits()..=65_536f32.to_bits()).step_by(step() * 97) {
        let l = f32::from_bits(l_bits);
        for m in [-1000.25f32, -3.5, -0.0, 0.1, 77.0, 3e5] {
            let exact = f64::from(m) * std::f64::consts::LN_2 + f64::from(l).ln();
            let got = log_sum_exp(m, l);
            let nearest = exact as f32;
            assert!((i64::from(got.to_bits()) - i64::from(nearest.to_bits())).abs() <= 1, "m {m} l {l}");
            worst = worst.max((f64::from(got) - exact).abs() / exact.abs().max(1e-30));
        }
    }
    assert!(worst < 1e-7);
}

/// The exponential that additive scores are made of: relative error, from -15 to 15, in units of 2^-24.
#[test]
fn exp_of_twice_is_within_its_bound() {
    let exp2 = saccade::kernel::exp::Exp2::<F32x4>::new();
    let mut worst: f64 = 0.0;
    for bits in (0..=15f32.to_bits()).step_by(step() * 7 + 1) {
        for sign in [0, 0x8000_0000] {
            let x = f32::from_bits(bits | sign);
            let got = f64::from(exp2.of_twice(F32x4::splat(x)).to_array()[1]);
            worst = worst.max((got / (2.0 * f64::from(x)).exp() - 1.0).abs());
        }
    }
    let units = worst * f64::from(1 << 24);
    println!("relative error: {units:.3} * 2^-24");
    assert!(units < 2.1);
}

#[test]
fn portable_square_roots_are_those_of_std() {
    use saccade::kernel::portable::sqrt;
    for bits in (0..=f32::INFINITY.to_bits()).step_by(step() * 3 + 1) {
        let x = f32::from_bits(bits);
        assert_eq!(sqrt(x).to_bits(), x.sqrt().to_bits(), "{x:e}");
    }
    for n in 1..=4096u32 {
        let x = (n * n) as f32;
        for x in [x, f32::from_bits(x.to_bits() + 1), f32::from_bits(x.to_bits() - 1), x * 1e-40] {
            assert_eq!(sqrt(x).to_bits(), x.sqrt().to_bits(), "{x:e}");
        }
    }
    assert_eq!(sqrt(-0.0).to_bits(), (-0f32).to_bits());
    assert!(sqrt(-1.0).is_nan() && sqrt(f32::NAN).is_nan());
    assert_eq!(sqrt(f32::INFINITY), f32::INFINITY);
}

#[test]
fn ln_of_every_f32_is_the_nearest_or_its_neighbour() {
    let (mut away, mut count, mut worst) = (0u32, 0u32, 0f64);
    for bits in (f32::MIN_POSITIVE.to_bits()..=f32::MAX.to_bits()).step_by(step()) {
        let x = f64::from(f32::from_bits(bits));
        let (got, want) = (ln(x), x.ln());
        let ulp = 2f64.powi(want.abs().log2().floor().max(-1022.0) as i32 - 52);
        if want != 0.0 {
            worst = worst.max((got - want).abs() / ulp);
        }
        let [rounded, nearest] = [got, want].map(|y| i64::from((y as f32).to_bits()));
        assert!((rounded - nearest).abs() <= 1, "ln {x:e}");
        away += u32::from(rounded != nearest);
        count += 1;
    }
    println!("ln: {worst:.3} ulp of f64; as f32 {away} of {count} are not std's");
    assert!(worst <= 7.5);
    assert!(away <= 2);
}

#[test]
fn ln_of_f64_keeps_its_digits_near_one() {
    let mut worst = 0f64;
    for i in 0..200_000u32 {
        // Near 1 from both sides, at every distance down to the last digit; and all over the open interval.
        let distance = 2f64.powf(-f64::from(i % 53)) * (0.5 + f64::from(i) / 400_001.0);
        for x in [1.0 - distance / 2.0, 1.0 + distance, (f64::from(i) + 0.5) / 200_000.0, f64::from(i) * 1e30 + 1e-30] {
            let want = x.ln();
            let ulp = 2f64.powi(want.abs().log2().floor().max(-1022.0) as i32 - 52);
            if want != 0.0 {
                worst = worst.max((ln(x) - want).abs() / ulp);
            }
        }
    }
    println!("ln near 1: {worst:.3} ulp of f64");
    assert!(worst <= 7.5);
}

#[test]
fn ends_of_ln() {
    assert_eq!(ln(1.0).to_bits(), 0);
    assert_eq!(ln(0.0), f64::NEG_INFINITY);
    assert_eq!(ln(-0.0), f64::NEG_INFINITY);
    assert_eq!(ln(f64::INFINITY), f64::INFINITY);
    assert!((ln(f64::from(f32::from_bits(1))) + 103.278_929_903_431_85).abs() < 1e-12);
    for x in [-1.0, -f64::INFINITY, f64::NAN] {
        assert!(ln(x).is_nan());
    }
}
