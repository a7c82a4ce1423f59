//! End-to-end claims, vectors, interoperability and the architecture test. The tests are the
//! package; the library is empty.
