//! Double entry: accounts, transfers, groups, trial balance (pure)
