"""Browser connections: where a run's frames go, and the session's relay."""
