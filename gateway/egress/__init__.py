"""Egress: the listener by which sandboxes reach hosts outside, and the policy that says which."""
