"""Terminals: shells on pseudo-terminals beside the agent, whose output is kept in rings and resumed by its offset."""
