//! Softmax of four rows at a time, whose maxima and sums are the lanes of a vector.
//!
//! Rows lie in one of two forms: one behind the other, so that a vector holds four elements of a row, or side by side, so that a vector holds
//! one element of four rows. Their bits are the same: the four sums of a block are the lanes of one vector in the first form,
//! and four vectors in the second. Exponentials of different vectors do not wait for each other, which is what their speed needs.

use super::{exp::Exp2, Lanes, Native};
use crate::ops::sum::{TreeSum, BLOCK};

/// Rows that are worked on together.
pub const LANES: usize = 4;
const LN2: f64 = core::f64::consts::LN_2;

/// `t = x * factor`, and the largest |t| so far; a NaN never is.
#[inline(always)]
pub fn scaled(x: &[f32; 4], factor: Native, largest: &mut Native) -> Native {
    let t = Native::load(x).mul(factor);
    *largest = largest.larger(t.abs());
    t
}

/// As [`scaled`], where some t is infinite: finite where x is.
#[inline(always)]
pub fn scaled_finite(x: &[f32; 4], factor: Native) -> Native {
    let (infinity, most) = (Native::splat(f32::INFINITY), Native::splat(f32::MAX));
    let x = Native::load(x);
    let t = x.mul(factor);
    let magnitude = t.abs();
    let finite = Native::select(magnitude.less(infinity), magnitude, most).copy_sign(t);
    Native::select(x.abs().less(infinity), finite, t)
}

/// The largest score in every lane, NaN left out; -Infinity for none.
#[inline(never)]
pub fn largest(scores: &[[f32; 4]]) -> Native {
    let none = Native::splat(f32::NEG_INFINITY);
    let mut m = [none; 4];
    let (fours, rest) = scores.as_chunks::<4>();
    for four in fours {
        for (m, t) in m.iter_mut().zip(four) {
            // The accumulator goes first: a NaN score then never replaces it.
            *m = m.larger(Native::load(t));
        }
    }
    for t in rest {
        m[0] = m[0].larger(Native::load(t));
    }
    m[0].larger(m[1]).larger(m[2].larger(m[3]))
}

/// The sums of `exp2(t - m)` along up to four rows, each from a multiple of `pitch` on and `length` elements long (a multiple of 4).
/// `STORE` puts the exponentials in the place of the scores.
#[inline(never)]
pub fn sum_rows<const STORE: bool>(rows: &mut [f32], pitch: usize, length: usize, m: Native) -> Native {
    let exp2 = Exp2::<Native>::new();
    let m = m.to_array();
    let mut tree = TreeSum::new();
    for at in (0..length).step_by(BLOCK) {
        let end = length.min(at + BLOCK);
        let mut sums = [Native::splat(0.0); LANES];
        for ((row, m), sum) in rows.chunks_mut(pitch).zip(m).zip(&mut sums) {
            let m = Native::splat(m);
            let mut s = Native::splat(0.0);
            for t in row[at..end].as_chunks_mut::<4>().0 {
                let p = exp2.apply(Native::load(t).sub(m));
                if STORE {
                    p.store(t);
                }
                s = s.add(p);
            }
            *sum = s;
        }
        tree.push(block_of(Native::transpose(sums)));
    }
    tree.total()
}

/// As [`sum_rows`] along four rows side by side.
#[inline(never)]
pub fn sum_columns<const STORE: bool>(scores: &mut [[f32; 4]], m: Native) -> Native {
    let exp2 = Exp2::<Native>::new();
    let mut tree = TreeSum::new();
    for block in scores.chunks_mut(BLOCK) {
        let mut sums = [Native::splat(0.0); 4];
        for four in block.chunks_mut(4) {
            for (t, sum) in four.iter_mut().zip(&mut sums) {
                let p = exp2.apply(Native::load(t).sub(m));
                if STORE {
                    p.store(t);
                }
                *sum = sum.add(p);
            }
        }
        tree.push(block_of(sums));
    }
    tree.total()
}

#[inline(always)]
fn block_of([a, b, c, d]: [Native; 4]) -> Native {
    a.add(c).add(b.add(d))
}

/// What turns the exponentials or the scores of rows into their result, in every lane.
#[derive(Clone, Copy)]
pub enum Finish {
    /// `p / l`.
    Weights(Native),
    /// `(t - m) ln2 - ln l` in f64, rounded once.
    Logarithms([f64; 4], [f64; 4]),
}

impl Finish {
    /// Of row r alone, in all lanes.
    #[inline(always)]
    pub fn of_row(self, r: usize) -> Self {
        match self {
            Self::Weights(l) => Self::Weights(Native::splat(l.to_array()[r])),
            Self::Logarithms(m, ln_l) => Self::Logarithms([m[r]; 4], [ln_l[r]; 4]),
        }
    }

    /// Of a row.
    #[inline(always)]
    pub fn row(&self, from: &[[f32; 4]], to: &mut [[f32; 4]]) {
        match self {
            Self::Weights(l) => from.iter().zip(to).for_each(|(p, to)| Native::load(p).div(*l).store(to)),
            Self::Logarithms(..) => from.iter().zip(to).for_each(|(t, to)| self.apply(t).store(to)),
        }
    }

    /// Of one vector.
    #[inline(always)]
    pub fn apply(&self, x: &[f32; 4]) -> Native {
        match self {
            Self::Weights(l) => Native::load(x).div(*l),
            Self::Logarithms(m, ln_l) => Native::load(x).shifted_product(m, LN2, ln_l),
        }
    }
}
