//! Inverse frequencies of rotary positions and their scalings to longer sequences.
//!
//! `f_i = base^(-2i / dim)`, dim the rotated columns, i from 0 to dim / 2 - 1; the angle of position p is `p * f_i`. All steps f64, in the
//! order written here, `power` and `ln` those of `kernel::power`:
//! - linear (Chen et al. 2023, "Extending context window"): `f_i / factor`.
//! - NTK-aware (bloc97 2023, by Peng et al. 2023): the base becomes `base * power(factor, dim / (dim - 2))`.
//! - dynamic NTK (emozilla 2023, by Peng et al. 2023): the same with `factor * L / max - (factor - 1)` for a sequence of L > max.
//! - YaRN (Peng et al. 2023): `c(n) = dim * ln(max / (n * 2 pi)) / (2 * ln(base))` is the pair that turns n times over the trained length;
//!   `low = max(c(beta_fast), 0)`, `high = min(c(beta_slow), dim - 1)`, rounded down and up first where `truncate`; where equal
//!   `high + 0.001`; `k = 1 - clamp((i - low) / (high - low), 0, 1)`; `(f_i / factor) * (1 - k) + f_i * k`. Cosine and sine are multiplied by
//!   the attention factor, `m(1)`, or `m(mscale) / m(mscale_all_dim)`, with `m(s) = 0.1 * s * ln(factor) + 1`, 1 for a factor up to 1.
//! - llama3 (Grattafiori et al. 2024): with the wave length `w = 2 pi / f_i`: `f_i` for `w < max / high`, `f_i / factor` for `w > max / low`, else,
//!   with `s = (max / w - low) / (high - low)`, `(1 - s) * (f_i / factor) + s * f_i`.
//! - LongRoPE (Ding et al. 2024): `f_i / factors_i`, the long factors for a sequence longer than max, else the short ones; attention factor
//!   `square_root(1 + ln(factor) / ln(max))`, 1 for a factor up to 1.

use crate::error::{Error, Field, Reason};
use crate::kernel::power::{ln, power, square_root};
use crate::kernel::sin_cos::{sin_cos_f32, LARGEST_ANGLE};
use crate::kernel::CANONICAL_NAN;
use core::f64::consts::TAU;

/// How frequencies are changed for sequences longer than those of training.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub enum Scaling<'a> {
    /// Not at all.
    #[default]
    None,
    Linear {
        factor: f64,
    },
    Ntk {
        factor: f64,
    },
    DynamicNtk {
        factor: f64,
        max_position: f64,
    },
    Yarn {
        factor: f64,
        max_position: f64,
        beta_fast: f64,
        beta_slow: f64,
        truncate: bool,
        /// The last two count where `attention` is `None` and neither is 0.
        attention: Option<f64>,
        mscale: f64,
        mscale_all_dim: f64,
    },
    Llama3 {
        factor: f64,
        max_position: f64,
        low: f64,
        high: f64,
    },
    LongRope {
        factor: f64,
        max_position: f64,
        /// One for each pair of a short sequence, then of a long one.
        factors: &'a [f32],
        attention: Option<f64>,
    },
}

/// What rotary positions are made from.
#[derive(Clone, Copy, Debug)]
pub struct RopeParameters<'a> {
    /// Columns that are rotated: an even number from 2 up.
    pub rotary_dim: usize,
    /// From 1 up.
    pub base: f64,
    /// For longer sequences.
    pub scaling: Scaling<'a>,
}

/// Frequencies that are settled: parameters and the length of the sequence.
#[derive(Clone, Copy, Debug)]
pub struct Frequencies<'a> {
    rotary_dim: usize,
    base: f64,
    rule: Rule<'a>,
    attention: f64,
}

#[derive(Clone, Copy, Debug)]
enum Rule<'a> {
    Divided(f64),
    Ramp { factor: f64, low: f64, high: f64 },
    Waves { factor: f64, max_position: f64, low: f64, high: f64 },
    Each(&'a [f32]),
}

impl<'a> RopeParameters<'a> {
    /// Refuses what gives no frequencies.
    pub fn check(&self) -> Result<(), Error> {
        let at_least_one = |x: f64| (1.0..f64::INFINITY).contains(&x);
        let positive = |x: f64| x > 0.0 && x < f64::INFINITY;
        let given = |x: Option<f64>| x.is_none_or(positive);
        let valid = match self.scaling {
            Scaling::None => true,
            Scaling::Linear { factor } => at_least_one(factor),
            Scaling::Ntk { factor } => at_least_one(factor) && self.rotary_dim > 2,
            Scaling::DynamicNtk { factor, max_position } => {
                at_least_one(factor) && positive(max_position) && self.rotary_dim > 2
            }
            Scaling::Yarn { factor, max_position, beta_fast, beta_slow, attention, mscale, mscale_all_dim, .. } => {
                let scales = [mscale, mscale_all_dim].iter().all(|x| (0.0..f64::INFINITY).contains(x));
                let positives = [max_position, beta_fast, beta_slow].iter().all(|x| positive(*x));
                at_least_one(factor) && positives && given(attention) && scales && self.base > 1.0
            }
            Scaling::Llama3 { factor, max_position, low, high } => {
                at_least_one(factor) && positive(max_position) && positive(low) && high > low && positive(high)
            }
            Scaling::LongRope { factor, max_position, factors, attention } => {
                let all = factors.len() == self.rotary_dim && factors.iter().all(|x| positive(f64::from(*x)));
                at_least_one(factor) && max_position > 1.0 && positive(max_position) && all && given(attention)
            }
        };
        if valid && at_least_one(self.base) && self.rotary_dim >= 2 && self.rotary_dim.is_multiple_of(2) {
            Ok(())
        } else {
            Err(Error::new(Reason::Value, Field::Call))
        }
    }

    /// The frequencies of a sequence with positions below `length`, of parameters that were checked.
    pub fn frequencies(&self, length: f64) -> Frequencies<'a> {
        let dim = self.rotary_dim as f64;
        let mut settled =
            Frequencies { rotary_dim: self.rotary_dim, base: self.base, rule: Rule::Divided(1.0), attention: 1.0 };
        match self.scaling {
            Scaling::None => {}
            Scaling::Linear { factor } => settled.rule = Rule::Divided(factor),
            Scaling::Ntk { factor } => settled.base = self.base * power(factor, dim / (dim - 2.0)),
            Scaling::DynamicNtk { factor, max_position } => {
                if length > max_position {
                    let grown = factor * length / max_position - (factor - 1.0);
                    settled.base = self.base * power(grown, dim / (dim - 2.0));
                }
            }
            Scaling::Yarn {
                factor,
                max_position,
                beta_fast,
                beta_slow,
                truncate,
                attention,
                mscale,
                mscale_all_dim,
            } => {
                let pair = |turns: f64| dim * ln(max_position / (turns * TAU)) / (2.0 * ln(self.base));
                let (mut low, mut high) = (pair(beta_fast), pair(beta_slow));
                if truncate {
                    (low, high) = (floor(low), -floor(-high));
                }
                (low, high) = (low.max(0.0), high.min(dim - 1.0));
                if low == high {
                    high += 0.001;
                }
                settled.rule = Rule::Ramp { factor, low, high };
                let scale = |s: f64| if factor > 1.0 { 0.1 * s * ln(factor) + 1.0 } else { 1.0 };
                settled.attention = match attention {
                    Some(attention) => attention,
                    None if mscale != 0.0 && mscale_all_dim != 0.0 => scale(mscale) / scale(mscale_all_dim),
                    None => scale(1.0),
                };
            }
            Scaling::Llama3 { factor, max_position, low, high } => {
                settled.rule = Rule::Waves { factor, max_position, low, high };
            }
            Scaling::LongRope { factor, max_position, factors, attention } => {
                let (short, long) = factors.split_at(self.rotary_dim / 2);
                settled.rule = Rule::Each(if length > max_position { long } else { short });
                let scale = if factor > 1.0 { square_root(1.0 + ln(factor) / ln(max_position)) } else { 1.0 };
                settled.attention = attention.unwrap_or(scale);
            }
        }
        settled
    }
}

impl Frequencies<'_> {
    /// Pairs of columns.
    pub fn pairs(&self) -> usize {
        self.rotary_dim / 2
    }

    /// What cosine and sine are multiplied by.
    pub fn attention_factor(&self) -> f64 {
        self.attention
    }

    /// The angle from one position to the next, of pair `i`.
    pub fn inverse(&self, i: usize) -> f64 {
        let f = power(self.base, -((2 * i) as f64 / self.rotary_dim as f64));
        match self.rule {
            Rule::Divided(factor) => f / factor,
            Rule::Each(factors) => f / f64::from(factors[i]),
            Rule::Ramp { factor, low, high } => {
                let k = 1.0 - ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                (f / factor) * (1.0 - k) + f * k
            }
            Rule::Waves { factor, max_position, low, high } => {
                let w = TAU / f;
                if w < max_position / high {
                    f
                } else if w > max_position / low {
                    f / factor
                } else {
                    let s = (max_position / w - low) / (high - low);
                    (1.0 - s) * (f / factor) + s * f
                }
            }
        }
    }

    /// Cosine and sine of an angle, times the attention factor, each rounded once; NaN past the largest angle.
    pub fn turn(&self, position: i64, inverse: f64) -> (f32, f32) {
        let angle = position as f64 * inverse;
        if !(-LARGEST_ANGLE..=LARGEST_ANGLE).contains(&angle) {
            return (CANONICAL_NAN, CANONICAL_NAN);
        }
        let (sine, cosine) = sin_cos_f32(angle, self.attention);
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
