"""Runs in this sandbox: their queries, their frames and their frame log."""
