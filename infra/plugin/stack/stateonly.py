"""What the stack's own types share: each is made of nothing, and is known by a name drawn for it."""

from __future__ import annotations

import secrets

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, Plain


class StateOnly(Plain):
    """Changes nothing but the state; a type says in calls of its own what it is for."""

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]:
        """See `ResourceType`: what `update` makes of no state."""
        return secrets.token_hex(8), self.update(context, "", inputs, {})

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:  # noqa: ARG002
        """See `ResourceType`."""
        return {}
