"""Access to a worker: keys and roles of clients, limits and quotas for each of them."""
