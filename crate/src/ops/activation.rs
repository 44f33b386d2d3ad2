//! Activations: what a layer applies to each element.
//!
//! - relu: `x > 0 ? x : +0` (NaN stays NaN).
//! - tanh: that of `kernel::tanh`.
//! - sigmoid: with `e = exp2(-|x| * f32(log2 e))`, `x < 0 ? e / (1 + e) : 1 / (1 + e)`. No overflow at either end.
//! - silu: `x * sigmoid(x)` (Elfwing, Uchibe and Doya 2018; Ramachandran, Zoph and Le 2017).

use crate::error::{Error, Field, Reason};
use crate::kernel::{exp::exp2, tanh::tanh, Lanes, Native};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x.
    Identity,
    /// max(x, 0).
    Relu,
    /// tanh x.
    Tanh,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// x / (1 + exp(-x)).
    Silu,
}

impl Activation {
    /// By its number.
    pub fn from_number(number: usize) -> Result<Self, Error> {
        let all = [Self::Identity, Self::Relu, Self::Tanh, Self::Sigmoid, Self::Silu];
        all.get(number).copied().ok_or(Error::new(Reason::Kind, Field::Call))
    }

    /// The activation of four numbers. A function of its own: beside its exponentials a call costs little.
    #[inline(never)]
    pub fn apply<L: Lanes>(self, x: L) -> L {
        match self {
            Self::Identity => x,
            Self::Relu => x.zero_where(x.less(L::splat(0.0))),
            Self::Tanh => tanh(x),
            Self::Sigmoid => sigmoid(x),
            Self::Silu => x.mul(sigmoid(x)),
        }
    }

    /// The activation of many numbers, in place: out of line, for callers that have no loop of their own to put it in.
    #[inline(never)]
    pub fn apply_to(self, numbers: &mut [[f32; 4]]) {
        for four in numbers {
            self.apply(Native::load(four)).store(four);
        }
    }
}

/// `1 / (1 + exp(-x))`; NaN gives NaN.
#[inline(always)]
pub fn sigmoid<L: Lanes>(x: L) -> L {
    let e = exp2(x.abs().mul(L::splat(-core::f32::consts::LOG2_E)));
    let one = L::splat(1.0);
    let numerator = L::select(x.less(L::splat(0.0)), e, one);
    numerator.div(one.add(e))
}
