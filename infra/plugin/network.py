"""`docker:index/network:Network`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, MissingError, Plain, PluginError, Traits


class NetworkType(Plain):
    """A network; every change of it replaces it."""

    traits = Traits(
        inputs=frozenset({"name", "driver", "internal", "attachable", "labels", "options", "ipamDriver"}),
        unordered=frozenset({"labels"}),
        computed=frozenset({"scope", "ipamConfigs"}),
        auto_named=True,
        defaults={"ipamDriver": "default"},
    )

    def check(self, inputs: Properties) -> Mapping[str, Any]:
        if inputs["ipamDriver"] != "default":
            raise PluginError(
                f"ipamDriver is {inputs['ipamDriver']!r}; this stand-in plugin knows default alone"
            )
        return {}

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]:
        made = context.api.create_network(
            inputs["name"],
            driver=inputs.get("driver"),
            options=inputs.get("options"),
            internal=bool(inputs.get("internal")),
            attachable=bool(inputs.get("attachable")) or None,
            labels=labels_of(inputs),
            check_duplicate=True,
        )
        return made["Id"], self.read(context, made["Id"], inputs)

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:  # noqa: ARG002
        try:
            found = context.api.inspect_network(resource_id)
        except docker.errors.NotFound:
            raise MissingError from None
        subnets = (found.get("IPAM") or {}).get("Config") or []
        return {
            "name": found["Name"],
            "driver": found["Driver"],
            "internal": found["Internal"],
            "attachable": found["Attachable"],
            "scope": found["Scope"],
            "ipamConfigs": [
                {"subnet": item.get("Subnet"), "gateway": item.get("Gateway")} for item in subnets
            ],
        }

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        try:
            context.api.remove_network(resource_id)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            raise PluginError(
                f"network {state.get('name')} could not be removed: {error.explanation}"
            ) from error


def labels_of(inputs: Properties) -> dict[str, str]:
    """Pulumi's list of label and value as Docker's mapping."""
    return {item["label"]: item["value"] for item in inputs.get("labels") or []}
