"""The `ecs` driver: a sandbox is a Fargate task of its own, without volumes; what outlives it is its snapshot."""
