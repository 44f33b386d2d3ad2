//! Philox4x32-10: random words as a pure function of a key and a counter.
//!
//! Ten rounds, each `(c0, c1, c2, c3) -> (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0))`, the key raised by
//! Weyl constants from the second round on. A draw depends on its own counter alone: no state, no order of drawing, so the
//! same row has the same draw in any batch, tile or thread.
//!
//! Source: Salmon, Moraes, Dror and Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011); tested with their vectors.

const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

/// The four words of `counter` under `key`.
pub fn philox4x32(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let mut c = counter;
    for _ in 0..10 {
        let [a, b] = [(MULTIPLIERS[0], c[0]), (MULTIPLIERS[1], c[2])].map(|(m, c)| u64::from(m) * u64::from(c));
        c = [(b >> 32) as u32 ^ c[1] ^ k0, b as u32, (a >> 32) as u32 ^ c[3] ^ k1, a as u32];
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    c
}

/// `(word + 1/2) / 2^32`: uniform in the open interval (0, 1), exact in f64, symmetric about one half.
#[inline(always)]
pub fn open_uniform(word: u32) -> f64 {
    (f64::from(word) + 0.5) * f64::from_bits(0x3df0_0000_0000_0000)
}

/// Which draws of a row a counter belongs to: the same seed gives independent draws for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Keys drawn by their weights.
    Sample = 0,
    /// Gumbel noise on the scores.
    Gumbel = 1,
}

/// The random words of one row: word `i` is lane `i mod 4` of the counter `(i / 4, row low, row high, purpose)`.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    key: [u32; 2],
    row: u64,
    purpose: Purpose,
}

impl Words {
    /// Words of a row; the key is the seed's low and high half.
    pub fn new(seed: u64, row: u64, purpose: Purpose) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], row, purpose }
    }

    /// Words `4 block .. 4 block + 4`.
    #[inline(never)]
    pub fn four(&self, block: u32) -> [u32; 4] {
        philox4x32(self.key, [block, self.row as u32, (self.row >> 32) as u32, self.purpose as u32])
    }
}
