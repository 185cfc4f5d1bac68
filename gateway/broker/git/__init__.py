"""Git hosts, for sandboxes: git's smart HTTP with the user's own token put in on the way."""
