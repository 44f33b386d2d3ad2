//! One number for the layout of all argument blocks, so that host and module cannot disagree in silence.

use super::{block, operator};

/// FNV-1a (32 bits) over the offsets of attention's block and those of the operators', each as four little-endian bytes.
pub const fn fingerprint() -> u32 {
    add_words(add_words(0x811c_9dc5, block::OFFSETS), &operator::OFFSETS)
}

const fn add_words(mut hash: u32, words: &[u32]) -> u32 {
    let mut i = 0;
    while i < words.len() {
        let bytes = words[i].to_le_bytes();
        let mut k = 0;
        while k < bytes.len() {
            hash = (hash ^ bytes[k] as u32).wrapping_mul(0x0100_0193);
            k += 1;
        }
        i += 1;
    }
    hash
}
