"""The listener of all four servers: aiohttp's, with the deadlines, bounds and counts that it does not have itself."""
