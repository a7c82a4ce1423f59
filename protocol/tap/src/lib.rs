//! Tap record, hash chain and signed segment of the Obol terminal
