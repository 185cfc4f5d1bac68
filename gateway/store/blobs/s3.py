"""Blobs as objects of an S3 bucket, or of anything that speaks S3; boto3 blocks in threads of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from container.protocol import RUN_ID
from gateway.store.blobs import BlobNotFound, BlobsUnavailable, checked, grouped
from gateway.store.blobs.aws import make_client

log = logging.getLogger(__name__)
R = TypeVar("R")

THREADS: Final = 16
"""Requests under way at once; more wait."""

PART_BYTES: Final = 8 * 1024 * 1024
"""Of a multipart upload: S3 wants at least 5 MiB and at most 10,000 parts, so a blob may have 80 GB."""

READ_BYTES: Final = 1024 * 1024

ATTEMPTS: Final = 4
"""Of a request, by botocore, with its pauses: every request here may be repeated."""


class Bucket:
    """The one place where boto3 blocks: requests on one bucket, in bounded threads."""

    def __init__(self, name: str, *, endpoint: str = "", region: str = "") -> None:
        self._name = name
        self._endpoint, self._region = endpoint, region
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")
        self._connecting = asyncio.Lock()
        self._client: Any = None

    async def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """One operation by its boto3 name. Raises `BlobNotFound`, `BlobsUnavailable`."""
        async with self._connecting:
            if self._client is None:
                self._client = await self.offload(self._connect)
        method: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        return await self.offload(lambda: method(Bucket=self._name, **request))

    async def offload(self, work: Callable[[], R]) -> R:
        """Run blocking work in the bucket's threads; its errors are ours."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except ClientError as error:
            code = str(error.response["Error"].get("Code", ""))
            if code in {"NoSuchKey", "404"}:
                raise BlobNotFound("There is no such snapshot.") from None
            raise BlobsUnavailable(f"The bucket {self._name} cannot be used ({code}).") from error
        except BotoCoreError as error:
            raise BlobsUnavailable(
                f"The bucket {self._name} does not answer ({type(error).__name__})."
            ) from error

    def close(self) -> None:
        """Release threads and sockets. May be called twice."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    def _connect(self) -> Any:
        config = Config(
            connect_timeout=3,
            read_timeout=60,
            max_pool_connections=THREADS,
            retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            tcp_keepalive=True,
            # Buckets that are not Amazon's know neither the newer checksums nor names as hosts.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if self._endpoint else None,
        )
        return make_client("s3", config, endpoint=self._endpoint, region=self._region)


class S3Blobs:
    """`<prefix>/<name>` in a bucket. Credentials are those that boto3 finds (a task's role, `AWS_…` variables).

    What a gateway that was killed in a large upload leaves, only a lifecycle rule of the bucket removes
    (AbortIncompleteMultipartUpload).
    """

    def __init__(self, bucket: str, prefix: str, *, endpoint: str = "", region: str = "") -> None:
        self._bucket = Bucket(bucket, endpoint=endpoint, region=region)
        self._prefix = f"{prefix}/" if prefix else ""

    async def put(self, name: str, chunks: AsyncIterable[bytes]) -> int:
        """See `Blobs`: one request for up to `PART_BYTES`, else a multipart upload."""
        key = self._key(name)
        parts = grouped(chunks, PART_BYTES)
        first = await anext(parts, b"")
        second = await anext(parts, None) if len(first) == PART_BYTES else None
        if second is None:
            await self._bucket.call("put_object", Key=key, Body=first)
            return len(first)
        upload = (await self._bucket.call("create_multipart_upload", Key=key))["UploadId"]
        try:
            return await self._upload(key, upload, first, second, parts)
        except BaseException:
            with contextlib.suppress(BlobsUnavailable, BlobNotFound):
                await self._bucket.call("abort_multipart_upload", Key=key, UploadId=upload)
            raise

    @contextlib.asynccontextmanager
    async def open(self, name: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Blobs`: one GetObject, whose answer is of one version."""
        body = (await self._bucket.call("get_object", Key=self._key(name)))["Body"]

        async def chunks() -> AsyncIterator[bytes]:
            while chunk := await self._bucket.offload(lambda: bytes(body.read(READ_BYTES))):
                yield chunk

        try:
            yield chunks()
        finally:
            body.close()

    async def delete(self, name: str) -> None:
        """See `Blobs`; S3 answers success for what is gone."""
        await self._bucket.call("delete_object", Key=self._key(name))

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[str]:
        """See `Blobs`; `limit` is at most 1,000 (documented)."""
        request: dict[str, Any] = {"Prefix": self._prefix, "Delimiter": "/", "MaxKeys": limit}
        request |= {"StartAfter": self._prefix + after} if after else {}
        names: list[str] = []
        while len(names) < limit:
            answer = await self._bucket.call("list_objects_v2", **request)
            found = (item["Key"].removeprefix(self._prefix) for item in answer.get("Contents", ()))
            names += [name for name in found if RUN_ID.fullmatch(name)]
            if not answer.get("IsTruncated"):
                break
            request["ContinuationToken"] = answer["NextContinuationToken"]
        return names[:limit]

    async def close(self) -> None:
        """See `Blobs`."""
        self._bucket.close()

    def _key(self, name: str) -> str:
        return self._prefix + checked(name)

    async def _upload(
        self, key: str, upload: str, first: bytes, second: bytes, rest: AsyncIterator[bytes]
    ) -> int:
        done: list[dict[str, Any]] = []
        size = 0

        async def send(part: bytes) -> None:
            nonlocal size
            number = len(done) + 1
            answer = await self._bucket.call(
                "upload_part", Key=key, UploadId=upload, PartNumber=number, Body=part
            )
            done.append({"PartNumber": number, "ETag": answer["ETag"]})
            size += len(part)

        await send(first)
        await send(second)
        async for part in rest:
            await send(part)
        await self._bucket.call(
            "complete_multipart_upload", Key=key, UploadId=upload, MultipartUpload={"Parts": done}
        )
        return size
