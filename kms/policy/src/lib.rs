#![doc = include_str!("../README.md")]

mod answers;
#[cfg(feature = "cedar")]
mod cedar;
mod decision;
mod policy;
mod question;
mod source;
mod table;

pub use decision::{Approved, Denial, Denied};
pub use policy::{ANSWERS_MAX, Policy};
pub use question::{
    CLIENT_MAX, Client, Context, Hour, InvalidClient, KeyClass, Payload, Question, Role,
};
pub use source::{FILE_MAX, FILES_MAX, POLICIES_MAX, PolicyError};
