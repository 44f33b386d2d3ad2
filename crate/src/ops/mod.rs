//! The operators beside attention, one file each; the numeric contract has a section for every one of them.
//!
//! All have one form: a list of integers (sizes and choices), a list of f64 numbers and contiguous operands are read into
//! a checked value ([`Operator::read`]), which says what memory and how many tiles it needs ([`Operator::plan`]) and then
//! runs tiles of its phases. Tiles of a phase are independent of each other. [`plan`] and [`run`] are the table.

pub mod activation;
mod arguments;
pub mod average_maximum;
pub mod convert;
pub mod convolution;
pub mod embedding;
pub mod gate;
pub mod gru;
pub mod kernel_regression;
pub mod layer_norm;
pub mod linear;
pub mod pooling;
pub mod relative;
pub mod rotary;
mod row;
pub mod sinusoidal;
pub mod softmax;
pub mod sum;
pub mod weighted_sum;

pub use arguments::{amount, outputs, product, Arguments, Input, Output, Plan, Scratch, PHASES};

use crate::error::{Error, Field, Reason};
use core::ops::Range;

/// An operator that has been asked something definite.
pub trait Operator<'a>: Sized {
    /// Reads sizes, numbers and inputs; refuses what does not fit together.
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error>;
    /// The memory and the tiles it needs.
    fn plan(&self) -> Result<Plan, Error>;
    /// About how much there is to do, in multiply-adds of the micro-kernel; 0 where that is never enough to share.
    fn work(&self) -> usize {
        0
    }
    /// Runs `tiles` of a phase. Tiles past the last are never asked for.
    fn run(
        &self,
        outputs: &mut [Output<'_>],
        scratch: Scratch<'_>,
        phase: usize,
        tiles: Range<usize>,
    ) -> Result<(), Error>;
}

/// Calls `$then!(Type)` for the operator with a number.
macro_rules! table {
    ($number:expr, $then:ident) => {
        match $number {
            1 => $then!(convert::Convert),
            2 => $then!(linear::Linear),
            3 => $then!(linear::PackWeight),
            // 10: softmax, recurrence and normalisation
            10 => $then!(softmax::Softmax),
            11 => $then!(gru::Gru),
            12 => $then!(layer_norm::LayerNorm),
            // 20: attention pooling
            20 => $then!(pooling::Pooling),
            21 => $then!(kernel_regression::KernelRegression),
            23 => $then!(pooling::unit_rows::UnitRows),
            // 30: space and channels
            30 => $then!(average_maximum::AverageMaximum),
            31 => $then!(convolution::Convolution),
            32 => $then!(gate::Gate),
            33 => $then!(weighted_sum::WeightedSum),
            // 40: positions
            40 => $then!(sinusoidal::Sinusoidal),
            41 => $then!(rotary::Rotary),
            42 => $then!(embedding::Embedding),
            43 => $then!(relative::t5::T5Bias),
            44 => $then!(relative::shift::RelativeShift),
            45 => $then!(relative::value::RelativeValue),
            46 => $then!(relative::head_vector::HeadVector),
            _ => Err(Error::new(Reason::Kind, Field::Call)),
        }
    };
}

/// What operator `number` needs for these arguments.
pub fn plan(number: u32, arguments: &Arguments<'_>) -> Result<Plan, Error> {
    plan_and_work(number, arguments).map(|(plan, _)| plan)
}

/// As [`plan`], and [`Operator::work`]: for hosts that share tiles out.
pub fn plan_and_work(number: u32, arguments: &Arguments<'_>) -> Result<(Plan, usize), Error> {
    macro_rules! plan {
        ($operator:ty) => {
            match &<$operator>::read(arguments) {
                Ok(operator) => operator.plan().map(|plan| (plan, operator.work())),
                Err(error) => Err(*error),
            }
        };
    }
    table!(number, plan)
}

/// Runs `tiles` of a phase of operator `number`; `scratch` holds what its plan asks for.
pub fn run(
    number: u32,
    arguments: &Arguments<'_>,
    outputs: &mut [Output<'_>],
    scratch: &mut [f32],
    phase: usize,
    tiles: Range<usize>,
) -> Result<(), Error> {
    run_on(number, arguments, outputs, scratch, phase, tiles, 0)
}

/// As [`run`], on one of several threads: each beyond the first needs [`Plan::stride`] elements of `scratch` more.
pub fn run_on(
    number: u32,
    arguments: &Arguments<'_>,
    outputs: &mut [Output<'_>],
    scratch: &mut [f32],
    phase: usize,
    tiles: Range<usize>,
    thread: usize,
) -> Result<(), Error> {
    macro_rules! run {
        ($operator:ty) => {{
            // By reference: `?` would copy the operator out of its result.
            match &<$operator>::read(arguments) {
                Ok(operator) => {
                    let (scratch, tiles) = operator.plan()?.prepare(scratch, phase, tiles, thread)?;
                    operator.run(outputs, scratch, phase, tiles)
                }
                Err(error) => Err(*error),
            }
        }};
    }
    table!(number, run)
}
