//! The C interface as it is shipped: from C, C++ and Python.

#![allow(clippy::unwrap_used)] // a test that cannot be set up has failed

mod c;
mod fixture;
mod guide;
mod header;
#[path = "../../../tests/terminal/issuing.rs"]
mod issuing;
#[path = "../../../../verifier-sdk/ffi/tests/abi/library.rs"]
mod library;
#[path = "../../../tests/trust/repository.rs"]
mod repository;
