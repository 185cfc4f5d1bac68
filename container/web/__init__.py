"""The agent server: its routes, the readers of runs, and the relay."""
