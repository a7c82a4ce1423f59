//! The C ABI as C, C++ and Python see it.

mod c;
mod fixture;
mod guide;
mod header;
mod library;
