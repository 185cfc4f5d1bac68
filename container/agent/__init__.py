"""The agent's process: started, fed lines, watched, and ended with all that it started."""
