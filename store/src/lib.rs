//! All SQL of the platform: set-based operations, each one transaction
