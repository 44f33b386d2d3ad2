//! Attention pooling: `f(q) = sum_i alpha(q, k_i) v_i`, with every score and every way to make weights of scores.

pub mod normalize;
