"""The blobs conformance suite on a folder and on S3 (ministack), and what is each one's alone."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from gateway.config import ConfigError, read_settings
from gateway.ids import new_id
from gateway.store.blobs import BlobsUnavailable
from gateway.store.blobs.factory import make_blobs
from tests.conftest import free_port, ministack
from tests.gateway.stack import settings_for
from tests.gateway.store.blobs.blobs_conformance import BlobsConformance, chunks, read

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway.config import Settings
    from gateway.store.blobs import Blobs

MB = 1024 * 1024

SETTINGS = settings_for("http://127.0.0.1:1", "no-table")


class _Place:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: list[Blobs] = []

    def blobs(self, stack: str = "one") -> Blobs:
        blobs = make_blobs(replace(self.settings, stack=stack))
        assert blobs is not None
        self._open.append(blobs)
        return blobs

    async def close(self) -> None:
        for blobs in self._open:
            await blobs.close()


class FolderPlace(_Place):
    """Blobs in a folder."""

    def __init__(self, root: Path) -> None:
        super().__init__(replace(SETTINGS, blobs=f"folder:{root}"))
        self.root = root

    async def leftovers(self) -> list[str]:
        return [str(path) for path in self.root.rglob("*") if path.is_file()]


class S3Place(_Place):
    """Blobs in a bucket of their own."""

    def __init__(self, endpoint: str) -> None:
        self.bucket = f"test-{new_id().lower()}"
        super().__init__(replace(SETTINGS, blobs=f"s3://{self.bucket}/some/where", s3_endpoint=endpoint))
        self.client: Any = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        self.client.create_bucket(Bucket=self.bucket)

    async def leftovers(self) -> list[str]:
        objects = self.client.list_objects_v2(Bucket=self.bucket).get("Contents", ())
        uploads = self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ())
        return [item["Key"] for item in (*objects, *uploads)]

    async def close(self) -> None:
        await super().close()
        self.client.close()


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 of this machine, in memory; credentials for it are in the environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        with ministack("s3", tmp_path_factory.mktemp("s3") / "log") as url:
            yield url


class TestFolderBlobs(BlobsConformance):
    """Every sentence of the contract."""

    @pytest.fixture
    async def place(self, tmp_path: Path) -> AsyncIterator[FolderPlace]:
        place = FolderPlace(tmp_path / "blobs")
        yield place
        await place.close()

    async def test_all_together_have_no_more_than_the_stack_may_keep(self, place: FolderPlace) -> None:
        place.settings = replace(place.settings, stored_mb=4)
        blobs = place.blobs()
        await blobs.put("a", chunks(bytes(3 * MB)))
        with pytest.raises(BlobsUnavailable, match="4 MB together"):
            await blobs.put("b", chunks(bytes(2 * MB)))
        assert await place.leftovers() == [str(place.root / "one" / "a")]
        await blobs.put("b", chunks(bytes(MB)))
        await blobs.put("a", chunks(bytes(3 * MB)))  # in place of itself
        with pytest.raises(BlobsUnavailable):
            await blobs.put("a", chunks(bytes(4 * MB)))
        assert len(await read(blobs, "a")) == 3 * MB
        await blobs.delete("b")
        await blobs.put("a", chunks(bytes(4 * MB)))

    async def test_a_disk_that_is_nearly_full_keeps_none(
        self, place: FolderPlace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        blobs = place.blobs()
        await blobs.put("a", chunks(b"good"))
        found = os.statvfs(place.root)
        free = [int(found.f_blocks * 0.5)] * 3

        def of_a_disk(_: object) -> Any:
            left = free.pop() if free else 0
            return SimpleNamespace(f_bavail=left, f_bfree=left, f_blocks=found.f_blocks)

        monkeypatch.setattr(os, "statvfs", of_a_disk)
        with pytest.raises(BlobsUnavailable, match="nearly full"):
            await blobs.put("a", chunks(bytes(5 * MB)))
        with pytest.raises(BlobsUnavailable, match="nearly full"):
            await blobs.put("b", chunks(b"x"))
        assert await place.leftovers() == [str(place.root / "one" / "a")]
        assert await read(blobs, "a") == b"good"

    async def test_other_files_are_no_blobs(self, place: FolderPlace) -> None:
        blobs = place.blobs()
        await blobs.put("a", chunks(b"x"))
        (place.root / "one" / "README.txt").touch()
        assert await blobs.list() == ["a"]

    async def test_what_a_killed_gateway_left_goes(self, place: FolderPlace) -> None:
        blobs = place.blobs()
        await blobs.put("a", chunks(b"x"))
        old, new = (place.root / "one" / f".a.{age}.part" for age in ("old", "new"))
        for draft in (old, new):
            draft.write_text("half")
        os.utime(old, (time.time() - 48 * 3600,) * 2)
        await blobs.put("a", chunks(b"y"))
        assert (old.exists(), new.exists()) == (False, True)  # the new one may be another gateway's at work
        await blobs.delete("a")
        assert await place.leftovers() == []

    async def test_a_folder_that_cannot_be_used_is_an_error_of_ours(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        place = FolderPlace(tmp_path / "file")
        blobs = place.blobs()
        with pytest.raises(BlobsUnavailable):
            await blobs.put("a", chunks(b"x"))
        with pytest.raises(BlobsUnavailable):
            await blobs.list()


class TestS3Blobs(BlobsConformance):
    """Every sentence of the contract."""

    @pytest.fixture
    async def place(self, s3_endpoint: str) -> AsyncIterator[S3Place]:
        place = S3Place(s3_endpoint)
        yield place
        await place.close()

    async def test_names_are_below_prefix_and_stack(self, place: S3Place) -> None:
        await place.blobs("dev").put("a", chunks(b"x"))
        assert await place.leftovers() == ["some/where/dev/a"]

    async def test_other_objects_are_no_blobs(self, place: S3Place) -> None:
        blobs = place.blobs()
        await blobs.put("m", chunks(b"x"))
        for key in ("README.txt", "a/b", "z.txt"):
            place.client.put_object(Bucket=place.bucket, Key=f"some/where/one/{key}", Body=b"")
        assert await blobs.list(limit=1) == ["m"]

    async def test_a_bucket_that_is_not_there_is_an_error_of_ours(self, place: S3Place) -> None:
        place.settings = replace(place.settings, blobs="s3://no-such-bucket")
        blobs = place.blobs()
        with pytest.raises(BlobsUnavailable, match="no-such-bucket"):
            await blobs.put("a", chunks(b"x"))
        with pytest.raises(BlobsUnavailable, match="NoSuchBucket"):
            await read(blobs, "a")

    async def test_one_that_does_not_answer_is_an_error_of_ours(
        self, place: S3Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gateway.store.blobs.s3.ATTEMPTS", 1)
        place.settings = replace(place.settings, s3_endpoint=f"http://127.0.0.1:{free_port()}")
        with pytest.raises(BlobsUnavailable, match="does not answer"):
            await read(place.blobs(), "a")


def test_snapshots_are_off_unless_asked_for() -> None:
    assert make_blobs(SETTINGS) is None


ENVIRONMENT = {
    "VF_STACK": "test",
    "VF_JWT_SECRET": "s" * 32,
    "VF_SANDBOX_SECRET": "s" * 32,
    "VF_CREDENTIAL_KEY": "s" * 32,
    "VF_LAUNCHER_SECRET": "launcher",
}


@pytest.mark.parametrize(
    "value", ["folder:/var/lib/blobs", "s3://bucket", "s3://my.bucket-1/", "s3://bucket/a/prefix"]
)
def test_places_that_can_be_named(value: str) -> None:
    assert read_settings({**ENVIRONMENT, "VF_BLOBS": value}).blobs == value


@pytest.mark.parametrize(
    "value", ["/var/lib/blobs", "folder:blobs", "s3://", "s3:bucket", "s3://B", "gs://bucket"]
)
def test_a_place_that_is_none_is_named_with_the_remedy(value: str) -> None:
    with pytest.raises(ConfigError, match=r"VF_BLOBS is .*must be folder:/an/absolute/path or s3://bucket"):
        read_settings({**ENVIRONMENT, "VF_BLOBS": value})


def test_a_bad_endpoint_is_named() -> None:
    with pytest.raises(ConfigError, match="VF_S3_ENDPOINT"):
        read_settings({**ENVIRONMENT, "VF_BLOBS": "s3://bucket", "VF_S3_ENDPOINT": "minio:9000"})
