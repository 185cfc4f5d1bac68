"""Which place of blobs a gateway's settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.store.blobs import Blobs


def make_blobs(settings: Settings) -> Blobs | None:
    """The place that `settings.blobs` names, the stack's own part of it; None when snapshots are off."""
    kind, _, place = settings.blobs.partition(":")
    if kind == "folder":
        from gateway.store.blobs.folder import FolderBlobs

        reserve, most = settings.disk_reserve_percent / 100, settings.stored_mb * 1024 * 1024
        return FolderBlobs(place, settings.stack, reserve=reserve, most=most)
    if kind == "s3":
        from gateway.store.blobs.s3 import S3Blobs

        bucket, _, prefix = place.removeprefix("//").partition("/")
        prefix = "/".join(part for part in (prefix.strip("/"), settings.stack) if part)
        return S3Blobs(bucket, prefix, endpoint=settings.s3_endpoint, region=settings.region)
    return None
