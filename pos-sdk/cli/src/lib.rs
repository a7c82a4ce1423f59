//! obol-pos: the terminal as a command
