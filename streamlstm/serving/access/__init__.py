"""Who may connect to a worker and how much they may ask: keys, roles, limits, quotas."""
