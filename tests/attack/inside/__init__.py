"""From within a sandbox: what is tried there, and what an attacker would have to know for it."""
