"""The `aws` target in three steps: what holds data, how it is reached, and the tasks."""
