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
//! Error of a tanh, f = A / (A + B): A and B lie within 2.1 u of the exponentials (`kernel::exp`, u = 2^-24), which moves 2 f by at
//! most 4.2 u * 2 f (1 - f); the roundings of w, d, `d d'` and of the quotient move it by 4 u * 2 f: together at most 8.1 u, below 4.9e-7.
//! (tanh of a rounded a + b errs by u |a + b| tanh' besides its own 2 u.)
//! Of s: `u (8.1 + 2 + 2 (min(features, 64) / 2 + segments) + 19 + log2(segments) + 1) sum |v|`.
//!
//! Loop: two query rows against eight keys; what the rows need of two features lies in one run of eight numbers, so that two
//! pointers move. Four sums, the keys' four vectors and a row's four numbers leave registers for the fractions in V8's fifteen.

use super::network::Network;
use super::Keys;
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
/// Rows that are scored at once.
const ROWS: usize = 2;
/// Numbers of a pair of features for those rows: A, A', w and w' of each.
const ROW_STEP: usize = 4 * ROWS;

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
        self.pairs() * ROW_STEP
    }

    /// The plain way.
    pub fn plain(&self) -> &Network<'a> {
        &self.plain
    }

    /// Turns a panel of keys `[features][8]` into exponentials.
    #[inline(never)]
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

    /// Prepares one or two rows, one after the other; says which are below the limit.
    #[inline(never)]
    fn prepare(&self, rows: &[f32], packed: &mut [f32]) -> [bool; ROWS] {
        let exp2 = Exp2::<Native>::new();
        let features = self.v.len();
        let mut below = [self.v.iter().all(|v| v.abs() < WEIGHT_LIMIT); ROWS];
        for (pair, to) in packed.as_chunks_mut::<ROW_STEP>().0.iter_mut().enumerate() {
            // A and A' of both rows, then w and w'; what is missing has A = 1 and w = 0.
            let (mut a, mut v) = ([0.0; 4], [0.0; 4]);
            for (k, h) in (2 * pair..features.min(2 * pair + 2)).enumerate() {
                for (r, row) in rows.chunks_exact(features).enumerate() {
                    (a[k * ROWS + r], v[k * ROWS + r]) = (-row[h], self.v[h]);
                    below[r] &= row[h].abs() < LIMIT;
                }
            }
            let exponentials = exp2.of_twice(Native::load(&a));
            let (halves, _) = to.as_chunks_mut::<4>();
            exponentials.store(&mut halves[0]);
            exponentials.mul(Native::load(&v)).store(&mut halves[1]);
        }
        below
    }

    /// Scores of up to four rows, `features` apart, against panels of eight keys; `out`'s rows are `stride` apart.
    #[inline(never)]
    pub fn score(
        &self,
        rows: &[f32],
        panels: &[f32],
        workspace: &mut [f32],
        out: &mut [f32],
        stride: usize,
        keys: &Keys<'_>,
    ) {
        let features = self.v.len();
        let total = sum::<Native>(self.v);
        let (packed, plain) = workspace.split_at_mut(self.row_workspace());
        for (rows, out) in rows.chunks(ROWS * features).zip(out.chunks_mut(ROWS * stride)) {
            let below = self.prepare(rows, packed);
            for (p, panel) in panels.chunks_exact(self.panel()).enumerate() {
                let (exponentials, flags) = panel.split_at(self.pairs() * KEY_STEP);
                let sums = fractions::<Native>(packed, exponentials);
                for (sums, out) in sums.iter().zip(out.chunks_mut(stride)) {
                    let to = &mut out[p * NR..][..NR];
                    to.iter_mut().zip(sums.as_flattened()).for_each(|(to, q)| *to = total - 2.0 * q);
                }
                if below.contains(&false) || flags.contains(&0.0) {
                    self.score_plainly(rows, below, flags, p, plain, out, stride, keys);
                }
            }
        }
    }

    /// Takes the pairs beyond the limits the plain way.
    #[inline(never)]
    fn score_plainly(
        &self,
        rows: &[f32],
        below: [bool; ROWS],
        flags: &[f32],
        panel: usize,
        workspace: &mut [f32],
        out: &mut [f32],
        stride: usize,
        keys: &Keys<'_>,
    ) {
        let features = self.v.len();
        let (unpacked, work) = workspace.split_at_mut(features * NR);
        keys.unpack(panel, unpacked);
        let rows = rows.chunks_exact(features).zip(below);
        for ((row, below), out) in rows.zip(out.chunks_mut(stride)) {
            let mut scores = [0.0; NR];
            self.plain.score(&[], row, unpacked, work, &mut scores);
            for ((to, score), flag) in out[panel * NR..].iter_mut().zip(scores).zip(flags) {
                if !below || *flag == 0.0 {
                    *to = score;
                }
            }
        }
    }
}

/// `sum of v A / (A + B)` for two rows and eight keys.
#[inline(never)]
fn fractions<L: Lanes>(rows: &[f32], keys: &[f32]) -> [[[f32; 4]; 2]; ROWS] {
    let mut total = [[L::splat(0.0); 2]; ROWS];
    for (rows, keys) in rows.chunks(SEGMENT * ROW_STEP).zip(keys.chunks(SEGMENT * KEY_STEP)) {
        let mut sums = [[L::splat(0.0); 2]; ROWS];
        // Not `zip`: in V8 the loop it makes is a tenth slower.
        let mut keys = keys.as_chunks::<KEY_STEP>().0.iter();
        for row in rows.as_chunks::<ROW_STEP>().0 {
            let Some(key) = keys.next() else { break };
            let b: [L; 4] = core::array::from_fn(|i| L::load(&key.as_chunks::<4>().0[i]));
            for (r, sums) in sums.iter_mut().enumerate() {
                let [a, a_next, w, w_next] = [0, 1, 2, 3].map(|k| L::splat(row[k * ROWS + r]));
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
