"""What a stack leaves on the engine besides Pulumi's resources, taken away with them: dynamic resources that delete.

Sandboxes and their volumes are made by the launcher, and the provider of images deletes none. Each resource here stands
for one of these kinds, so that the engine's order of deletion holds for them too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider, UpdateResult

from infra.portable import placeless, portable

# Everything a provider runs is local to a function: it is pickled by value then, so that the state carries the code
# and the process that deletes need not find this project.


def _provider(
    take_away: Callable[[Any, dict[str, Any]], None],
    *,
    replaced_by: tuple[str, ...] = (),
    refuse: Callable[[Any, dict[str, Any]], None] | None = None,
) -> ResourceProvider:
    """`replaced_by`: the properties whose change makes another thing of it. `refuse`: raises where it must not be."""

    def engine(props: dict[str, Any]) -> Any:
        import os

        import docker

        host = props.get("dockerHost")
        # The variables for TLS hold for a host that the stack names as well.
        environment = {**os.environ, "DOCKER_HOST": host} if host else dict(os.environ)
        return docker.from_env(environment=environment, use_ssh_client=True)

    for function in (take_away, refuse, engine):
        placeless(function)

    class CleanupProvider(ResourceProvider):
        def create(self, props: dict[str, Any]) -> CreateResult:
            import secrets

            if refuse is not None:
                client = engine(props)
                try:
                    refuse(client, props)
                finally:
                    client.close()
            return CreateResult(id_=secrets.token_hex(8), outs=props)

        def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
            replaces = [key for key in replaced_by if olds.get(key) != news.get(key)]
            changed = any(olds.get(key) != value for key, value in news.items())
            return DiffResult(changes=changed, replaces=replaces)

        def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
            return UpdateResult(outs=news)

        def delete(self, _id: str, props: dict[str, Any]) -> None:
            client = engine(props)
            try:
                take_away(client, props)
            finally:
                client.close()

    return portable(CleanupProvider)


def _tag_removal() -> Callable[[Any, str], None]:
    def remove_tag(client: Any, tag: str) -> None:
        import docker

        try:
            client.images.remove(tag)
        except docker.errors.APIError as error:
            # 404: gone already. 409: a sandbox still runs on it; it goes with the sandboxes.
            if error.status_code not in {404, 409}:
                raise

    placeless(remove_tag)
    return remove_tag


def _containers() -> ResourceProvider:
    remove_tag = _tag_removal()

    def take_away(client: Any, props: dict[str, Any]) -> None:
        import docker

        stack = f"vaporforge.stack={props['stack']}"
        sandboxes = {"label": [stack, "vaporforge.role=sandbox"]}
        for container in client.containers.list(all=True, filters=sandboxes, ignore_removed=True):
            try:
                container.remove(force=True, v=True)
            except docker.errors.APIError as error:
                # 404: gone already. 409: another's removal is under way; the engine finishes it.
                if error.status_code not in {404, 409}:
                    raise
        # Images of earlier agents, which a sandbox had kept. What a launcher starts sandboxes from stays.
        launchers = {"label": [stack, "vaporforge.role=launcher"]}
        needed = [
            variable.removeprefix("VF_SANDBOX_IMAGE=")
            for launcher in client.containers.list(all=True, filters=launchers, ignore_removed=True)
            for variable in launcher.attrs["Config"]["Env"] or []
        ]
        agents = f"{props['stack']}/agent"
        for image in client.images.list(filters={"reference": agents}):
            for tag in image.tags:
                if tag.startswith(f"{agents}:") and tag not in needed:
                    remove_tag(client, tag)

    return _provider(take_away, replaced_by=("scope",))


def _volumes() -> ResourceProvider:
    remove_tag = _tag_removal()

    def refuse(client: Any, props: dict[str, Any]) -> None:
        label = f"vaporforge.stack={props['stack']}"
        labelled = {"label": label}
        found = [f"volume {item.name}" for item in client.volumes.list(filters=labelled)]
        containers = client.containers.list(all=True, filters=labelled, ignore_removed=True)
        found += [f"container {item.name}" for item in containers]
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise RuntimeError(
                f"the Docker engine has volumes or containers of a stack {props['stack']} that this deployment did "
                f"not make: {', '.join(sorted(found)[:3])}{more}. Where they are another deployment's, give this one "
                "another name (scripts/up --stack NAME). Where the state of theirs is lost, remove them and the data "
                f"in them: docker ps -aq --filter label={label} | xargs -r docker rm -f; "
                f"docker volume ls -q --filter label={label} | xargs -r docker volume rm"
            )

    def take_away(client: Any, props: dict[str, Any]) -> None:
        for volume in client.volumes.list(filters={"label": f"vaporforge.stack={props['stack']}"}):
            if (volume.attrs.get("Labels") or {}).get("vaporforge.role") not in {"table", "blobs"}:
                volume.remove(force=True)
        for image in client.images.list(filters={"reference": f"{props['stack']}/*"}):
            for tag in image.tags:
                if tag.startswith(f"{props['stack']}/"):
                    remove_tag(client, tag)

    return _provider(take_away, refuse=refuse)


def _tag() -> ResourceProvider:
    remove_tag = _tag_removal()

    def take_away(client: Any, props: dict[str, Any]) -> None:
        remove_tag(client, props["image"])

    return _provider(take_away, replaced_by=("image",))


class _Cleanup(Resource, module="vaporforge", name="Cleanup"):
    def __init__(
        self, provider: ResourceProvider, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(provider, name, props, opts)


class SandboxContainers(_Cleanup, module="vaporforge", name="SandboxContainers"):
    """The sandboxes of a stack on its networks: deleted with it, after the launcher and before the networks, together
    with the images of earlier agents.

    `scope`: the networks' ids; another one means other containers."""

    def __init__(
        self,
        name: str,
        *,
        stack_id: str,
        scope: pulumi.Input[str],
        docker_host: str,
        opts: pulumi.ResourceOptions,
    ) -> None:
        props = {"stack": stack_id, "scope": scope, "dockerHost": docker_host}
        super().__init__(_containers(), name, props, opts)


class SessionVolumes(_Cleanup, module="vaporforge", name="SessionVolumes"):
    """The volumes of every session of a stack, and what is left of its images: deleted with it.

    What the engine has of the stack is found by its name alone, and two deployments of one name would delete each
    other's data. So this is made before all the rest, only where nothing has the name yet, and is never replaced."""

    def __init__(self, name: str, *, stack_id: str, docker_host: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__(_volumes(), name, {"stack": stack_id, "dockerHost": docker_host}, opts)


class ImageTag(_Cleanup, module="vaporforge", name="ImageTag"):
    """An image's name on the engine: a changed one replaces it, and the old name goes once nothing runs on it."""

    def __init__(
        self, name: str, *, image: pulumi.Input[str], docker_host: str, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(_tag(), name, {"image": image, "dockerHost": docker_host}, opts)
