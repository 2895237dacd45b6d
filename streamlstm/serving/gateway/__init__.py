"""A gateway: one address for a fleet, for clients that know of a single worker only."""
