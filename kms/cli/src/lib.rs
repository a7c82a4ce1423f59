//! obol-kms: officers' commands and the daemon
