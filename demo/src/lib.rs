//! The whole line on an empty directory
