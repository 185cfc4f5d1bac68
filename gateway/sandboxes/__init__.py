"""Sandboxes: the client of their agent servers, drivers, waking, snapshots, and the reaper."""
