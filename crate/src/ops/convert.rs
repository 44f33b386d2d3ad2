//! Half floats to f32, exactly: what every operator but attention does to half-precision operands first.

use super::{amount, outputs, Arguments, Input, Operator, Output, Plan, Scratch};
use crate::error::{Error, Field, Reason};
use crate::kernel::convert::{bf16_to_f32, f16_to_f32};
use core::ops::Range;

/// Elements of a tile.
const TILE: usize = 1 << 14;

/// Integer: the count. Input: f16 or bf16 as bits. Output: f32.
pub struct Convert<'a> {
    count: usize,
    input: Input<'a>,
}

impl<'a> Operator<'a> for Convert<'a> {
    fn read(arguments: &Arguments<'a>) -> Result<Self, Error> {
        let (count, input) = (arguments.integer(0)?, arguments.input(0));
        match input {
            Input::F16(bits) | Input::Bf16(bits) if bits.len() == count => Ok(Self { count, input }),
            _ => Err(Error::new(Reason::Kind, Field::Input)),
        }
    }

    fn plan(&self) -> Result<Plan, Error> {
        Ok(Plan { tiles: [0, self.count.div_ceil(TILE)], ..Plan::default() })
    }

    fn work(&self) -> usize {
        amount(&[self.count, 4])
    }

    fn run(&self, out: &mut [Output<'_>], _: Scratch<'_>, _: usize, tiles: Range<usize>) -> Result<(), Error> {
        let [out] = outputs(out)?;
        let range = (tiles.start * TILE).min(self.count)..(tiles.end * TILE).min(self.count);
        let out = &mut out.f32(&[self.count])?[range.clone()];
        match self.input {
            Input::F16(bits) => out.iter_mut().zip(&bits[range]).for_each(|(out, bits)| *out = f16_to_f32(*bits)),
            Input::Bf16(bits) => out.iter_mut().zip(&bits[range]).for_each(|(out, bits)| *out = bf16_to_f32(*bits)),
            _ => {}
        }
        Ok(())
    }
}
