//! The bias of T5: each head adds a learned number to the score, chosen by the bucket that the distance falls in.
//!
//! Shapes: table `[num_buckets, heads]`, bias `[heads, q_len, kv_len]`.
//!
//! Bucket: with n buckets for a direction (half of them where both are told apart, then the second half for keys after the query; else
//! keys after the query count as distance 0), `e = floor(n / 2)` and r the distance without its sign: r itself while r < e, else
//! `min(n - 1, e + floor(log2(r / e) / log2(max_distance / e) * (n - e) + 2^-30))`, all f64 (`kernel::power`). The summand keeps a
//! distance that lies exactly on an edge on its right side, whatever the quotient's rounding.
//!
//! Source: Raffel et al. 2020.
//!
//! Loop: bucket and bias depend on j - i alone, so each head's q_len + kv_len - 1 numbers are made once and every row is a window of them.

use crate::error::{Error, Field, Reason};
use crate::kernel::power::log2;
use crate::ops::{amount, outputs, product, row, Arguments, Operator, Output, Plan, Scratch};
use core::ops::Range;

/// How distances become buckets.
#[derive(Clone, Copy, Debug)]
pub struct Buckets {
    /// All of them.
    pub num_buckets: usize,
    /// Distances from here on share the last bucket of their direction.
    pub max_distance: usize,
    /// Keys before and after the query have buckets of their own.
    pub bidirectional: bool,
}

impl Buckets {
    /// Buckets of one direction.
    fn each(&self) -> usize {
        self.num_buckets >> usize::from(self.bidirectional)
    }

    /// There is a bucket for distance 0 and one past it, and far ones lie beyond near ones.
    fn are_valid(&self) -> bool {
        let odd = self.bidirectional && self.num_buckets % 2 == 1;
        !odd && self.each() >= 2 && self.each() / 2 < self.max_distance && self.num_buckets <= 1 << 24
    }

    /// The bucket of `j - (i + q_offset)`.
    #[inline(never)]
    pub fn of(&self, distance: i64) -> usize {
        let n = self.each();
        let exact = n / 2;
        let first = if self.bidirectional && distance > 0 { n } else { 0 };
        let r = if self.bidirectional { distance.unsigned_abs() } else { (-distance).max(0) as u64 };
        if r < exact as u64 {
            return first + r as usize;
        }
        let share = log2(r as f64 / exact as f64) / log2(self.max_distance as f64 / exact as f64);
        let further = share * (n - exact) as f64 + 1.0 / f64::from(1 << 30);
        first + (n - 1).min(exact + further as usize)
    }
}

/// Integers: heads, q_len, kv_len, num_buckets, max_distance, bidirectional, q_offset (i32). Input: table. Output: bias.
pub struct T5Bias<'a> {
    heads: usize,
    q_len: usize,
    kv_len: usize,
    q_offset: i64,
    buckets: Buckets,
    table: &'a [f32],
}

impl T5Bias<'_> {
    /// Distances between any query and any key.
    fn distances(&self) -> usize {
        if self.q_len == 0 || self.kv_len == 0 {
            0
        } else {
            self.q_len + self.kv_len - 1
        }
    }

    /// A line of biases for each head.
    fn fill(&self, lines: &mut [f32]) {
        let n = self.distances();
        for t in 0..n {
            let bucket = self.buckets.of(t as i64 - (self.q_len as i64 - 1) - self.q_offset);
            for (head, bias) in self.table[bucket * self.heads..][..self.heads].iter().enumerate() {
                lines[head * n + t] = *bias;
            }
        }
        row::scale(lines, 1.0);
    }
}

impl<'a> Operator<'a> for T5Bias<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let [heads, q_len, kv_len, num_buckets, max_distance, bidirectional, q_offset] = arguments.integers()?;
        let buckets = Buckets { num_buckets, max_distance, bidirectional: bidirectional != 0 };
        if !buckets.are_valid() {
            return Err(Error::new(Reason::Value, Field::Call));
        }
        let table = arguments.f32(0, &[num_buckets, heads])?;
        Ok(Self { heads, q_len, kv_len, q_offset: i64::from(q_offset as i32), buckets, table })
    }

    fn plan(&self) -> Result<Plan, Error> {
        let any = usize::from(self.distances() > 0);
        Ok(Plan { shared: product(&[self.heads, self.distances()])?, workspace: 0, tiles: [any, any * self.q_len] })
    }

    fn work(&self) -> usize {
        amount(&[self.heads, self.q_len, self.kv_len, 4])
    }

    fn run(
        &self,
        out: &mut [Output<'_>],
        scratch: Scratch<'_>,
        phase: usize,
        tiles: Range<usize>,
    ) -> Result<(), Error> {
        if phase == 0 {
            self.fill(scratch.shared);
            return Ok(());
        }
        let [bias] = outputs(out)?;
        let bias = bias.f32(&[self.heads, self.q_len, self.kv_len])?;
        for i in tiles {
            for head in 0..self.heads {
                let window = &scratch.shared[head * self.distances() + self.q_len - 1 - i..][..self.kv_len];
                bias[(head * self.q_len + i) * self.kv_len..][..self.kv_len].copy_from_slice(window);
            }
        }
        Ok(())
    }
}
