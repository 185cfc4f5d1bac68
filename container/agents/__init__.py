"""Agents: programs that read queries as JSON lines on stdin and write frames as JSON lines on stdout."""
