//! One terminal: verify, replay guard, fare, durable journal, upload
