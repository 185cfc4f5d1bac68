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


def _provider(take_away: Callable[[Any, dict[str, Any]], None]) -> ResourceProvider:
    placeless(take_away)

    class CleanupProvider(ResourceProvider):
        def create(self, props: dict[str, Any]) -> CreateResult:
            import secrets

            return CreateResult(id_=secrets.token_hex(8), outs=props)

        def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
            replaces = [key for key in ("stack", "scope", "image") if olds.get(key) != news.get(key)]
            changed = any(olds.get(key) != value for key, value in news.items())
            return DiffResult(changes=changed, replaces=replaces)

        def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
            return UpdateResult(outs=news)

        def delete(self, _id: str, props: dict[str, Any]) -> None:
            import docker

            host = props.get("dockerHost")
            client = docker.DockerClient(base_url=host, use_ssh_client=True) if host else docker.from_env()
            try:
                take_away(client, props)
            finally:
                client.close()

    return portable(CleanupProvider)


def _containers() -> ResourceProvider:
    def take_away(client: Any, props: dict[str, Any]) -> None:
        import docker

        labels = [f"vaporforge.stack={props['stack']}", "vaporforge.role=sandbox"]
        for container in client.containers.list(all=True, filters={"label": labels}, ignore_removed=True):
            try:
                container.remove(force=True, v=True)
            except docker.errors.APIError as error:
                # 404: gone already. 409: another's removal is under way; the engine finishes it.
                if error.status_code not in {404, 409}:
                    raise

    return _provider(take_away)


def _volumes() -> ResourceProvider:
    def take_away(client: Any, props: dict[str, Any]) -> None:
        import docker

        for volume in client.volumes.list(filters={"label": f"vaporforge.stack={props['stack']}"}):
            if (volume.attrs.get("Labels") or {}).get("vaporforge.role") not in {"table", "blobs"}:
                volume.remove(force=True)
        for image in client.images.list(filters={"reference": f"{props['stack']}/*"}):
            for tag in image.tags:
                if tag.startswith(f"{props['stack']}/"):
                    try:
                        client.images.remove(tag)
                    except docker.errors.ImageNotFound:
                        continue

    return _provider(take_away)


def _tag() -> ResourceProvider:
    def take_away(client: Any, props: dict[str, Any]) -> None:
        import docker

        try:
            client.images.remove(props["image"])
        except docker.errors.APIError as error:
            # 404: gone already. 409: a sandbox still runs on it; it goes with the stack.
            if error.status_code not in {404, 409}:
                raise

    return _provider(take_away)


class _Cleanup(Resource, module="vaporforge", name="Cleanup"):
    def __init__(
        self, provider: ResourceProvider, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(provider, name, props, opts)


class SandboxContainers(_Cleanup, module="vaporforge", name="SandboxContainers"):
    """The sandboxes of a stack on its network: deleted with it, after the launcher and before the network.

    `scope`: the network's id; another one means other containers."""

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
    """The volumes of every session of a stack, and what is left of its images: deleted with it."""

    def __init__(self, name: str, *, stack_id: str, docker_host: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__(_volumes(), name, {"stack": stack_id, "dockerHost": docker_host}, opts)


class ImageTag(_Cleanup, module="vaporforge", name="ImageTag"):
    """An image's name on the engine: a changed one replaces it, and the old name goes once nothing runs on it."""

    def __init__(
        self, name: str, *, image: pulumi.Input[str], docker_host: str, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__(_tag(), name, {"image": image, "dockerHost": docker_host}, opts)
