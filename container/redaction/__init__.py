"""Strikes secrets from what an agent says: shapes of tokens, values that are known, and streams of both."""
