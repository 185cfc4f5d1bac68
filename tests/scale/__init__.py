"""A plan for many users, and the simulation that it rests on."""
