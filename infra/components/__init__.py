"""The parts of a stack on a Docker engine, one component each."""
