"""`vaporforge-stack:index:ProcessLimits`."""

from __future__ import annotations

from typing import Final

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, PluginError, Traits
from infra.plugin.stack.engine import MOVED, engine
from infra.plugin.stack.stateonly import StateOnly

SECONDS: Final = 60
"""Limit of one call to the engine."""


class ProcessLimitsType(StateOnly):
    """`containers`, ids by name, may each have `pids` processes and threads: told at its creation and whenever a
    container or the number is another. There is nothing to delete."""

    traits = Traits(
        inputs=frozenset({"containers", "pids", "dockerHost"}),
        required=frozenset({"containers", "pids"}),
        in_place=frozenset({"containers", "pids", "dockerHost", MOVED}),
    )

    def update(
        self,
        context: Context,  # noqa: ARG002
        resource_id: str,  # noqa: ARG002
        inputs: Properties,
        state: Properties,  # noqa: ARG002
    ) -> Properties:
        _limit(inputs)
        return {}

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        """The limit goes with its container."""


def _limit(inputs: Properties) -> None:
    with engine(inputs) as client:
        api = client.api
        for name, container in sorted(inputs["containers"].items()):
            # The SDK's own `update_container` does not know this limit, which engines have taken since 19.03.
            url = f"{api.base_url}/v{api.api_version}/containers/{container}/update"
            answer = api.post(url, json={"PidsLimit": int(inputs["pids"])}, timeout=SECONDS)
            if not answer.ok:
                raise PluginError(
                    f"the Docker engine does not limit the processes of {name}: {answer.text.strip()}"
                )
