//! The micro-kernel and packing at every edge and tail, against plain loops in the stated order.

use saccade::kernel::gemm_tile::{gemm_tile, Add, AddScale, Epilogue, Merge, Scale, Store};
use saccade::kernel::pack::{pack_panel, touch};
use saccade::kernel::portable::F32x4;
use saccade::kernel::{MR, NR, ROW_STRIDE};
use saccade::layout::Rows8;

fn number(seed: usize) -> f32 {
    ((seed.wrapping_mul(2_654_435_761) >> 7) % 4096) as f32 / 1024.0 - 2.0
}

fn tile(n: usize, c_stride: usize, epilogue: impl Epilogue<F32x4>) -> (Vec<f32>, Vec<f32>, [[f32; NR]; MR]) {
    let a: Vec<f32> = (0..MR * ROW_STRIDE).map(number).collect();
    let b: Vec<f32> = (0..n * NR).map(|i| number(i + 999)).collect();
    let before: Vec<f32> = (0..MR * c_stride).map(|i| number(i + 77)).collect();
    let mut after = before.clone();
    gemm_tile::<F32x4, _>(&a, Rows8::packed(&b, n), &mut after, c_stride, epilogue);
    let mut sums = [[0.0f32; NR]; MR];
    for (r, row) in sums.iter_mut().enumerate() {
        for (c, sum) in row.iter_mut().enumerate() {
            for k in 0..n {
                *sum += a[r * ROW_STRIDE + k] * b[k * NR + c];
            }
        }
    }
    (before, after, sums)
}

fn check(c_stride: usize, result: (Vec<f32>, Vec<f32>, [[f32; NR]; MR]), want: impl Fn(usize, f32, f32) -> f32) {
    let (before, after, sums) = result;
    for (at, (old, new)) in before.iter().zip(&after).enumerate() {
        let (r, c) = (at / c_stride, at % c_stride);
        let want = if c < NR { want(r, *old, sums[r][c]) } else { *old };
        assert_eq!(new.to_bits(), want.to_bits(), "row {r} column {c}");
    }
}

#[test]
fn every_inner_length_and_epilogue() {
    let merge = Merge { x: [1.0, 0.5, 0.3, 0.0], y: [0.7, 1.0, 1.0, 1.0] };
    for n in 0..=ROW_STRIDE {
        for c_stride in [NR, NR + 1, 64] {
            check(c_stride, tile(n, c_stride, Store), |_, _, sum| sum);
            check(c_stride, tile(n, c_stride, Add), |_, old, sum| old + sum);
            check(c_stride, tile(n, c_stride, Scale(0.3)), |_, _, sum| sum * 0.3);
            check(c_stride, tile(n, c_stride, AddScale(-1.7)), |_, old, sum| (old + sum) * -1.7);
            check(c_stride, tile(n, c_stride, &[merge][..]), |r, old, sum| old * merge.x[r] + sum * merge.y[r]);
        }
    }
}

#[test]
fn lines_of_any_rows_are_touched() {
    let rows = [0.0; 100];
    for (stride, width) in [(0, 100), (0, 0), (1, 99), (16, 20), (20, 20), (84, 16), (100, 1)] {
        touch(&rows, stride, width);
    }
}

#[test]
fn every_panel() {
    for length in 0..=19 {
        let rows: [Vec<f32>; NR] = std::array::from_fn(|r| (0..length).map(|d| number(r * 100 + d)).collect());
        let mut panel = vec![f32::NAN; length * NR];
        pack_panel::<F32x4>(&rows.each_ref().map(Vec::as_slice), &mut panel);
        for (at, x) in panel.iter().enumerate() {
            assert_eq!(x.to_bits(), rows[at % NR][at / NR].to_bits());
        }
    }
}
