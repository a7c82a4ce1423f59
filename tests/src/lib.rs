//! End-to-end claims, vectors, interoperability, the architecture test
