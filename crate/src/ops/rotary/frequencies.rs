//! Inverse frequencies of rotary positions and their scalings to longer sequences.
//!
//! `f_i = base^(-2i / dim)`, dim the rotated columns, i from 0 to dim / 2 - 1; the angle of position p is `p * f_i`. All steps f64, in the
//! order written here, `power` and `ln` those of `kernel::power`:
//! - linear (Chen et al. 2023): `f_i / factor`.
//! - NTK-aware (bloc97 2023, by Peng et al. 2023): the base becomes `base * power(factor, dim / (dim - 2))`.
//! - dynamic NTK (emozilla 2023, by Peng et al. 2023): the same with `factor * L / max - (factor - 1)` for a sequence of L > max.
//! - YaRN (Peng et al. 2023): `c(n) = dim * ln(max / (n * 2 pi)) / (2 * ln(base))` is the pair that turns n times over the trained length;
//!   `low = max(c(beta_fast), 0)`, `high = min(c(beta_slow), dim - 1)`, rounded down and up first where `truncate`; where equal
//!   `high + 0.001`; `k = 1 - clamp((i - low) / (high - low), 0, 1)`; `(f_i / factor) * (1 - k) + f_i * k`. Cosine and sine are multiplied by
//!   the attention factor, `m(1) / m(0)`, or `m(mscale) / m(mscale_all_dim)`, with `m(s) = 0.1 * s * ln(factor) + 1`; 1 for a factor of 1.
//! - llama3 (Grattafiori et al. 2024): the same with `k = clamp((max / (2 pi / f_i) - low) / (high - low), 0, 1)`: short waves are kept, long
//!   ones divided.
//! - LongRoPE (Ding et al. 2024): `f_i / factors_i`, the long factors for a sequence longer than max, else the short ones; attention factor
//!   `square_root(1 + ln(factor) / ln(max))`, 1 for a factor of 1.

use crate::error::{Error, Field, Reason};
use crate::kernel::power::{ln, power, square_root};
use crate::kernel::sin_cos::{sin_cos_f32, LARGEST_ANGLE};
use crate::kernel::CANONICAL_NAN;
use core::f64::consts::TAU;

/// How frequencies are changed for sequences longer than those of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaling {
    /// Not at all.
    #[default]
    None,
    /// All alike.
    Linear,
    /// By a larger base.
    Ntk,
    /// By a base that grows with the sequence.
    DynamicNtk,
    /// Slow pairs alone, with a ramp between.
    Yarn,
    /// Slow pairs alone, by their wave length.
    Llama3,
    /// Each pair by a number of its own.
    LongRope,
}

impl Scaling {
    /// By its number.
    pub fn from_number(number: usize) -> Result<Self, Error> {
        let all = [Self::None, Self::Linear, Self::Ntk, Self::DynamicNtk, Self::Yarn, Self::Llama3, Self::LongRope];
        all.get(number).copied().ok_or(Error::new(Reason::Kind, Field::Call))
    }
}

/// What rotary positions are made from. What a scaling does not use is as in the default.
#[derive(Clone, Copy, Debug)]
pub struct RopeParameters<'a> {
    /// Columns that are rotated: an even number from 2 up.
    pub rotary_dim: usize,
    /// From 1 up.
    pub base: f64,
    /// For longer sequences.
    pub scaling: Scaling,
    /// From 1 up.
    pub factor: f64,
    /// The length of training.
    pub max_position: f64,
    /// YaRN's beta_fast and beta_slow; llama3's low and high.
    pub limits: [f64; 2],
    /// The attention factor of YaRN and LongRoPE; 0: its own.
    pub attention: f64,
    /// YaRN's mscale and mscale_all_dim, which count where neither is 0.
    pub mscale: [f64; 2],
    /// YaRN's limits are rounded to whole pairs.
    pub truncate: bool,
    /// LongRoPE's, one for each pair of a short sequence, then of a long one.
    pub factors: &'a [f32],
}

impl Default for RopeParameters<'_> {
    fn default() -> Self {
        Self {
            rotary_dim: 2,
            base: 10_000.0,
            scaling: Scaling::None,
            factor: 1.0,
            max_position: 1.0,
            limits: [1.0; 2],
            attention: 0.0,
            mscale: [0.0; 2],
            truncate: true,
            factors: &[],
        }
    }
}

/// Frequencies that are settled: parameters and the length of the sequence.
#[derive(Clone, Copy, Debug)]
pub struct Frequencies<'a>(RopeParameters<'a>);

impl<'a> RopeParameters<'a> {
    /// Refuses what gives no frequencies.
    pub fn check(&self) -> Result<(), Error> {
        let [a, b] = self.limits;
        let at_least_one = [self.base, self.factor, self.max_position].iter().all(|x| *x >= 1.0);
        let not_negative = [self.attention, self.mscale[0], self.mscale[1]].iter().all(|x| *x >= 0.0);
        let own = match self.scaling {
            Scaling::Ntk | Scaling::DynamicNtk => self.rotary_dim > 2,
            Scaling::Yarn => self.base > 1.0,
            Scaling::Llama3 => a < b,
            Scaling::LongRope => {
                let all = self.factors.len() == self.rotary_dim && self.factors.iter().all(|x| *x > 0.0);
                all && self.max_position > 1.0
            }
            _ => true,
        };
        let even = self.rotary_dim >= 2 && self.rotary_dim.is_multiple_of(2);
        if even && at_least_one && a > 0.0 && b > 0.0 && not_negative && own {
            Ok(())
        } else {
            Err(Error::new(Reason::Value, Field::Call))
        }
    }

    /// The frequencies of a sequence with positions below `length`, of parameters that were checked.
    #[inline(never)]
    pub fn frequencies(&self, length: f64) -> Frequencies<'a> {
        let mut parameters = *self;
        let mut attention = 1.0;
        let Self { base, factor, max_position, .. } = *self;
        let dim = self.rotary_dim as f64;
        match self.scaling {
            Scaling::Ntk | Scaling::DynamicNtk => {
                let mut grown = factor;
                if self.scaling == Scaling::DynamicNtk {
                    grown = factor * length.max(max_position) / max_position - (factor - 1.0);
                }
                parameters.base = base * power(grown, dim / (dim - 2.0));
            }
            Scaling::Yarn => {
                let [mut low, mut high] =
                    self.limits.map(|turns| dim * ln(max_position / (turns * TAU)) / (2.0 * ln(base)));
                if self.truncate {
                    (low, high) = (floor(low), -floor(-high));
                }
                (low, high) = (low.max(0.0), high.min(dim - 1.0));
                if low == high {
                    high += 0.001;
                }
                parameters.limits = [low, high];
                if factor > 1.0 {
                    let [one, all] = if self.mscale.contains(&0.0) { [1.0, 0.0] } else { self.mscale };
                    let scale = |s: f64| 0.1 * s * ln(factor) + 1.0;
                    attention = scale(one) / scale(all);
                }
            }
            Scaling::LongRope => {
                let (short, long) = self.factors.split_at(self.rotary_dim / 2);
                parameters.factors = if length > max_position { long } else { short };
                if factor > 1.0 {
                    attention = square_root(1.0 + ln(factor) / ln(max_position));
                }
            }
            _ => {}
        }
        if self.attention == 0.0 {
            parameters.attention = attention;
        }
        Frequencies(parameters)
    }
}

impl Frequencies<'_> {
    /// What cosine and sine are multiplied by.
    pub fn attention_factor(&self) -> f64 {
        self.0.attention
    }

    /// The angle from one position to the next, of pair `i`.
    #[inline(never)]
    pub fn inverse(&self, i: usize) -> f64 {
        let RopeParameters { rotary_dim, base, scaling, factor, max_position, limits, factors, .. } = self.0;
        let f = power(base, -((2 * i) as f64 / rotary_dim as f64));
        let [low, high] = limits;
        // How much of the unscaled frequency is kept.
        let kept = match scaling {
            Scaling::Linear => 0.0,
            Scaling::Yarn => 1.0 - ((i as f64 - low) / (high - low)).clamp(0.0, 1.0),
            Scaling::Llama3 => ((max_position / (TAU / f) - low) / (high - low)).clamp(0.0, 1.0),
            Scaling::LongRope => return f / f64::from(factors[i]),
            _ => 1.0,
        };
        (f / factor) * (1.0 - kept) + f * kept
    }

    /// Cosine and sine of an angle, times the attention factor, each rounded once; NaN past the largest angle.
    #[inline(never)]
    pub fn turn(&self, position: i64, inverse: f64) -> (f32, f32) {
        let angle = position as f64 * inverse;
        if !(-LARGEST_ANGLE..=LARGEST_ANGLE).contains(&angle) {
            return (CANONICAL_NAN, CANONICAL_NAN);
        }
        let (sine, cosine) = sin_cos_f32(angle, self.0.attention);
        (cosine, sine)
    }

    /// The cosines and sines of a position, one for each pair.
    pub fn row(&self, position: i64, cosines: &mut [f32], sines: &mut [f32]) {
        for (i, (cosine, sine)) in cosines.iter_mut().zip(sines).enumerate() {
            (*cosine, *sine) = self.turn(position, self.inverse(i));
        }
    }
}

/// The largest integer up to x, for |x| < 2^63.
fn floor(x: f64) -> f64 {
    let whole = x as i64 as f64;
    if whole > x {
        whole - 1.0
    } else {
        whole
    }
}
