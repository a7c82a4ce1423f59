//! Offline verification of PT1 boarding codes
