"""Components of the `docker` target."""
