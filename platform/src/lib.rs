//! obol-platform: passenger API, tap intake, channel callbacks
