//! What can be wrong with a call, as numbers that cross the wasm boundary.

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// A view or array reaches outside the memory it was given.
    Bounds = 1,
    /// A pointer is not aligned for its element type.
    Alignment = 2,
    /// An output overlaps another operand.
    Overlap = 3,
    /// A product of sizes does not fit the address space.
    Size = 4,
    /// A value is outside its range, or sizes disagree.
    Value = 5,
    /// No such operation, phase or element type.
    Kind = 6,
}

/// The operand or size an [`Error`] is about. The numbers are those of the argument block's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Field {
    Call = 0,
    Scale = 1,
    Batch = 2,
    NumHeads = 3,
    NumKvHeads = 4,
    QLen = 5,
    KvLen = 6,
    HeadDim = 7,
    ValueHeadDim = 8,
    Query = 9,
    Key = 10,
    Value = 11,
    Out = 12,
    Lse = 13,
    Weights = 14,
    QOffset = 15,
    KvLengths = 16,
    Scratch = 17,
    Softcap = 18,
    Window = 19,
    QLengths = 20,
    Mask = 21,
    Bias = 22,
    AlibiSlopes = 23,
    Sinks = 24,
    Tap = 25,
    Partial = 26,
    Input = 27,
}

/// A refused call: the reason and the operand. Nothing has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Why.
    pub reason: Reason,
    /// Which operand.
    pub field: Field,
}

impl Error {
    /// Pairs a reason with the operand it is about.
    pub const fn new(reason: Reason, field: Field) -> Self {
        Self { reason, field }
    }

    /// The status word of the wasm boundary: `reason | field << 8`; 0 is success and never an error.
    pub const fn status(self) -> u32 {
        self.reason as u32 | (self.field as u32) << 8
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} of {:?}", self.reason, self.field)
    }
}

impl core::error::Error for Error {}
