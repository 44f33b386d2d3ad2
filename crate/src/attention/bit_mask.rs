//! Masks that are rules rather than memory: a short postfix program over words of 64 keys.
//!
//! Each instruction pushes what a row sees of a block, or combines what is on the stack; the result is one word per row
//! and block, so that a mask of any size costs no memory of its own and empty blocks are skipped.

use super::mask::MAX_ROWS;
use crate::kernel::bits;

/// Most instructions of a program.
pub const MAX_LENGTH: usize = 64;
/// Most words on the evaluation stack.
const MAX_DEPTH: usize = 16;
const BLOCK: usize = super::BLOCK_KV;

/// An offset that means: where the call says the row is.
pub const OFFSET_OF_CALL: i32 = i32::MIN;

/// One instruction. Positions of rows are `i + offset`, or the call's with [`OFFSET_OF_CALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[allow(missing_docs)] // The fields are named in each line of documentation.
pub enum Instruction<'a> {
    /// Every key.
    #[default]
    All,
    /// Keys `j <= i + offset`.
    Causal { offset: i32 },
    /// Keys from `i + offset - left` to `i + offset + right`; `u32::MAX` is open.
    Window { left: u32, right: u32, offset: i32 },
    /// Keys before the batch row's length.
    Prefix { lengths: &'a [u32] },
    /// Keys whose number equals the row's: `[batch or 1, q_len]` and `[batch or 1, kv_len]`.
    Document { query: Rows<'a, i32>, key: Rows<'a, i32> },
    /// Keys whose distance from `i + offset` is a multiple of the step.
    Dilated { step: u32, offset: i32 },
    /// All keys for the rows whose bit is set, and the keys whose bit is set for all rows.
    Global { query: &'a [u32], key: &'a [u32] },
    /// Stored bits, lowest first, rows padded to words: word `b * strides[0] + h * strides[1] + i * strides[2]` begins a row.
    Stored { words: &'a [u32], strides: [usize; 3] },
    /// Both of the two words on top.
    And,
    /// Either of the two words on top.
    Or,
    /// The complement of the word on top.
    Not,
}

/// Rows of equal length, one per batch row or one for all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rows<'a, T> {
    /// All rows, one after the other.
    pub data: &'a [T],
    /// Elements of a row.
    pub length: usize,
}

impl<'a, T> Rows<'a, T> {
    fn row(&self, batch: usize) -> &'a [T] {
        let at = if self.data.len() > self.length { batch * self.length } else { 0 };
        self.data.get(at..at + self.length).unwrap_or(&[])
    }
}

/// A checked program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitMask<'a> {
    instructions: [Instruction<'a>; MAX_LENGTH],
    length: usize,
}

impl<'a> BitMask<'a> {
    /// The program, or `None` where it is too long, too deep, or does not leave exactly one word.
    pub fn new(program: &[Instruction<'a>]) -> Option<Self> {
        let mut depth = 0usize;
        for instruction in program {
            let takes = match instruction {
                Instruction::And | Instruction::Or => 2,
                Instruction::Not => 1,
                _ => 0,
            };
            depth = depth.checked_sub(takes)? + 1;
            if depth > MAX_DEPTH {
                return None;
            }
        }
        if depth != 1 || program.len() > MAX_LENGTH {
            return None;
        }
        let mut instructions = [Instruction::All; MAX_LENGTH];
        instructions[..program.len()].copy_from_slice(program);
        Some(Self { instructions, length: program.len() })
    }

    /// Takes from `words`, one per row, what the rows do not see of a block. `rows` are each a query row and its head; query row i is at
    /// `i + offset` among the keys. Bits past the last key mean nothing.
    ///
    /// An instruction is read once for all rows: most blocks of most rules are empty, and finding that out has to cost little.
    #[inline(never)]
    pub fn restrict(&self, batch: usize, rows: &[(u32, u32)], offset: i64, block: usize, words: &mut [u64]) {
        let mut stack = [[0u64; MAX_ROWS]; MAX_DEPTH];
        let mut top = 0;
        for instruction in &self.instructions[..self.length] {
            let (below, above) = stack.split_at_mut(top);
            match instruction {
                Instruction::And | Instruction::Or => {
                    let [.., left, right] = below else { return };
                    for (left, right) in left.iter_mut().zip(right) {
                        let both = *instruction == Instruction::And;
                        *left = if both { *left & *right } else { *left | *right };
                    }
                    top -= 1;
                }
                Instruction::Not => {
                    let [.., word] = below else { return };
                    word.iter_mut().for_each(|word| *word = !*word);
                }
                leaf => {
                    let Some(words) = above.first_mut() else { return };
                    leaf.words(batch, rows, offset, block, words);
                    top += 1;
                }
            }
        }
        for (word, mask) in words.iter_mut().zip(&stack[0]) {
            *word &= mask;
        }
    }
}

impl Instruction<'_> {
    fn words(&self, batch: usize, rows: &[(u32, u32)], offset: i64, block: usize, words: &mut [u64; MAX_ROWS]) {
        // Neighbouring rows are mostly of one document.
        let mut last: Option<(i32, u64)> = None;
        for ((i, head), word) in rows.iter().zip(words) {
            let (i, head) = (*i as usize, *head as usize);
            *word = match *self {
                Self::Document { query, .. } => {
                    let number = query.row(batch).get(i).copied();
                    match (last, number) {
                        (Some((number, word)), Some(same)) if number == same => word,
                        _ => {
                            let word = self.word([batch, i, head], offset, block);
                            last = number.map(|number| (number, word));
                            word
                        }
                    }
                }
                _ => self.word([batch, i, head], i as i64 + offset, block),
            };
        }
    }

    fn word(&self, [batch, i, head]: [usize; 3], position: i64, block: usize) -> u64 {
        let start = (block * BLOCK) as i64;
        let column = |j: i64| (j - start).clamp(0, BLOCK as i64) as u32;
        let keys = |from: i64, to: i64| bits::range(column(from), column(to.max(from)));
        let gather = |f: &dyn Fn(usize) -> bool| (0..BLOCK).fold(0, |word, c| word | u64::from(f(c)) << c);
        let position = |offset: i32| if offset == OFFSET_OF_CALL { position } else { i as i64 + i64::from(offset) };
        match *self {
            Self::All | Self::And | Self::Or | Self::Not => u64::MAX,
            Self::Causal { offset } => keys(0, position(offset) + 1),
            Self::Window { left, right, offset } => {
                let position = position(offset);
                let from = if left == u32::MAX { i64::MIN / 2 } else { position - i64::from(left) };
                let to = if right == u32::MAX { i64::MAX / 2 } else { position + i64::from(right) + 1 };
                keys(from, to)
            }
            Self::Prefix { lengths } => {
                keys(0, i64::from(lengths.get(batch).or(lengths.first()).copied().unwrap_or(0)))
            }
            Self::Document { query, key } => {
                let Some(number) = query.row(batch).get(i) else { return 0 };
                let keys = key.row(batch).get(block * BLOCK..).unwrap_or(&[]);
                bits::of_equal(&keys[..keys.len().min(BLOCK)], *number)
            }
            Self::Dilated { step, offset } => {
                let position = position(offset) - start;
                gather(&|c| (position - c as i64) % i64::from(step.max(1)) == 0)
            }
            Self::Global { query, key } => {
                if bit(query, i) {
                    return u64::MAX;
                }
                word_at(key, 0, block)
            }
            Self::Stored { words, strides: [per_batch, per_head, per_row] } => {
                word_at(words, batch * per_batch + head * per_head + i * per_row, block)
            }
        }
    }
}

fn bit(words: &[u32], i: usize) -> bool {
    words.get(i / 32).is_some_and(|word| word >> (i % 32) & 1 == 1)
}

/// The 64 bits of a block in a row of words; those past the end are 0.
fn word_at(words: &[u32], row: usize, block: usize) -> u64 {
    let half = |k: usize| words.get(row + 2 * block + k).copied().unwrap_or(0);
    u64::from(half(0)) | u64::from(half(1)) << 32
}
