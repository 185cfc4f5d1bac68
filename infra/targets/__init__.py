"""Where a stack can be deployed."""
