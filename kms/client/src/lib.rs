//! Typed signing over the key management daemon's socket
