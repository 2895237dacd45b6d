"""The asyncio twins of the clients."""
