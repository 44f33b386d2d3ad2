//! Keys laid into panels: 8 keys side by side, `[head_dim][8]`, the form in which [`super::gemm_tile`] reads its B.

use super::{Lanes, NR};

/// Packs up to 8 rows of equal length into one panel of `length * 8` elements; rows that are missing become zeros.
#[inline(never)]
pub fn pack_panel<L: Lanes>(rows: &[&[f32]], panel: &mut [f32]) {
    let length = panel.len() / NR;
    let (panel, _) = panel.as_chunks_mut::<NR>();
    for (half, quad) in [0, 4].into_iter().zip([rows.get(..4), rows.get(4..8)]) {
        let Some(quad) = quad else {
            pack_scalar(rows, half, panel);
            continue;
        };
        let whole = length / 4 * 4;
        for d in (0..whole).step_by(4) {
            let block = core::array::from_fn(|r| load_at::<L>(quad[r], d));
            for (k, column) in L::transpose(block).into_iter().enumerate() {
                let (halves, _) = panel[d + k].as_chunks_mut::<4>();
                column.store(&mut halves[half / 4]);
            }
        }
        for d in whole..length {
            for r in 0..4 {
                panel[d][half + r] = quad[r][d];
            }
        }
    }
}

#[inline(always)]
fn load_at<L: Lanes>(row: &[f32], d: usize) -> L {
    match row[d..].first_chunk() {
        Some(four) => L::load(four),
        None => L::splat(0.0),
    }
}

fn pack_scalar(rows: &[&[f32]], half: usize, panel: &mut [[f32; NR]]) {
    for (d, column) in panel.iter_mut().enumerate() {
        for (r, lane) in column.iter_mut().enumerate().skip(half).take(4) {
            *lane = rows.get(r).map_or(0.0, |row| row[d]);
        }
    }
}
