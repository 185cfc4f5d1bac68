"""`docker:index/volume:Volume`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker

from infra.plugin.network import labels_of
from infra.plugin.properties import Properties
from infra.plugin.resource import Context, MissingError, Plain, PluginError, Traits


class VolumeType(Plain):
    """A volume; its name is its id, and every change of it replaces it."""

    traits = Traits(
        inputs=frozenset({"name", "driver", "driverOpts", "labels"}),
        unordered=frozenset({"labels"}),
        computed=frozenset({"mountpoint"}),
        auto_named=True,
    )

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]:
        made = context.api.create_volume(
            name=inputs["name"],
            driver=inputs.get("driver"),
            driver_opts=inputs.get("driverOpts"),
            labels=labels_of(inputs),
        )
        return made["Name"], self._outputs(made)

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:  # noqa: ARG002
        try:
            return self._outputs(context.api.inspect_volume(resource_id))
        except docker.errors.NotFound:
            raise MissingError from None

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:  # noqa: ARG002
        try:
            context.api.remove_volume(resource_id)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            raise PluginError(f"volume {resource_id} could not be removed: {error.explanation}") from error

    def _outputs(self, found: Mapping[str, Any]) -> Properties:
        return {"name": found["Name"], "driver": found["Driver"], "mountpoint": found["Mountpoint"]}
