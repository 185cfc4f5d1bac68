"""What outlives the tasks of a stack: table, snapshots, secrets, logs, and the key that they are encrypted with."""
