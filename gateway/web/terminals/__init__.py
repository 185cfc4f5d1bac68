"""Terminals of a session's sandbox: its owner's alone, recorded nowhere, and each byte once over any gateway."""
