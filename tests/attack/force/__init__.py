"""The traffic of attacks: a process of its own for each, so that it never holds up whoever watches."""
