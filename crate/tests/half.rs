//! Half-precision conversions, every f16 and the edges of rounding.

use saccade::kernel::convert::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// The value of f16 bits, by the definition.
fn f16(h: u16) -> f64 {
    let sign = if h >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(h >> 10 & 31), f64::from(h & 1023));
    sign * match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    }
}

#[test]
fn every_f16_is_exact_and_comes_back() {
    for h in 0..=u16::MAX {
        let x = f16_to_f32(h);
        if f16(h).is_nan() {
            assert!(x.is_nan());
            assert_eq!(f32_to_f16(x) & 0x7fff, 0x7e00);
            continue;
        }
        assert_eq!(f64::from(x).to_bits(), f16(h).to_bits(), "{h:04x}");
        assert_eq!(f32_to_f16(x), h);
        assert_eq!(f32_to_bf16(bf16_to_f32(h)), if bf16_to_f32(h).is_nan() { 0x7fc0 } else { h });
    }
}

#[test]
fn f32_to_f16_is_the_nearest_even() {
    for h in 0..0x7bffu16 {
        // Between h and its successor: just below, at and just above the middle.
        let (low, high) = (f16(h), f16(h + 1));
        let middle = ((low + high) / 2.0) as f32;
        let even = if h % 2 == 0 { h } else { h + 1 };
        assert_eq!(f32_to_f16(middle), even, "{h:04x}");
        assert_eq!(f32_to_f16(f32::from_bits(middle.to_bits() - 1)), h);
        assert_eq!(f32_to_f16(f32::from_bits(middle.to_bits() + 1)), h + 1);
        assert_eq!(f32_to_f16(-middle), even | 0x8000);
    }
    assert_eq!(f32_to_f16(65_519.996), 0x7bff);
    assert_eq!(f32_to_f16(65_520.0), 0x7c00);
    assert_eq!(f32_to_f16(f32::MAX), 0x7c00);
    assert_eq!(f32_to_f16(f32::NEG_INFINITY), 0xfc00);
    assert_eq!(f32_to_f16(f32::from_bits(1)), 0);
}

#[test]
fn f32_to_bf16_is_the_nearest_even() {
    for bits in (0..0x7f80_0000u32).step_by(40_961) {
        let x = f32::from_bits(bits);
        let (low, rest) = ((bits >> 16) as u16, bits & 0xffff);
        let want = match rest.cmp(&0x8000) {
            std::cmp::Ordering::Less => low,
            std::cmp::Ordering::Greater => low + 1,
            std::cmp::Ordering::Equal => low + (low & 1),
        };
        assert_eq!(f32_to_bf16(x), want);
    }
    assert_eq!(f32_to_bf16(f32::MAX), 0x7f80);
    assert_eq!(f32_to_bf16(f32::from_bits(0xff80_0001)), 0x7fc0);
}
