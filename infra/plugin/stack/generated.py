"""`vaporforge-stack:index:Secrets`."""

from __future__ import annotations

import re
import secrets
from typing import Final

from infra.plugin.properties import Properties, secret
from infra.plugin.resource import Context, Traits
from infra.plugin.stack.engine import MOVED
from infra.plugin.stack.stateonly import StateOnly

NAME: Final = re.compile(r"[a-z]+(_[0-9]+)?")
"""What a secret is called: its purpose, and behind the first version the number of this one."""


class SecretsType(StateOnly):
    """A secret for each of `names`, made once; a name that is added later leaves the others as they are. One that is no
    longer asked for is kept: something may be found that is encrypted with it."""

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
    kept = {name: value for name, value in state.items() if NAME.fullmatch(name) and isinstance(value, str)}
    return {
        name: secret(kept.get(name) or secrets.token_urlsafe(48))
        for name in {**kept, **dict.fromkeys(inputs["names"])}
    }
