"""`docker:index/remoteImage:RemoteImage`: an image that is there, or that is pulled."""

from __future__ import annotations

from typing import Any

import docker

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, MissingError, Plain, PluginError, Traits


class RemoteImageType(Plain):
    """Found on the engine, else pulled; not built (`Image` does that). Its id is the image's id and name."""

    traits = Traits(
        inputs=frozenset({"name", "keepLocally", "forceRemove", "pullTriggers", "triggers"}),
        required=frozenset({"name"}),
        in_place=frozenset({"keepLocally", "forceRemove"}),
        unordered=frozenset({"pullTriggers"}),
        computed=frozenset({"imageId", "repoDigest"}),
    )

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]:
        name = inputs["name"]
        try:
            outputs = self.read(context, "", inputs)
        except MissingError:
            self._pull(context, name)
            outputs = self.read(context, "", inputs)
        return f"{outputs['imageId']}{name}", outputs

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:  # noqa: ARG002
        try:
            found = inspect_image(context.api, inputs["name"])
        except docker.errors.NotFound:
            raise MissingError from None
        return {"imageId": found["Id"], "repoDigest": next(iter(found.get("RepoDigests") or []), "")}

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:  # noqa: ARG002
        if state.get("keepLocally"):
            return
        try:
            context.api.remove_image(state["name"], force=bool(state.get("forceRemove")))
        except docker.errors.NotFound:
            return

    def _pull(self, context: Context, name: str) -> None:
        # The SDK takes a name without a tag for all of its tags; the official plugin takes it for `latest`.
        named = ":" in name.rsplit("/", 1)[-1] or "@" in name
        try:
            for line in context.api.pull(name if named else f"{name}:latest", stream=True, decode=True):
                if context.cancelled.is_set():
                    raise PluginError(f"pulling {name} was cancelled")
                if "error" in line:
                    raise PluginError(f"{name} could not be pulled: {line['error']}")
                context.log.status(context.urn, f"{line.get('id', '')} {line.get('status', '')}".strip())
        except docker.errors.APIError as error:
            raise PluginError(
                f"{name} is not on the engine and could not be pulled: {error.explanation}"
            ) from error


def inspect_image(api: docker.APIClient, name: str) -> dict[str, Any]:
    """What the engine knows of an image. Raises docker's `ImageNotFound`."""
    found: dict[str, Any] = api.inspect_image(name)  # type: ignore[no-untyped-call] # the stubs leave it out
    return found
