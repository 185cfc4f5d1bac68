"""The workspace: files that pass through the server, archives and snapshots."""
