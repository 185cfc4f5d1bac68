"""The one error of the commands."""

from __future__ import annotations


class CliError(Exception):
    """A command failed; the message is all that its user reads."""
