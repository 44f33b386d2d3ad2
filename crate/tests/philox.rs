//! Random words: the vectors of their authors, what a counter is made of, and the shape of the uniform draw.

use saccade::kernel::philox::{open_uniform, philox4x32, Purpose, Words};
use std::collections::HashSet;

/// Counter, key and words, from the known-answer file of Random123.
const KNOWN: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
    ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
    ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
    (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
        [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
    ),
];

#[test]
fn known_answers() {
    for (counter, key, words) in KNOWN {
        assert_eq!(philox4x32(key, counter), words);
    }
}

#[test]
fn every_part_of_a_counter_counts() {
    let mut seen = HashSet::new();
    for seed in [0, 1, 1 << 32, (1 << 53) - 1] {
        for row in [0, 1, 1 << 32, u64::MAX] {
            for purpose in [Purpose::Sample, Purpose::Gumbel] {
                for block in [0, 1, u32::MAX] {
                    let words = Words::new(seed, row, purpose).four(block);
                    let counter = [block, row as u32, (row >> 32) as u32, purpose as u32];
                    assert_eq!(words, philox4x32([seed as u32, (seed >> 32) as u32], counter));
                    assert!(seen.insert(words));
                }
            }
        }
    }
}

#[test]
fn the_uniform_draw_is_open_and_symmetric() {
    assert_eq!(open_uniform(0), 2f64.powi(-33));
    assert_eq!(open_uniform(u32::MAX), 1.0 - 2f64.powi(-33));
    for word in [0, 1, 77, 0x8000_0000, 0xdead_beef] {
        assert_eq!(open_uniform(word) + open_uniform(!word), 1.0);
    }
}

#[test]
fn uniform_draws_fill_their_bins_evenly() {
    const BINS: usize = 256;
    for (seed, lane) in [(1, 0), (2, 1), (3, 2), (4, 3)] {
        let mut bins = [0u32; BINS];
        for row in 0..65_536 {
            let u = open_uniform(Words::new(seed, row, Purpose::Sample).four(row as u32 % 5)[lane]);
            bins[(u * BINS as f64) as usize] += 1;
        }
        let mean = 65_536.0 / BINS as f64;
        let chi: f64 = bins.iter().map(|n| (f64::from(*n) - mean).powi(2) / mean).sum();
        // 255 degrees of freedom: 340.6 is passed once in 3,500 tries, 180.6 missed as seldom.
        assert!((180.6..340.6).contains(&chi), "{chi}");
    }
}
