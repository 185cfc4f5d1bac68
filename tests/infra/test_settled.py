"""Two builds of the same layers and settings have one id, on an engine whose builder writes the time."""

from __future__ import annotations

import io
import secrets
import tarfile
from typing import TYPE_CHECKING, Any

import docker
import pytest

from infra.plugin.settled import WRITES_EPOCH, settle_image

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.docker, pytest.mark.e2e]


@pytest.fixture
def api() -> Iterator[Any]:
    engine = docker.from_env()
    yield engine.api
    engine.close()


@pytest.fixture
def name(api: Any) -> Iterator[str]:
    """Repository of this test's images, which are taken away."""
    repository = f"vaporforge-test-settled-{secrets.token_hex(4)}"
    yield repository
    for image in api.images(repository):
        for tag in image["RepoTags"]:
            api.remove_image(tag)


def takes_the_time(api: Any) -> bool:
    """Whether this engine's builder writes the time that it is told, so that nothing is to be done."""
    return int(api.version()["Version"].partition(".")[0]) >= WRITES_EPOCH


def imported(api: Any, name: str, tag: str, content: bytes) -> str:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    api.import_image_from_data(
        packed.getvalue(), repository=name, tag=tag, changes=["USER 7", 'CMD ["x"]', "EXPOSE 80"]
    )
    return str(api.inspect_image(f"{name}:{tag}")["Id"])


def test_what_was_built_at_two_times_has_one_id(api: Any, name: str) -> None:
    content = secrets.token_bytes(8)
    first, second = (imported(api, name, tag, content) for tag in ("1", "2"))
    assert first != second
    before = api.inspect_image(f"{name}:1")
    if takes_the_time(api):
        assert settle_image(api, f"{name}:1") == first
        return

    settled = settle_image(api, f"{name}:1")

    assert settle_image(api, f"{name}:2") == settled not in (first, second)
    assert settle_image(api, f"{name}:2") == settled
    after = api.inspect_image(f"{name}:2")
    assert (after["Config"], after["RootFS"]) == (before["Config"], before["RootFS"])
    with pytest.raises(docker.errors.ImageNotFound):
        api.inspect_image(first)
    image = imported(api, name, "3", secrets.token_bytes(8))
    assert settle_image(api, f"{name}:3") not in (image, settled)


def test_what_has_another_name_stays(api: Any, name: str) -> None:
    image = imported(api, name, "1", b"content")
    api.tag(image, name, "2")
    assert (settle_image(api, f"{name}:1") == image) is takes_the_time(api)
    assert api.inspect_image(f"{name}:2")["Id"] == image
