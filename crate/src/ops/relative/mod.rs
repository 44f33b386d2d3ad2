//! What attends by the distance of key and query: `distance = j - (i + q_offset)`, i the query row and j the key.

pub mod head_vector;
pub mod shift;
pub mod t5;
pub mod value;
