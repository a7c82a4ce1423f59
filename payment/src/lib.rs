//! Charging rides and recharge channels (pure)
