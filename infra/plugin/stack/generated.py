"""`vaporforge-stack:index:Secrets`."""

from __future__ import annotations

import secrets

from infra.plugin.properties import Properties, secret
from infra.plugin.resource import Context, Traits
from infra.plugin.stack.engine import MOVED
from infra.plugin.stack.stateonly import StateOnly


class SecretsType(StateOnly):
    """A secret for each of `names`, made once; a name that is added later leaves the others as they are."""

    traits = Traits(
        inputs=frozenset({"names"}),
        required=frozenset({"names"}),
        in_place=frozenset({"names", MOVED}),
        keeps=True,
    )

    def update(
        self,
        context: Context,  # noqa: ARG002
        resource_id: str,  # noqa: ARG002
        inputs: Properties,
        state: Properties,
    ) -> Properties:
        return _made(inputs, state)

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """There is nothing but the state."""


def _made(inputs: Properties, state: Properties) -> Properties:
    return {name: secret(state.get(name) or secrets.token_urlsafe(48)) for name in inputs["names"]}
