//! What every command line shares: two-line errors, exit codes, the clock
