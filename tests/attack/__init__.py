"""`scripts/attack`: attacks on a VaporForge of one's own, while a good user's stream is timed."""
