//! A bank as its own process: takes a payment, sends signed callbacks
