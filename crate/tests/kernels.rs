//! The micro-kernel and packing at every edge and tail, against plain loops in the stated order.

use saccade::kernel::gemm_block::{row_along_rows, row_by_columns};
use saccade::kernel::gemm_tile::{gemm_tile, AddScale, Epilogue, Merge, Scale, Store};
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
            check(c_stride, tile(n, c_stride, AddScale(1.0)), |_, old, sum| old + sum);
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

/// Segments of 64, each from +0 on, added in order.
fn in_segments(a: &[f32], b: impl Fn(usize) -> f32) -> f32 {
    let segments = a.chunks(ROW_STRIDE).enumerate();
    let sums = segments.map(|(i, a)| a.iter().enumerate().fold(0.0, |sum, (k, a)| sum + a * b(i * ROW_STRIDE + k)));
    sums.reduce(|all, sum| all + sum).unwrap_or(0.0)
}

#[test]
fn one_row_along_rows_and_by_columns() {
    for length in [1, 3, 4, 63, 64, 65, 128, 130, 192, 255, 256, 260, 384, 447, 519, 1030] {
        let a: Vec<f32> = (0..length).map(|k| number(k) * 0.7).collect();
        let rows: Vec<f32> = (0..5 * length).map(|i| number(i + 7) * 1.1).collect();
        let quad = [0, 1, 3, 3].map(|row| &rows[row * length..][..length]);
        for next in [&[][..], &rows[..4 * length], &rows[..4 * length - 1]] {
            let mut sums = [f32::NAN; 4];
            row_along_rows::<F32x4>(&a, quad, next, &mut sums);
            for (sum, row) in sums.iter().zip(quad) {
                assert_eq!(sum.to_bits(), in_segments(&a, |k| row[k]).to_bits(), "{length}");
            }
        }
        let columns: Vec<[f32; 32]> = (0..length).map(|k| core::array::from_fn(|c| number(k * 32 + c))).collect();
        let mut sums = [f32::NAN; 32];
        row_by_columns::<F32x4>(&a, &columns, &mut sums);
        for (column, sum) in sums.iter().enumerate() {
            assert_eq!(sum.to_bits(), in_segments(&a, |k| columns[k][column]).to_bits(), "{length}");
        }
    }
}
