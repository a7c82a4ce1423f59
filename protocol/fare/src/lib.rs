//! Fare pack codec and fare evaluation
