//! Caches in memory, and attention over them.
#![allow(dead_code)]

use saccade::attention::cache::{Cache, Format};
use saccade::attention::cache_write::CacheMut;
use saccade::attention::forward::forward;
use saccade::attention::plan::Plan;
use saccade::attention::spec::{Outputs, Sizes, Spec};
use saccade::error::Field;
use saccade::layout::blocks::{Blocks, BlocksMut};
use saccade::layout::{Shape, ViewMut};

const BLOCK: usize = 64;

/// Blocks in reverse order, a hole between them, so that nothing rests on their order. Where the number of positions is odd the
/// heads of all blocks lie together, else those of a block.
pub struct Store {
    pub format: Format,
    memory: Vec<u32>,
    first: usize,
    pub table: Vec<u32>,
    blocks_per_row: usize,
}

impl Store {
    pub fn new(mut format: Format, batch: usize, positions: usize) -> Self {
        let blocks_per_row = positions.div_ceil(BLOCK);
        let count = batch * blocks_per_row;
        let apart = if positions % 2 == 1 { format.head_byte_length() + 64 } else { format.block_byte_length() + 64 };
        if positions % 2 == 1 {
            format.head_stride = count * apart;
        }
        let table = (0..count).map(|i| ((count - 1 - i) * apart) as u32).collect();
        let memory = vec![0; (count * apart + format.block_byte_length()) / 4 + 4];
        // Blocks count from an address that is a multiple of 16.
        let first = memory.as_ptr().align_offset(16);
        Self { format, memory, first, table, blocks_per_row }
    }

    pub fn write(&mut self) -> CacheMut<'_> {
        let blocks =
            BlocksMut::new(&mut self.memory[self.first..], &self.table, self.format.block_byte_length()).unwrap();
        CacheMut::new(self.format, blocks, self.blocks_per_row).unwrap()
    }

    pub fn cache(&self) -> Cache<'_> {
        let blocks = Blocks::new(&self.memory[self.first..], &self.table, self.format.block_byte_length()).unwrap();
        Cache::new(self.format, blocks, self.blocks_per_row).unwrap()
    }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// `out`, `[batch, q_len, num_heads, width]`, and `lse`, `[batch, num_heads, q_len]`.
pub fn run(spec: &Spec<'_>, sizes: &Sizes) -> [Vec<f32>; 2] {
    let Sizes { batch, q_len, num_heads, value_head_dim, .. } = *sizes;
    let mut out = vec![0.5; batch * q_len * num_heads * value_head_dim];
    let mut lse = vec![0.5; batch * q_len * num_heads];
    let mut scratch = vec![f32::NAN; Plan::new(spec).unwrap().scratch()];
    let out_view = ViewMut::new(&mut out, Shape::bshd(batch, q_len, num_heads, value_head_dim), Field::Out).unwrap();
    let lse_view = ViewMut::new(&mut lse, Shape::bhsd(batch, q_len, num_heads, 1), Field::Lse).unwrap();
    let mut outputs = Outputs { out: out_view.into(), lse: Some(lse_view), weights: None, tap: None, partial: None };
    forward(spec, &mut outputs, &mut scratch).unwrap();
    [out, lse]
}
