"""An image whose description tells no time of its build: two builds of the same layers and settings have one id."""

from __future__ import annotations

import datetime as dt
import io
import json
import tarfile
from contextlib import suppress
from typing import Any, Final

import docker

from infra.content import EPOCH

WRITES_EPOCH: Final = 23
"""The engine's first version whose builder takes `SOURCE_DATE_EPOCH` for an image's own time."""


def settle_image(api: Any, name: str) -> str:
    """Have `name` mean the image without times, with the same layers and settings, and without a history; where the
    builder has done so itself it stays. Its id. Raises `docker.errors.APIError`."""
    found = api.inspect_image(name)
    if int(api.version()["Version"].partition(".")[0]) >= WRITES_EPOCH:
        return str(found["Id"])
    # The engine opens no layer that it has, so that none need be sent.
    api.load_image(_archive(name, found))
    settled = str(api.inspect_image(name)["Id"])
    if settled != found["Id"]:
        _remove_unnamed(api, found["Id"])
    return settled


def _remove_unnamed(api: Any, image: str) -> None:
    """What was built, if no other name means it."""
    # Gone already, or a container of an earlier version runs on it: either is as good.
    with suppress(docker.errors.APIError):
        if not api.inspect_image(image)["RepoTags"]:
            api.remove_image(image, noprune=True)


def _archive(name: str, found: dict[str, Any]) -> bytes:
    created = dt.datetime.fromtimestamp(int(EPOCH), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    layers = found["RootFS"]["Layers"]
    described = {
        "architecture": found["Architecture"],
        "config": found["Config"],
        "created": created,
        "os": found["Os"],
        "rootfs": {"type": "layers", "diff_ids": layers},
    }
    manifest = [
        {
            "Config": "image.json",
            "RepoTags": [name],
            "Layers": [f"{number}.tar" for number in range(len(layers))],
        }
    ]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, content in (("image.json", described), ("manifest.json", manifest)):
            data = json.dumps(content, sort_keys=True).encode()
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()
