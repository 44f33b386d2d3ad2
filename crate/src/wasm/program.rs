//! A bit mask's program as the host writes it: words, an opcode and then its arguments.
//!
//! Offsets of `i32::MIN` stand for the call's.
//!
//! | opcode | arguments |
//! |---|---|
//! | 1 causal | offset |
//! | 2 window | left, right (`u32::MAX` = open), offset |
//! | 3 prefix | pointer to u32 lengths, count (1 or batch) |
//! | 4 document | pointer to i32 `[rows, q_len]`, rows, pointer to i32 `[rows, kv_end]`, rows (1 or batch) |
//! | 5 dilated | step, offset |
//! | 6 global | pointer to the bits of q_len rows, pointer to the bits of kv_len keys |
//! | 7 stored | pointer, words, words per batch row, words per head, words per query row |
//! | 8 and, 9 or, 10 not | |

use super::memory::Span;
use crate::attention::bit_mask::{BitMask, Instruction, Rows, MAX_LENGTH};
use crate::attention::spec::Sizes;
use crate::error::{Error, Field, Reason};

const WRONG: Error = Error::new(Reason::Value, Field::Mask);

/// Takes words off the front of a program.
struct Reader<'a>(&'a [u32]);

impl Reader<'_> {
    fn word(&mut self) -> Result<u32, Error> {
        let (first, rest) = self.0.split_first().ok_or(WRONG)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<i32, Error> {
        self.word().map(|word| word as i32)
    }
}

/// `count` numbers of 4 bytes, which no output overlaps.
fn numbers<'a, T>(pointer: u32, count: u64, apart: &dyn Fn(Span) -> Result<(), Error>) -> Result<&'a [T], Error> {
    let bytes = count.checked_mul(4).ok_or(Error::new(Reason::Size, Field::Mask))?;
    let span = Span::new(pointer, bytes, 4, Field::Mask)?;
    apart(span)?;
    // SAFETY: inputs are not written during a call; T is i32 or u32, for which any bits are valid.
    Ok(unsafe { span.slice() })
}

/// Reads and checks a program over the keys up to the last that is here; `apart` refuses what an output overlaps.
pub fn read<'a>(words: &[u32], sizes: &Sizes, apart: &dyn Fn(Span) -> Result<(), Error>) -> Result<BitMask<'a>, Error> {
    let mut reader = Reader(words);
    let mut program = [Instruction::All; MAX_LENGTH];
    let mut length = 0;
    while !reader.0.is_empty() {
        let instruction = match reader.word()? {
            1 => Instruction::Causal { offset: reader.number()? },
            2 => Instruction::Window { left: reader.word()?, right: reader.word()?, offset: reader.number()? },
            3 => {
                let (pointer, count) = (reader.word()?, reader.word()?);
                Instruction::Prefix { lengths: numbers(pointer, u64::from(count), apart)? }
            }
            4 => {
                let mut rows = |length: usize| {
                    let (pointer, count) = (reader.word()?, reader.word()?);
                    if count != 1 && count as usize != sizes.batch {
                        return Err(WRONG);
                    }
                    let data = numbers(pointer, u64::from(count) * length as u64, apart)?;
                    Ok(Rows { data, length })
                };
                Instruction::Document { query: rows(sizes.q_len)?, key: rows(sizes.kv_end())? }
            }
            5 => Instruction::Dilated { step: reader.word()?, offset: reader.number()? },
            6 => {
                let mut bits = |n: usize| numbers(reader.word()?, n.div_ceil(32) as u64, apart);
                Instruction::Global { query: bits(sizes.q_len)?, key: bits(sizes.kv_end())? }
            }
            7 => {
                let (pointer, count) = (reader.word()?, reader.word()?);
                let words = numbers(pointer, u64::from(count), apart)?;
                let strides = [reader.word()?, reader.word()?, reader.word()?];
                let last = [sizes.batch, sizes.num_heads, sizes.q_len].into_iter().zip(strides);
                let last = last.fold(0u64, |at, (n, stride)| {
                    at.saturating_add((n.max(1) as u64 - 1).saturating_mul(u64::from(stride)))
                });
                if last.saturating_add(sizes.kv_end().div_ceil(32) as u64) > words.len() as u64 {
                    return Err(Error::new(Reason::Bounds, Field::Mask));
                }
                Instruction::Stored { words, strides: strides.map(|stride| stride as usize) }
            }
            8 => Instruction::And,
            9 => Instruction::Or,
            10 => Instruction::Not,
            _ => return Err(WRONG),
        };
        *program.get_mut(length).ok_or(WRONG)? = instruction;
        length += 1;
    }
    BitMask::new(&program[..length]).ok_or(WRONG)
}
