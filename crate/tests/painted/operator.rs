//! Painted calls of the operators beside attention: the form of `tests/data/operators`.

use super::{paint, sha256, Number, Paint};
use saccade::ops::{plan, run, Arguments, Input, Output};
use serde::Deserialize;

/// An operand to read.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "dtype", rename_all = "lowercase", deny_unknown_fields)]
pub enum OperandOf {
    Absent,
    Float32 { count: usize, paint: Paint },
    Float16 { values: Vec<u16> },
    Bfloat16 { values: Vec<u16> },
    Int32 { values: Vec<i32> },
    Bool { values: Vec<u8> },
}

/// An operand to write.
#[derive(Clone, Debug, Deserialize)]
pub struct ResultOf {
    pub dtype: String,
    #[serde(default)]
    pub count: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub struct OperatorCase {
    pub id: String,
    pub operator: u32,
    pub integers: Vec<i32>,
    #[serde(default)]
    pub floats: Vec<Number>,
    pub inputs: Vec<OperandOf>,
    pub outputs: Vec<ResultOf>,
}

enum Data {
    Absent,
    F32(Vec<f32>),
    F16(Vec<u16>),
    Bf16(Vec<u16>),
    I32(Vec<i32>),
    Bool(Vec<u8>),
}

impl OperatorCase {
    /// Runs the call; a hash for each output, empty for an absent one.
    pub fn run(&self) -> Vec<String> {
        let data: Vec<Data> = self.inputs.iter().map(data_of).collect();
        let inputs: Vec<Input<'_>> = data
            .iter()
            .map(|data| match data {
                Data::Absent => Input::Absent,
                Data::F32(x) => Input::F32(x),
                Data::F16(x) => Input::F16(x),
                Data::Bf16(x) => Input::Bf16(x),
                Data::I32(x) => Input::I32(x),
                Data::Bool(x) => Input::Bool(x),
            })
            .collect();
        let integers: Vec<u32> = self.integers.iter().map(|n| *n as u32).collect();
        let floats: Vec<f64> = self.floats.iter().map(Number::f64).collect();
        let arguments = Arguments { integers: &integers, floats: &floats, inputs: &inputs };
        let mut floats_out: Vec<Vec<f32>> = self.outputs.iter().map(|o| vec![0.0; o.count]).collect();
        let mut integers_out: Vec<Vec<i32>> = self.outputs.iter().map(|o| vec![0; o.count]).collect();
        let mut outputs: Vec<Output<'_>> = floats_out
            .iter_mut()
            .zip(&mut integers_out)
            .zip(&self.outputs)
            .map(|((floats, integers), output)| match output.dtype.as_str() {
                "absent" => Output::Absent,
                "float32" => Output::F32(floats),
                "int32" => Output::I32(integers),
                dtype => panic!("no output of {dtype}"),
            })
            .collect();
        let planned = plan(self.operator, &arguments).unwrap();
        let mut scratch = vec![0.0; planned.scratch().unwrap()];
        for phase in 0..planned.tiles.len() {
            run(self.operator, &arguments, &mut outputs, &mut scratch, phase, 0..planned.tiles[phase]).unwrap();
        }
        let hash = |((floats, integers), output): ((&Vec<f32>, &Vec<i32>), &ResultOf)| match output.dtype.as_str() {
            "absent" => String::new(),
            "float32" => sha256(floats),
            _ => sha256(&integers.iter().map(|n| f32::from_bits(*n as u32)).collect::<Vec<_>>()),
        };
        floats_out.iter().zip(&integers_out).zip(&self.outputs).map(hash).collect()
    }
}

fn data_of(operand: &OperandOf) -> Data {
    match operand {
        OperandOf::Absent => Data::Absent,
        OperandOf::Float32 { count, paint: how } => Data::F32(paint(how, *count)),
        OperandOf::Float16 { values } => Data::F16(values.clone()),
        OperandOf::Bfloat16 { values } => Data::Bf16(values.clone()),
        OperandOf::Int32 { values } => Data::I32(values.clone()),
        OperandOf::Bool { values } => Data::Bool(values.clone()),
    }
}
