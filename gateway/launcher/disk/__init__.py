"""The disk of the engine's machine: what sessions keep on it, who has too much, and whether there is room for more."""
