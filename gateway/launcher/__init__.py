"""The launcher: the one small service that may talk to the Docker engine; all it is told is a session's id."""
