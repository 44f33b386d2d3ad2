//! Additive attention: `s_ij = sum over h of v_h tanh(a_ih + b_jh)` (Bahdanau, Cho and Bengio 2014), a and b projected already.
//!
//! A tanh is an exponential and a division; `tanh(a + b) = 1 - 2 A / (A + B)` with `A = e^(-2a)`, `B = e^(2b)` needs exponentials of a and
//! of b only, once per query row and once per key, and two fractions on one denominator need one division:
//! `w / d + w' / d' = (w d' + w' d) / (d d')` with `w = v A`, `d = A + B`: seven additions and products and a division for two tanh.
//!
//! Order where every |a_ih| and every |b_jh| of the pair is below 15 and every |v_h| below 2^38: for features 2k and 2k + 1 (a missing
//! one has A = 1, B = 0, w = 0) `q = (w d' + (w' d)) / (d d')`; the q are added in segments of 32 pairs as a matrix product adds;
//! `s = V - 2 sum q` with V the sum of v (`ops::sum`). Otherwise `s` is that of `network` with tanh. The rule looks at one pair alone, so
//! a pair has the same bits in any company. Nothing overflows: d lies within 2^-43 and 2^45, `w d'` below 2^127.
//!
//! Error of a tanh, f = A / (A + B): A and B lie within 2 u of the exponentials (`kernel::exp`, u = 2^-24), which moves 2 f by at most
//! 4 u * 2 f (1 - f); the roundings of w, d, `d d'` and of the quotient move it by 4 u * 2 f: together at most 8 u = 4.8e-7, at f = 1.
//! (tanh of a rounded a + b errs by u |a + b| tanh' besides its own 2 u.)
//! Of s: `u (8 + 2 + 2 (min(features, 64) / 2 + segments) + 19 + log2(segments) + 1) sum |v|`.
//!
//! Loop: two query rows against eight keys; what the rows need of two features lies in one run of eight numbers, so that two
//! pointers move. Four sums, the keys' four vectors and a row's four numbers leave registers for the fractions in V8's fifteen.

use super::network::Network;
use crate::kernel::{exp::Exp2, Lanes, Native, NR};
use crate::ops::sum::sum;

/// Magnitude from which on a query row or a key takes the plain way.
const LIMIT: f32 = 15.0;
/// The same of v.
const WEIGHT_LIMIT: f32 = (1u64 << 38) as f32;
/// Pairs of features in a segment.
const SEGMENT: usize = 32;
/// Numbers of a pair of features for eight keys.
const KEY_STEP: usize = 2 * NR;
/// Numbers of a pair of features for two rows, and for one: A, A', w and w' of each.
const TWO_ROWS: usize = 8;
const ONE_ROW: usize = 4;

/// Additive scores.
#[derive(Clone, Copy)]
pub struct Additive<'a> {
    v: &'a [f32],
    plain: Network<'a>,
}

impl<'a> Additive<'a> {
    /// With the weights of the features.
    pub fn new(v: &'a [f32]) -> Self {
        Self { v, plain: Network::additive(v) }
    }

    fn pairs(&self) -> usize {
        self.v.len().div_ceil(2)
    }

    /// f32 elements of a packed panel: the exponentials `[features][8]`, then 1 for each key below the limit.
    pub fn panel(&self) -> usize {
        self.pairs() * 2 * NR + NR
    }

    /// f32 elements of a tile's workspace beside that of the plain way.
    pub fn row_workspace(&self) -> usize {
        self.pairs() * TWO_ROWS
    }

    /// The plain way.
    pub fn plain(&self) -> &Network<'a> {
        &self.plain
    }

    /// Turns a panel of keys `[features][8]` into exponentials.
    pub fn pack(&self, keys: &[f32], panel: &mut [f32]) {
        let (exponentials, flags) = panel.split_at_mut(self.pairs() * KEY_STEP);
        exponentials[keys.len()..].fill(0.0);
        let exp2 = Exp2::<Native>::new();
        let mut below = [Native::splat(1.0); 2];
        let (keys, to) = (keys.as_chunks::<NR>().0, exponentials.as_chunks_mut::<NR>().0);
        for (key, to) in keys.iter().zip(to) {
            let halves = key.as_chunks::<4>().0.iter().zip(to.as_chunks_mut::<4>().0);
            for ((b, to), below) in halves.zip(&mut below) {
                let b = Native::load(b);
                *below = Native::select(b.abs().less(Native::splat(LIMIT)), *below, Native::splat(0.0));
                exp2.of_twice(b).store(to);
            }
        }
        below.iter().zip(flags.as_chunks_mut::<4>().0).for_each(|(below, to)| below.store(to));
    }

    /// Prepares R rows, one after the other; says which are below the limit.
    fn prepare<const R: usize>(&self, rows: &[f32], packed: &mut [f32]) -> [bool; R] {
        let exp2 = Exp2::<Native>::new();
        let features = self.v.len();
        let mut below = [self.v.iter().all(|v| v.abs() < WEIGHT_LIMIT); R];
        for (pair, to) in packed.chunks_exact_mut(4 * R).enumerate() {
            for k in 0..2 {
                let h = 2 * pair + k;
                let mut a = [0.0; 4];
                let mut v = 0.0;
                if h < features {
                    v = self.v[h];
                    for (r, below) in below.iter_mut().enumerate() {
                        a[r] = -rows[r * features + h];
                        *below &= a[r].abs() < LIMIT;
                    }
                }
                let exponentials = exp2.of_twice(Native::load(&a));
                to[k * R..][..R].copy_from_slice(&exponentials.to_array()[..R]);
                to[(2 + k) * R..][..R].copy_from_slice(&exponentials.mul(Native::splat(v)).to_array()[..R]);
            }
        }
        below
    }

    /// Scores of up to four rows, `features` apart, against panels of eight keys; `out`'s rows are `stride` apart, and `unpacked`
    /// lays the keys of a panel as they are into memory.
    pub fn score(
        &self,
        rows: &[f32],
        panels: &[f32],
        workspace: &mut [f32],
        out: &mut [f32],
        stride: usize,
        mut unpacked: impl FnMut(usize, &mut [f32]),
    ) {
        let features = self.v.len();
        for (rows, out) in rows.chunks(2 * features).zip(out.chunks_mut(2 * stride)) {
            if rows.len() > features {
                self.score_rows::<2, TWO_ROWS>(rows, panels, workspace, out, stride, &mut unpacked);
            } else {
                self.score_rows::<1, ONE_ROW>(rows, panels, workspace, out, stride, &mut unpacked);
            }
        }
    }

    fn score_rows<const R: usize, const STEP: usize>(
        &self,
        rows: &[f32],
        panels: &[f32],
        workspace: &mut [f32],
        out: &mut [f32],
        stride: usize,
        unpacked: &mut impl FnMut(usize, &mut [f32]),
    ) {
        let features = self.v.len();
        let (packed, plain) = workspace.split_at_mut(self.row_workspace());
        let packed = &mut packed[..self.pairs() * STEP];
        let below = self.prepare::<R>(rows, packed);
        let total = sum::<Native>(self.v);
        for (p, panel) in panels.chunks_exact(self.panel()).enumerate() {
            let (keys, flags) = panel.split_at(self.pairs() * KEY_STEP);
            for (r, fractions) in fractions::<Native, R, STEP>(packed, keys).into_iter().enumerate() {
                let to = &mut out[r * stride + p * NR..][..NR];
                to.iter_mut().zip(fractions.as_flattened()).for_each(|(to, q)| *to = total - 2.0 * q);
            }
            if below.contains(&false) || flags.contains(&0.0) {
                let (keys, work) = plain.split_at_mut(features * NR);
                unpacked(p, keys);
                for (r, row) in rows.chunks_exact(features).enumerate() {
                    let mut scores = [0.0; NR];
                    self.plain.score(&[], row, keys, work, &mut scores);
                    let to = &mut out[r * stride + p * NR..][..NR];
                    for ((to, score), flag) in to.iter_mut().zip(scores).zip(flags) {
                        if !below[r] || *flag == 0.0 {
                            *to = score;
                        }
                    }
                }
            }
        }
    }
}

/// `sum of v A / (A + B)` for R rows and eight keys; STEP is 4 R.
#[inline(never)]
fn fractions<L: Lanes, const R: usize, const STEP: usize>(rows: &[f32], keys: &[f32]) -> [[[f32; 4]; 2]; R] {
    let mut total = [[L::splat(0.0); 2]; R];
    for (rows, keys) in rows.chunks(SEGMENT * STEP).zip(keys.chunks(SEGMENT * KEY_STEP)) {
        let mut sums = [[L::splat(0.0); 2]; R];
        // Not `zip`: in V8 the loop it makes is a tenth slower.
        let mut keys = keys.as_chunks::<KEY_STEP>().0.iter();
        for row in rows.as_chunks::<STEP>().0 {
            let Some(key) = keys.next() else { break };
            let b: [L; 4] = core::array::from_fn(|i| L::load(&key.as_chunks::<4>().0[i]));
            for (r, sums) in sums.iter_mut().enumerate() {
                let [a, a_next, w, w_next] = [0, R, 2 * R, 3 * R].map(|k| L::splat(row[k + r]));
                for (half, sum) in sums.iter_mut().enumerate() {
                    let (d, d_next) = (a.add(b[half]), a_next.add(b[2 + half]));
                    let numerator = w.mul_add(d_next, w_next.mul(d));
                    *sum = sum.add(numerator.div(d.mul(d_next)));
                }
            }
        }
        for (total, sum) in total.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *total = total.add(*sum);
        }
    }
    total.map(|halves| halves.map(L::to_array))
}
