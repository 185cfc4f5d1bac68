"""What differs between two images, file by file and field by field, of their archives (`docker save`)."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HISTORY: Final = "history"
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder, link or device of a layer. `content`: SHA-256 of a file's, else what a link leads to or a device
    is. `modified`: seconds since 1970, as the layer has it."""

    kind: str
    mode: str
    owner: str
    content: str
    modified: float
    attributes: str


@dataclass(frozen=True, slots=True)
class Image:
    """`id`: `sha256:<hex>` of the description. `config`: the description. `layers`: of each its entries by path, lowest
    first."""

    id: str
    config: Mapping[str, Any]
    layers: tuple[Mapping[str, Entry], ...]

    @property
    def digests(self) -> list[str]:
        """Of the layers, uncompressed."""
        return list(self.config["rootfs"]["diff_ids"])


def read_image(archive: Path) -> Image:
    """The only image in an archive, as every version of the engine writes it. Raises `ValueError`."""
    with tarfile.open(archive) as tar:
        manifest = json.loads(_file(tar, "manifest.json"))
        if len(manifest) != 1:
            raise ValueError(f"{archive.name} has {len(manifest)} images")
        raw = _file(tar, manifest[0]["Config"])
        layers = tuple(_entries(tar, name) for name in manifest[0]["Layers"])
    return Image(f"sha256:{hashlib.sha256(raw).hexdigest()}", json.loads(raw), layers)


def alike(first: Image, second: Image) -> bool:
    """Whether they have the same layers and the same description, but for the times in it that a builder writes."""
    return first.digests == second.digests and timeless(first.config) == timeless(second.config)


def timeless(config: Mapping[str, Any]) -> dict[str, Any]:
    """A description without the times at which the image and its layers were made."""
    kept = {name: value for name, value in config.items() if name != "created"}
    history = [{k: v for k, v in step.items() if k != "created"} for step in config.get(HISTORY) or ()]
    return {**kept, HISTORY: history}


def differences(first: Image, second: Image) -> list[str]:
    """A line for each field and each file that differs; empty for images of one id."""
    found = list(_fields("", first.config, second.config))
    for number, (one, other) in enumerate(zip(first.layers, second.layers, strict=False), 1):
        if number <= min(len(first.digests), len(second.digests)) and (
            first.digests[number - 1] == second.digests[number - 1]
        ):
            continue
        found += [f"layer {number}: {line}" for line in _files(one, other)]
    return found


def _fields(path: str, one: Any, other: Any) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for name in sorted({*one, *other}):
            yield from _fields(f"{path}.{name}".lstrip("."), one.get(name), other.get(name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (mine, its) in enumerate(zip(one, other, strict=True)):
            yield from _fields(f"{path}[{index}]", mine, its)
    elif one != other:
        yield f"{path}: {_short(one)} and {_short(other)}"


def _files(one: Mapping[str, Entry], other: Mapping[str, Entry]) -> Iterator[str]:
    ordered = True
    for path in sorted({*one, *other}):
        if path not in one or path not in other:
            ordered = False
            yield f"/{path}: only in the {'second' if path not in one else 'first'}"
            continue
        for field in Entry.__dataclass_fields__:
            mine, its = getattr(one[path], field), getattr(other[path], field)
            if mine != its:
                yield f"/{path}: {field} {_short(mine)} and {_short(its)}"
    if ordered and list(one) != list(other):
        yield "its files are in another order"


def _short(value: Any) -> str:
    return str(value)[:80]


def _entries(tar: tarfile.TarFile, name: str) -> dict[str, Entry]:
    packed = tar.extractfile(name)
    assert packed is not None
    with tarfile.open(fileobj=packed) as layer:
        return {member.name: _entry(layer, member) for member in layer}


def _entry(layer: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    content = member.linkname
    if member.isreg():
        file = layer.extractfile(member)
        assert file is not None
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
        content = digest.hexdigest()
    elif member.isdev():
        content = f"{member.devmajor}:{member.devminor}"
    attributes = {key: value for key, value in member.pax_headers.items() if "xattr" in key.lower()}
    return Entry(
        kind=member.type.decode(),
        mode=oct(member.mode),
        owner=f"{member.uid}:{member.gid}",
        content=content,
        modified=member.mtime,
        attributes=json.dumps(attributes, sort_keys=True) if attributes else "",
    )


def _file(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is no file")
    return file.read()
