"""The routes about a session's files, and the way to its sandbox and back."""
