"""`docker:index/container:Container`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import docker

from infra.plugin import wait
from infra.plugin.container_spec import create_arguments
from infra.plugin.properties import Properties
from infra.plugin.resource import Context, MissingError, PluginError, Traits

ENGINE_UPDATES: Final = frozenset({"restart", "maxRetryCount", "cpuShares", "memory", "memorySwap", "cpuSet"})
"""Inputs that the engine changes on a running container."""

OURS: Final = frozenset(
    {"wait", "waitTimeout", "destroyGraceSeconds", "mustRun", "removeVolumes", "start", "tmpfs"}
)
"""Inputs whose change only matters the next time; the official plugin replaces nothing for them either."""


class ContainerType:
    """A container, created, put on its networks, started and, when asked, waited for until it is healthy."""

    traits = Traits(
        inputs=ENGINE_UPDATES
        | OURS
        | {
            *(
                "name",
                "image",
                "command",
                "entrypoints",
                "envs",
                "user",
                "workingDir",
                "labels",
                "hostname",
                "init",
            ),
            *(
                "networksAdvanced",
                "networkMode",
                "ports",
                "volumes",
                "privileged",
                "readOnly",
                "capabilities",
            ),
            *(
                "securityOpts",
                "ulimits",
                "logDriver",
                "logOpts",
                "stopTimeout",
                "stopSignal",
                "healthcheck",
                "runtime",
            ),
            *("groupAdds", "cpus", "sysctls"),
        },
        required=frozenset({"image"}),
        in_place=ENGINE_UPDATES | OURS,
        unordered=frozenset(
            {"envs", "labels", "networksAdvanced", "volumes", "securityOpts", "ulimits", "groupAdds"}
        ),
        computed=frozenset({"hostname", "bridge", "networkDatas", "containerLogs", "exitCode"}),
        auto_named=True,
        defaults={"networkMode": "bridge"},
    )

    def check(self, inputs: Properties) -> Mapping[str, Any]:
        if "cpus" in inputs and not str(inputs["cpus"]).replace(".", "", 1).isdigit():
            raise PluginError(f"cpus is {inputs['cpus']!r}; it must be a number")
        return {}

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]:
        api = context.api
        try:
            config = create_arguments(api, inputs)
            made = api.create_container_from_config(config, inputs["name"])["Id"]  # type: ignore[no-untyped-call]
        except docker.errors.ImageNotFound as error:
            raise PluginError(f"image {inputs['image']} is not on the engine") from error
        try:
            self._connect(api, made, inputs)
            if inputs.get("start", True):
                api.start(made)
                wait.until_running(context, made, inputs)
                if inputs.get("wait"):
                    wait.until_healthy(context, made, inputs)
            if context.cancelled.is_set():
                # Nobody may be left to write it down.
                raise PluginError(f"making {inputs['name']} was cancelled")
            return made, self._outputs(api.inspect_container(made))
        except BaseException:
            api.remove_container(made, v=True, force=True)
            raise

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:
        try:
            found = context.api.inspect_container(resource_id)
        except docker.errors.NotFound:
            raise MissingError from None
        if inputs.get("mustRun", True) and not found["State"]["Running"]:
            # One that should run and does not is as good as gone: the next update makes another.
            raise MissingError
        return self._outputs(found)

    def update(
        self,
        context: Context,
        resource_id: str,
        inputs: Properties,
        state: Properties,  # noqa: ARG002
    ) -> Properties:
        mega = 1024 * 1024
        swap = inputs.get("memorySwap")
        try:
            context.api.update_container(
                resource_id,
                restart_policy={
                    "Name": inputs.get("restart", "no"),
                    "MaximumRetryCount": inputs.get("maxRetryCount", 0),
                },
                cpu_shares=inputs.get("cpuShares"),
                cpuset_cpus=inputs.get("cpuSet"),
                mem_limit=inputs["memory"] * mega if inputs.get("memory") else None,
                memswap_limit=swap * mega if swap and swap > 0 else swap,
            )
        except docker.errors.NotFound:
            raise MissingError from None
        return self.read(context, resource_id, inputs)

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:
        api = context.api
        grace = state.get("destroyGraceSeconds") or 0
        try:
            if grace > 0:
                api.stop(resource_id, timeout=grace)
            api.remove_container(resource_id, v=bool(state.get("removeVolumes", True)), force=True)
        except docker.errors.NotFound:
            return
        except docker.errors.APIError as error:
            if error.status_code != 409:  # its removal is already under way
                raise
        wait.until_gone(context, resource_id)

    def _connect(self, api: docker.APIClient, container: str, inputs: Properties) -> None:
        networks = inputs.get("networksAdvanced") or []
        if networks:
            api.disconnect_container_from_network(container, "bridge", force=True)
        for network in networks:
            api.connect_container_to_network(
                container,
                network["name"],
                aliases=network.get("aliases"),
                ipv4_address=network.get("ipv4Address"),
                ipv6_address=network.get("ipv6Address"),
            )

    def _outputs(self, found: Mapping[str, Any]) -> Properties:
        networks = found["NetworkSettings"]["Networks"] or {}
        return {
            "name": found["Name"].lstrip("/"),
            "hostname": found["Config"]["Hostname"],
            "bridge": found["NetworkSettings"].get("Bridge", ""),
            "networkDatas": [
                {
                    "networkName": name,
                    "ipAddress": network.get("IPAddress", ""),
                    "ipPrefixLength": network.get("IPPrefixLen", 0),
                    "gateway": network.get("Gateway", ""),
                    "macAddress": network.get("MacAddress", ""),
                    "globalIpv6Address": network.get("GlobalIPv6Address", ""),
                    "globalIpv6PrefixLength": network.get("GlobalIPv6PrefixLen", 0),
                    "ipv6Gateway": network.get("IPv6Gateway", ""),
                }
                for name, network in sorted(networks.items())
            ],
        }
