"""What the engine and its machine have besides the stack."""
