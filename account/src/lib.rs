//! Passengers, devices and their identification (pure)
