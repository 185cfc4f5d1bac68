"""What calls of the model's API cost, counted and held to budgets."""
