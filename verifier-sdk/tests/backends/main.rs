//! Every backend decides alike, and as others' vectors say. A difference between two of them would
//! let a rider in at one terminal and turn the same rider away at the next.

mod differential;
mod judges;
mod wycheproof;
