//! Client of the Obol issuer's API
