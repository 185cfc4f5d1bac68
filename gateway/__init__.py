"""The gateway: the stateless aiohttp service that browsers reach."""
