"""Runs: admission, stop and pause, sweeping, and reading one from a cursor."""
