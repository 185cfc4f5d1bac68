"""What a stack costs and how many sessions it has room for, told before it is deployed."""
