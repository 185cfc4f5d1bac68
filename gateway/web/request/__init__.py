"""What every request goes through: who asks, its body, its errors, and what the application holds for it."""
