//! Scores of kernels of the distance: `ln K(d / width)` with `d = |q - k|`, so that the weights of the sum normaliser are `K / sum K`.
//!
//! - gaussian: `K = exp(-(d / w)^2 / 2)`; `s = d2 * f32(-0.5 / w^2)`.
//! - boxcar: K = 1 for d < w; s = 0.
//! - triangular: `K = 1 - d / w`; epanechnikov: `K = 1 - (d / w)^2` (its factor 3/4 cancels); `s = ln K` of `ops::NUMERICS` where K > 0.
//!
//! Order: `d2` adds `(q - k)^2` in segments of 64 like the matrix product; `d = sqrt(d2)`; `x = d / f32(w)`. Where K is not above 0
//! the key is hidden. In one dimension d is |q - k| itself: the root of a rounded square is exact (where it neither overflows nor
//! is subnormal), so no key lies on the wrong side of an edge.
//!
//! Error of d2: `u (min(features, 64) + segments + 3) d2`, u = 2^-24; of s, that times its derivative.
//!
//! Source: Nadaraya 1964, Watson 1964; Epanechnikov 1969.

use super::lanes::fold;
use crate::error::{Error, Field, Reason};
use crate::kernel::ln::log_sum_exp;
use crate::kernel::{Lanes, Native, CANONICAL_NAN, NR};

/// A kernel of the distance with its width.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    /// With `f32(-0.5 / w^2)`.
    Gaussian(f32),
    /// Uniform within the width.
    Boxcar(f32),
    /// Falling in a straight line.
    Triangular(f32),
    /// Falling in a parabola.
    Epanechnikov(f32),
}

impl Kernel {
    /// By its number, 0 to 3.
    pub fn new(number: usize, width: f64) -> Result<Self, Error> {
        let wrong = Error::new(Reason::Value, Field::Scale);
        let factor = (-0.5 / (width * width)) as f32;
        let narrow = width as f32;
        if !(width > 0.0 && factor.is_normal() && narrow.is_normal()) {
            return Err(wrong);
        }
        match number {
            0 => Ok(Self::Gaussian(factor)),
            1 => Ok(Self::Boxcar(narrow)),
            2 => Ok(Self::Triangular(narrow)),
            3 => Ok(Self::Epanechnikov(narrow)),
            _ => Err(wrong),
        }
    }

    /// Scores of a row against a panel of eight keys.
    #[inline(never)]
    pub fn score(&self, row: &[f32], panel: &[f32], out: &mut [f32; NR]) {
        fold::<Native>(row, row, panel, out, |a, _, b, sum| {
            let d = a.sub(b);
            d.mul_add(d, sum)
        });
        if let Self::Gaussian(factor) = *self {
            return out.iter_mut().for_each(|s| *s *= factor);
        }
        let (halves, _) = out.as_chunks_mut::<4>();
        halves.iter_mut().for_each(|half| Native::load(half).sqrt().store(half));
        out.iter_mut().for_each(|s| *s = self.logarithm(*s));
    }

    #[inline(never)]
    fn logarithm(&self, distance: f32) -> f32 {
        let kernel = match *self {
            Self::Gaussian(_) => return CANONICAL_NAN,
            Self::Boxcar(width) if distance < width => 1.0,
            Self::Boxcar(_) => distance * 0.0,
            Self::Triangular(width) => 1.0 - distance / width,
            Self::Epanechnikov(width) => {
                let x = distance / width;
                1.0 - x * x
            }
        };
        if kernel > 0.0 {
            // A K above 0 is at least 2^-24: normal, as the logarithm asks.
            log_sum_exp(0.0, kernel)
        } else if kernel.is_nan() && distance.is_nan() {
            CANONICAL_NAN
        } else {
            f32::NEG_INFINITY
        }
    }
}
