//! One builder of worlds: tokens, services and terminals from shipped binaries
