"""The pool: sandboxes that are started before it is known whose they are, claimed by sessions, and replaced."""
