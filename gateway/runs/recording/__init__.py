"""Recording: drives a run under its lease and makes its frames durable."""
