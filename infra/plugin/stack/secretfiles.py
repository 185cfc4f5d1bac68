"""`vaporforge-stack:index:SecretFiles`: secrets on a volume, where no inspection of a container shows them."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import Mapping
from typing import Any, Final

import docker

from infra.plugin.properties import Properties
from infra.plugin.resource import Context, MissingError, Plain, PluginError, Traits
from infra.plugin.stack.engine import engine

ROLE: Final = "secrets"

FOLDER: Final = "/files"
"""Where the volume is in the container that it is filled through, which is never started."""

IN_USE: Final = 409
GONE: Final = 404


class SecretFilesType(Plain):
    """`files` (contents by name) of a `part` of a `stack`, on a volume of their own; mode 0400, its owner `owner` (a
    uid, and the group of that number). Other contents are another volume: who has the old one keeps it until it is gone
    itself. `image`: one that the engine has."""

    traits = Traits(
        inputs=frozenset({"stack", "part", "files", "owner", "image", "dockerHost"}),
        required=frozenset({"stack", "part", "files", "owner", "image"}),
        in_place=frozenset({"dockerHost"}),
        unnoticed=frozenset({"image"}),
        computed=frozenset({"volume"}),
    )

    def create(self, context: Context, inputs: Properties) -> tuple[str, Properties]:  # noqa: ARG002
        """See `ResourceType`."""
        name = f"{inputs['stack']}-{inputs['part']}-secrets-{secrets.token_hex(4)}"
        labels = _labels(inputs)
        with engine(inputs) as client:
            _remove_unused(client, labels)
            volume = client.volumes.create(name, labels=labels)
            try:
                _fill(client, name, inputs, labels)
            except BaseException:
                volume.remove(force=True)
                raise
        return name, {"volume": name}

    def read(self, context: Context, resource_id: str, inputs: Properties) -> Properties:  # noqa: ARG002
        """See `ResourceType`."""
        with engine(inputs) as client:
            try:
                client.volumes.get(resource_id)
            except docker.errors.NotFound:
                raise MissingError from None
        return {"volume": resource_id}

    def delete(self, context: Context, resource_id: str, state: Properties) -> None:  # noqa: ARG002
        """See `ResourceType`."""
        with engine(state) as client:
            try:
                client.volumes.get(resource_id).remove(force=True)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                raise PluginError(
                    f"volume {resource_id} could not be removed: {error.explanation}"
                ) from error


def _labels(inputs: Properties) -> dict[str, str]:
    stack, part = str(inputs["stack"]), str(inputs["part"])
    return {"vaporforge.stack": stack, "vaporforge.role": ROLE, "vaporforge.part": part}


def _remove_unused(client: docker.DockerClient, labels: Mapping[str, str]) -> None:
    """What a run that was killed left of the part: containers that volumes were to be filled through, and volumes that
    no container has."""
    filters: dict[str, Any] = {"label": [f"{key}={value}" for key, value in labels.items()]}
    for container in client.containers.list(all=True, filters=filters, ignore_removed=True):
        container.remove(force=True)
    for volume in client.volumes.list(filters=filters):
        try:
            volume.remove()
        except docker.errors.APIError as error:
            if error.status_code not in {GONE, IN_USE}:
                raise


def _fill(client: docker.DockerClient, volume: str, inputs: Properties, labels: Mapping[str, str]) -> None:
    try:
        container = client.containers.create(
            inputs["image"],
            command=["true"],
            labels=dict(labels),
            network_mode="none",
            volumes={volume: {"bind": FOLDER, "mode": "rw"}},
        )
    except docker.errors.ImageNotFound as error:
        raise PluginError(f"image {inputs['image']} is not on the engine") from error
    try:
        if not container.put_archive(FOLDER, _archive(inputs["files"], int(inputs["owner"]))):
            raise PluginError(f"the Docker engine did not take the files of {volume}")
    finally:
        container.remove(force=True)


def _archive(files: Mapping[str, str], owner: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in sorted(files.items()):
            data = content.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(data), 0o400, owner, owner
            archive.addfile(entry, io.BytesIO(data))
    return made.getvalue()
