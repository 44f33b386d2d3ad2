//! The scores that pooling can be called with, on features.
//!
//! - dot: `s = (q . k) * f32(scale)`; also what is left of scaled dot, general, cosine and location once their matrices are applied.
//! - network: `network`; additive: `additive`; kernels of the distance: `distance`.

use super::additive::Additive;
use super::distance::Kernel;
use super::network::Network;
use super::Keys;
use crate::attention::spec::default_scale;
use crate::error::{Error, Field, Reason};
use crate::kernel::gemm_tile::{gemm_tile, AddScale, Scale, Store};
use crate::kernel::{Native, MR, NR, ROW_STRIDE};
use crate::layout::Rows8;
use crate::ops::Arguments;

/// Inputs that scores read.
const LAST: usize = 5;
const DEEP_INPUT: usize = 7;

/// A score.
#[derive(Clone, Copy)]
pub enum Score<'a> {
    /// The dot product times a scale.
    Dot(f32),
    /// A network of the pair.
    Network(Network<'a>),
    /// Bahdanau's.
    Additive(Additive<'a>),
    /// The logarithm of a kernel of the distance.
    Distance(Kernel),
}

impl<'a> Score<'a> {
    /// Reads the score from integer `integer` on, its scale or width from number 1.
    pub fn read(arguments: &Arguments<'a>, features: usize, integer: usize) -> Result<Self, Error> {
        match arguments.integer(integer)? {
            0 => Ok(Self::Dot(arguments.finite(1)? as f32)),
            1 => Network::read(arguments, features, integer + 1, LAST, DEEP_INPUT).map(Self::Network),
            2 => Ok(Self::Additive(Additive::new(arguments.f32(LAST, &[features])?))),
            kind @ 3..=6 => Kernel::new(kind - 3, arguments.finite(1)?).map(Self::Distance),
            7 => Ok(Self::Dot(default_scale(features) as f32)),
            _ => Err(Error::new(Reason::Kind, Field::Call)),
        }
    }

    /// Whether the scores are logarithms of a kernel.
    pub fn is_logarithm(&self) -> bool {
        matches!(self, Self::Distance(_))
    }

    /// f32 elements of a packed panel of eight keys.
    pub fn panel(&self, features: usize) -> usize {
        match self {
            Self::Additive(additive) => additive.panel(),
            _ => features * NR,
        }
    }

    /// Packs a panel of keys `[features][8]`.
    pub fn pack(&self, keys: &[f32], panel: &mut [f32]) {
        match self {
            Self::Additive(additive) => additive.pack(keys, panel),
            _ => panel.copy_from_slice(keys),
        }
    }

    /// f32 elements of packed weights beside the keys.
    pub fn packed_weights(&self) -> Result<usize, Error> {
        match self {
            Self::Network(network) => network.packed(),
            _ => Ok(0),
        }
    }

    /// Packs the weights.
    pub fn pack_weights(&self, blocks: &mut [f32]) {
        if let Self::Network(network) = self {
            network.pack(blocks);
        }
    }

    /// f32 elements that [`Self::score`] works in.
    pub fn workspace(&self, features: usize) -> Result<usize, Error> {
        match self {
            Self::Dot(_) => Ok(features.div_ceil(ROW_STRIDE) * MR * ROW_STRIDE),
            Self::Network(network) => network.workspace(),
            Self::Additive(additive) => Ok(additive.row_workspace() + features * NR + additive.plain().workspace()?),
            Self::Distance(_) => Ok(0),
        }
    }

    /// Scores of up to four rows, `[rows][features]`, against packed panels; `out`'s rows are `stride` apart; `keys` are those
    /// that were packed.
    pub fn score(
        &self,
        features: usize,
        rows: &[f32],
        panels: &[f32],
        blocks: &[f32],
        workspace: &mut [f32],
        out: &mut [f32],
        stride: usize,
        keys: &Keys<'_>,
    ) {
        match self {
            Self::Dot(scale) => return dot(*scale, features, rows, panels, workspace, out, stride),
            Self::Additive(additive) => return additive.score(rows, panels, workspace, out, stride, keys),
            _ => {}
        }
        for (r, row) in rows.chunks_exact(features).enumerate() {
            let to = out[r * stride..].as_chunks_mut::<NR>().0;
            for (panel, to) in panels.chunks_exact(features * NR).zip(to) {
                match self {
                    Self::Network(network) => network.score(blocks, row, panel, workspace, to),
                    Self::Distance(kernel) => kernel.score(row, panel, to),
                    _ => {}
                }
            }
        }
    }
}

/// Scaled dot products: the matrix product of four rows and the keys.
#[inline(never)]
fn dot(
    scale: f32,
    features: usize,
    rows: &[f32],
    panels: &[f32],
    workspace: &mut [f32],
    out: &mut [f32],
    stride: usize,
) {
    let segments = features.div_ceil(ROW_STRIDE);
    let blocks = &mut workspace[..segments * MR * ROW_STRIDE];
    blocks.fill(0.0);
    for (r, row) in rows.chunks_exact(features).enumerate() {
        for (segment, part) in row.chunks(ROW_STRIDE).enumerate() {
            blocks[(segment * MR + r) * ROW_STRIDE..][..part.len()].copy_from_slice(part);
        }
    }
    for (p, panel) in panels.chunks_exact(features * NR).enumerate() {
        let out = &mut out[p * NR..];
        let parts = blocks.chunks_exact(MR * ROW_STRIDE).zip(panel.chunks(ROW_STRIDE * NR));
        for (segment, (block, keys)) in parts.enumerate() {
            let keys = Rows8::packed(keys, keys.len() / NR);
            match (segment == 0, segment + 1 == segments) {
                (true, true) => gemm_tile::<Native, _>(block, keys, out, stride, Scale(scale)),
                (true, false) => gemm_tile::<Native, _>(block, keys, out, stride, Store),
                (false, last) => {
                    let scale = if last { scale } else { 1.0 };
                    gemm_tile::<Native, _>(block, keys, out, stride, AddScale(scale));
                }
            }
        }
    }
}
