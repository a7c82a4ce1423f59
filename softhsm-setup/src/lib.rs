//! A SoftHSM development token from a plan file, one command
