//! Additive attention: `s_ij = sum over h of v_h tanh(a_ih + b_jh)` (Bahdanau, Cho and Bengio 2014), a and b projected already.
//!
//! A tanh is an exponential and a division; `tanh(a + b) = 1 - 2 / (1 + e^(2a) e^(2b))` needs the exponentials of a and of b only, once
//! per query row and once per key, and two fractions on one denominator need one division:
//! `v / d + v' / d' = (v d' + v' d) / (d d')`.
//!
//! Order where every |a_ih| and every |b_jh| of the pair is below 10.5 and every |v_h| below 2^60: `A = e^(2a)`, `B = e^(2b)`
//! (`kernel::exp`), `d = 1 + A * B`; for features 2k and 2k + 1 (a missing one has A = B = v = 0)
//! `q = (v d' + (v' d)) / (d d')`; the q are added in segments of 32 pairs like a matrix product; `s = V - 2 sum q` with V the sum of
//! v (`ops::sum`). Otherwise `s` is that of `network` with tanh. The rule looks at one pair alone, so a pair has the same bits in any
//! company; nothing overflows: d is below 2^62, `d d'` below 2^124.
//!
//! Error of a tanh: A and B within 3.3 u of e^(2a) and e^(2b) (u = 2^-24), their product u, which moves the fraction 2 / d by at most
//! 7.6 u * 2E / (1 + E)^2 where E = AB; the sum d, the product d d' and the division move it by 3 u * 2 / (1 + E): together below
//! 7.5 u = 4.5e-7 for every E. (tanh of a rounded a + b errs by u |a + b| tanh' besides its own 2 u.)
//! Of s: `u (7.5 + min(features, 64) / 2 + segments + 6 + sum's) sum |v|`.
//!
//! Loop: four query rows against four keys; what the rows need of two features lies in one run of ten numbers, so that two
//! pointers move. Four sums, two keys' vectors and v leave registers for the fractions in V8's fifteen.

use super::network::Network;
use crate::kernel::{exp::Exp2, Lanes, Native, MR, NR};
use crate::ops::sum::sum;
use core::hint::black_box;

/// Magnitude from which on a query row or a key takes the plain way.
const LIMIT: f32 = 10.5;
/// The same of v.
const WEIGHT_LIMIT: f32 = (1u64 << 60) as f32;
/// Pairs of features in a segment.
const SEGMENT: usize = 32;
/// Numbers of a pair of features for four keys.
const KEY_STEP: usize = 8;
/// Numbers of a pair of features for R rows: both exponentials of each, and v.
const fn row_step(rows: usize) -> usize {
    2 * rows + 2
}

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

    /// f32 elements of a packed panel: the exponentials `[half][pair][2][4]` of eight keys, then 1 for each key below the limit.
    pub fn panel(&self) -> usize {
        self.pairs() * 2 * NR + NR
    }

    /// f32 elements of a tile's workspace beside that of the plain way.
    pub fn row_workspace(&self) -> usize {
        self.pairs() * row_step(MR)
    }

    /// The plain way.
    pub fn plain(&self) -> &Network<'a> {
        &self.plain
    }

    /// Turns a panel of keys `[features][8]` into exponentials.
    pub fn pack(&self, keys: &[f32], panel: &mut [f32]) {
        let (exponentials, flags) = panel.split_at_mut(self.pairs() * 2 * NR);
        let (keys, _) = keys.as_chunks::<NR>();
        let exp2 = Exp2::<Native>::new();
        let mut flags = flags.as_chunks_mut::<4>().0.iter_mut();
        for (half, to) in exponentials.chunks_exact_mut(self.pairs() * KEY_STEP).enumerate() {
            let mut below = Native::splat(1.0);
            to[(self.pairs() - 1) * KEY_STEP..].fill(0.0);
            for (key, to) in keys.iter().zip(to.as_chunks_mut::<4>().0) {
                let b = Native::load(&key.as_chunks::<4>().0[half]);
                below = Native::select(b.abs().less(Native::splat(LIMIT)), below, Native::splat(0.0));
                exp2.of_twice(b).store(to);
            }
            if let Some(flags) = flags.next() {
                below.store(flags);
            }
        }
    }

    /// Prepares R rows, `stride` apart; says which are below the limit.
    fn prepare<const R: usize>(&self, rows: &[f32], stride: usize, packed: &mut [f32]) -> [bool; R] {
        let exp2 = Exp2::<Native>::new();
        let mut below = [self.v.iter().all(|v| v.abs() < WEIGHT_LIMIT); R];
        for (pair, to) in packed.chunks_exact_mut(row_step(R)).take(self.pairs()).enumerate() {
            to.fill(0.0);
            for (k, h) in (2 * pair..self.v.len().min(2 * pair + 2)).enumerate() {
                let mut a = [0.0; 4];
                for (r, below) in below.iter_mut().enumerate() {
                    a[r] = rows[r * stride + h];
                    *below &= a[r].abs() < LIMIT;
                }
                let exponentials = exp2.of_twice(Native::load(&a)).to_array();
                to[k * R..k * R + R].copy_from_slice(&exponentials[..R]);
                to[2 * R + k] = self.v[h];
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
        let count = rows.len() / features;
        if count == MR {
            return self.score_rows::<MR>(rows, panels, workspace, out, stride, &mut unpacked);
        }
        for (row, out) in rows.chunks_exact(features).zip(out.chunks_mut(stride)) {
            self.score_rows::<1>(row, panels, workspace, out, stride, &mut unpacked);
        }
    }

    fn score_rows<const R: usize>(
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
        let packed = &mut packed[..self.pairs() * row_step(R)];
        let below = self.prepare::<R>(rows, features, packed);
        let total = sum::<Native>(self.v);
        for (p, panel) in panels.chunks_exact(self.panel()).enumerate() {
            let (exponentials, flags) = panel.split_at(self.pairs() * 2 * NR);
            for (half, keys) in exponentials.chunks_exact(self.pairs() * KEY_STEP).enumerate() {
                for (r, fractions) in fractions::<Native, R>(packed, keys).into_iter().enumerate() {
                    let to = &mut out[r * stride + p * NR + half * 4..][..4];
                    to.iter_mut().zip(fractions).for_each(|(to, q)| *to = total - 2.0 * q);
                }
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

/// `sum of v / (1 + A B)` for R rows and four keys.
#[inline(never)]
fn fractions<L: Lanes, const R: usize>(rows: &[f32], keys: &[f32]) -> [[f32; 4]; R] {
    // From memory: as a literal V8 would build it anew in every turn.
    let one = L::splat(*black_box(&1.0));
    let mut total = [L::splat(0.0); R];
    for (rows, keys) in rows.chunks(SEGMENT * row_step(R)).zip(keys.chunks(SEGMENT * KEY_STEP)) {
        let mut sums = [L::splat(0.0); R];
        for (row, key) in rows.chunks_exact(row_step(R)).zip(keys.as_chunks::<KEY_STEP>().0) {
            let (key, _) = key.as_chunks::<4>();
            let b = [L::load(&key[0]), L::load(&key[1])];
            let v = [L::splat(row[2 * R]), L::splat(row[2 * R + 1])];
            for (r, sum) in sums.iter_mut().enumerate() {
                let d = [L::splat(row[r]).mul_add(b[0], one), L::splat(row[R + r]).mul_add(b[1], one)];
                let numerator = v[0].mul_add(d[1], v[1].mul(d[0]));
                *sum = sum.add(numerator.div(d[0].mul(d[1])));
            }
        }
        total.iter_mut().zip(sums).for_each(|(total, sum)| *total = total.add(sum));
    }
    total.map(L::to_array)
}
