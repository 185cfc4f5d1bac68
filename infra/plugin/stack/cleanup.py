"""The types that take away what a stack leaves on the engine besides Pulumi's resources.

Sandboxes and their volumes are made by the launcher, and the provider of images deletes none. Each type stands for one
of these kinds, so that the engine's order of deletion holds for them too; what it is for is its `delete`.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

import docker

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, PluginError, Traits
from infra.plugin.stack.engine import MOVED, engine
from infra.plugin.stack.stateonly import StateOnly

REMOVALS: Final = 4
"""Tries to remove a network."""


class ImageTagType(StateOnly):
    """An image's name on the engine: a changed one replaces it, and the old name goes once nothing runs on it."""

    traits = Traits(
        inputs=frozenset({"image", "dockerHost"}),
        required=frozenset({"image"}),
        in_place=frozenset({"dockerHost", MOVED}),
    )

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:  # noqa: ARG002
        with engine(state) as client:
            _remove_tag(client, state["image"])


class SandboxContainersType(StateOnly):
    """The sandboxes of a stack with the network of each, and the images of earlier agents. `scope`: what networks they
    are on."""

    traits = Traits(
        inputs=frozenset({"stack", "scope", "dockerHost"}),
        required=frozenset({"stack", "scope"}),
        in_place=frozenset({"stack", "dockerHost", MOVED}),
    )

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:  # noqa: ARG002
        with engine(state) as client:
            stack = f"vaporforge.stack={state['stack']}"
            sandboxes: dict[str, Any] = {"label": [stack, "vaporforge.role=sandbox"]}
            for container in client.containers.list(all=True, filters=sandboxes, ignore_removed=True):
                try:
                    container.remove(force=True, v=True)
                except docker.errors.APIError as error:
                    # 404: gone already. 409: another's removal is under way; the engine finishes it.
                    if error.status_code not in {404, 409}:
                        raise
            for network in client.networks.list(filters=sandboxes):
                _remove_network(client, state["stack"], network)
            _remove_earlier_agents(client, state["stack"])


class SessionVolumesType(StateOnly):
    """The volumes of every session of a stack, and what is left of its images.

    What the engine has of the stack is found by its name alone, and two deployments of one name would delete each
    other's data. So this is made only where nothing has the name yet, and nothing replaces it."""

    traits = Traits(
        inputs=frozenset({"stack", "dockerHost"}),
        required=frozenset({"stack"}),
        in_place=frozenset({"stack", "dockerHost", MOVED}),
    )

    def refuse(self, inputs: Properties) -> None:
        """See `Refusing`."""
        with engine(inputs) as client:
            _refuse_what_is_there(client, inputs["stack"])

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:  # noqa: ARG002
        with engine(state) as client:
            for volume in client.volumes.list(filters={"label": f"vaporforge.stack={state['stack']}"}):
                if (volume.attrs.get("Labels") or {}).get("vaporforge.role") not in {"table", "blobs"}:
                    volume.remove(force=True)
            for image in client.images.list(filters={"reference": f"{state['stack']}/*"}):
                for tag in image.tags:
                    if tag.startswith(f"{state['stack']}/"):
                        _remove_tag(client, tag)


def _refuse_what_is_there(client: docker.DockerClient, stack: str) -> None:
    label = f"vaporforge.stack={stack}"
    found = [f"volume {item.name}" for item in client.volumes.list(filters={"label": label})]
    containers = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    found += [f"container {item.name}" for item in containers]
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise PluginError(
            f"the Docker engine has volumes or containers of a stack {stack} that this deployment did not make: "
            f"{', '.join(sorted(found)[:3])}{more}. Where they are another deployment's, give this one another name "
            "(scripts/up --stack NAME). Where the state of theirs is lost, remove them and the data in them: "
            f"docker ps -aq --filter label={label} | xargs -r docker rm -f; "
            f"docker volume ls -q --filter label={label} | xargs -r docker volume rm"
        )


def _remove_network(client: docker.DockerClient, stack: str, network: Any) -> None:
    """Gateways that go on are taken off it first; one that does not run would not start again without it."""
    gateways: dict[str, Any] = {"label": [f"vaporforge.stack={stack}", "vaporforge.role=gateway"]}
    for attempt in range(1, REMOVALS + 1):
        members = {
            item["Id"]
            for item in client.api.containers(all=True, filters=gateways)
            if network.name in (item["NetworkSettings"]["Networks"] or {})
        }
        try:
            members |= set(client.api.inspect_network(network.id).get("Containers") or {})
            for member in members:
                with contextlib.suppress(docker.errors.APIError):
                    client.api.disconnect_container_from_network(member, network.id, force=True)
            network.remove()
        except docker.errors.NotFound:
            return
        except docker.errors.APIError:
            # A launcher that goes on puts a gateway on it in between.
            if attempt == REMOVALS:
                raise
        else:
            return


def _remove_earlier_agents(client: docker.DockerClient, stack: str) -> None:
    """What sandboxes had kept. What a launcher starts sandboxes from stays."""
    launchers: dict[str, Any] = {"label": [f"vaporforge.stack={stack}", "vaporforge.role=launcher"]}
    needed = [
        variable.removeprefix("VF_SANDBOX_IMAGE=")
        for launcher in client.containers.list(all=True, filters=launchers, ignore_removed=True)
        for variable in launcher.attrs["Config"]["Env"] or []
    ]
    agents = f"{stack}/agent"
    for image in client.images.list(filters={"reference": agents}):
        for tag in image.tags:
            if tag.startswith(f"{agents}:") and tag not in needed:
                _remove_tag(client, tag)


def _remove_tag(client: docker.DockerClient, tag: str) -> None:
    try:
        client.images.remove(tag)
    except docker.errors.APIError as error:
        # 404: gone already. 409: a sandbox still runs on it; it goes with the sandboxes.
        if error.status_code not in {404, 409}:
            raise
