"""Data keys under a key of KMS: real calls to ministack's, and the errors of AWS's that it does not make."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import boto3
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.errors import StoreUnavailable
from gateway.store.dynamo import DynamoStore
from gateway.store.kms import CONTEXT, KmsKey
from gateway.store.wrapping import ID_BYTES, StackKey, UnknownKey, UnwrapError, Wrapping
from tests.conftest import ministack
from tests.gateway.store.store_samples import message, session
from tests.gateway.store.store_table import scan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gateway.config import Settings

REGION = "us-east-1"

MARK = "a-sentence-that-nobody-else-reads"

NEW = "n" * 48


@pytest.fixture(scope="module")
def aws_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a ministack that serves KMS alone."""
    with ministack("kms", tmp_path_factory.mktemp("ministack") / "log") as url:
        yield url


def client(endpoint: str) -> Any:
    return boto3.client(
        "kms", endpoint_url=endpoint, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
    )


@pytest.fixture
def arn(aws_endpoint: str) -> str:
    """A key of the test's own."""
    return str(client(aws_endpoint).create_key()["KeyMetadata"]["Arn"])


def key_at(endpoint: str, arn: str, seconds: float = 20.0) -> KmsKey:
    return KmsKey(arn, offload=asyncio.to_thread, region=REGION, endpoint=endpoint, seconds=seconds)


class Faulty:
    """KMS with errors before it: `errors`, each answered once, and `always`, by operation; `asked` counts."""

    def __init__(self, upstream: str) -> None:
        self.errors: list[tuple[int, str]] = []
        self.always: dict[str, tuple[int, str]] = {}
        self.asked: Counter[str] = Counter()
        self._upstream = upstream

    async def answer(self, request: web.Request) -> web.Response:
        operation = request.headers["X-Amz-Target"].partition(".")[2]
        self.asked[operation] += 1
        error = self.always.get(operation) or (self.errors.pop(0) if self.errors else None)
        if error is not None:
            return web.json_response({"__type": error[1], "Message": "no"}, status=error[0])
        kept = ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")
        headers = {name: request.headers[name] for name in kept}
        async with (
            aiohttp.ClientSession() as http,
            http.post(self._upstream, data=await request.read(), headers=headers) as answer,
        ):
            return web.Response(
                body=await answer.read(), status=answer.status, content_type="application/x-amz-json-1.1"
            )


@asynccontextmanager
async def faulty(upstream: str) -> AsyncIterator[tuple[Faulty, str]]:
    """With its URL."""
    faults = Faulty(upstream)
    app = web.Application()
    app.router.add_post("/", faults.answer)
    async with TestServer(app) as server:
        yield faults, str(server.make_url("/")).rstrip("/")


async def test_what_it_encrypts_opens_with_its_key_and_its_name_alone(aws_endpoint: str, arn: str) -> None:
    kms, stack = key_at(aws_endpoint, arn), StackKey(NEW)
    wrapped = await Wrapping(kms, stack).wrap(b"a data key", "content-1")
    assert wrapped[:ID_BYTES] == kms.id
    assert b"a data key" not in wrapped
    assert await Wrapping(stack, key_at(aws_endpoint, arn)).unwrap(wrapped, "content-1") == b"a data key"
    for bad in (b"", b"no such thing", wrapped[ID_BYTES:] * 100):
        with pytest.raises(UnwrapError, match="changed"):
            await kms.decrypt(bad, "content-1")
    with pytest.raises(UnwrapError, match="changed, or encrypted for another name"):
        await kms.decrypt(wrapped[ID_BYTES:], "content-2")
    with pytest.raises(UnknownKey):
        await Wrapping(stack).unwrap(wrapped, "content-1")
    # KMS itself knows the name, which is what the gateways' role is bound to.
    opened = client(aws_endpoint).decrypt(
        CiphertextBlob=wrapped[ID_BYTES:], EncryptionContext={CONTEXT: "content-1"}
    )
    assert (opened["Plaintext"], opened["KeyId"]) == (b"a data key", arn)


async def test_a_call_that_is_throttled_or_fails_is_tried_again(aws_endpoint: str, arn: str) -> None:
    async with faulty(aws_endpoint) as (faults, url):
        faults.errors = [
            (400, "ThrottlingException"),
            (500, "KMSInternalException"),
            (400, "KeyUnavailableException"),
            (503, "DependencyTimeoutException"),
        ]
        kms = key_at(url, arn)
        encrypted = await kms.encrypt(b"a data key", "content-1")
        assert faults.asked == {"Encrypt": 5}
        assert await kms.decrypt(encrypted, "content-1") == b"a data key"


async def test_one_that_stays_throttled_or_is_refused_says_what_to_do(aws_endpoint: str, arn: str) -> None:
    async with faulty(aws_endpoint) as (faults, url):
        kms = key_at(url, arn, seconds=0.3)
        encrypted = await kms.encrypt(b"a data key", "content-1")
        for operation, work in (
            ("Encrypt", partial(kms.encrypt, b"a data key", "content-1")),
            ("Decrypt", partial(kms.decrypt, encrypted, "content-1")),
        ):
            faults.always = {operation: (400, "ThrottlingException")}
            with pytest.raises(StoreUnavailable, match=r"overloaded \(ThrottlingException\); try again"):
                await work()
            faults.asked.clear()
            for name in ("AccessDeniedException", "DisabledException", "KMSInvalidStateException"):
                faults.always = {operation: (400, name)}
                with pytest.raises(
                    StoreUnavailable,
                    match=rf"KMS refuses to {operation.lower()} with the key {arn} \({name}\): let the",
                ):
                    await work()
            assert faults.asked == {operation: 3}  # nothing is mended by asking again
            faults.always = {}


async def test_a_key_that_was_disabled_says_so(aws_endpoint: str, arn: str) -> None:
    kms = key_at(aws_endpoint, arn)
    encrypted = await kms.encrypt(b"a data key", "content-1")
    client(aws_endpoint).disable_key(KeyId=arn)
    with pytest.raises(StoreUnavailable, match="DisabledException"):
        await kms.decrypt(encrypted, "content-1")
    client(aws_endpoint).enable_key(KeyId=arn)
    assert await kms.decrypt(encrypted, "content-1") == b"a data key"


async def test_one_that_does_not_answer_says_so(arn: str) -> None:
    kms = key_at("http://127.0.0.1:9", arn, seconds=0.3)
    with pytest.raises(StoreUnavailable, match=r"KMS does not answer.*EndpointConnectionError"):
        await kms.encrypt(b"a data key", "content-1")


@asynccontextmanager
async def opened(settings: Settings, **changes: Any) -> AsyncIterator[DynamoStore]:
    store = DynamoStore(replace(settings, **changes))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def heads(store: DynamoStore) -> dict[str, bytes]:
    """By name, the ids of the keys that data keys are encrypted with."""
    return {
        item["sk"]["S"].removeprefix("KEY#"): item["wrapped"]["B"][:ID_BYTES]
        for item in await scan(store)
        if item["sk"]["S"].startswith("KEY#")
    }


async def test_a_store_goes_over_to_kms_and_back_and_reads_all(
    store: DynamoStore, store_settings: Settings, aws_endpoint: str, arn: str
) -> None:
    """The gateways of an update stand side by side, and either way is open to both."""
    known = replace(store_settings, kms_arn=arn, kms_endpoint=aws_endpoint)
    kms, stack = key_at(aws_endpoint, arn).id, StackKey(store_settings.credential_key).id
    await store.create_session(session("s1"))
    await store.put_message(message("s1", "m1", content=MARK))
    async with opened(known) as before, opened(known, encrypt_with="kms") as after:
        assert set((await heads(store)).values()) == {kms}
        for number, writer in enumerate((before, after), 2):
            await writer.put_message(message("s1", f"m{number}", content=MARK))
            for reader in (before, after):
                texts = [item.content for item in (await reader.list_messages("s1")).items]
                assert texts == [MARK] * number
        assert (await after.credential_keys()).current == "credentials-2"
    async with opened(known) as back:  # what KMS has encrypted stays as it is, and is read
        assert [item.content for item in (await back.list_messages("s1")).items] == [MARK] * 3
        assert set((await heads(store)).values()) == {kms}
    rotated = {"credential_key": NEW, "credential_key_accepted": store_settings.credential_key}
    async with opened(known, **rotated) as back:
        assert kms not in (await heads(store)).values()
        assert stack not in (await heads(store)).values()
    async with opened(store_settings, credential_key=NEW) as without:
        assert [item.content for item in (await without.list_messages("s1")).items] == [MARK] * 3


async def test_while_kms_refuses_a_gateway_does_not_start_and_one_that_runs_goes_on(
    store: DynamoStore, store_settings: Settings, aws_endpoint: str, arn: str
) -> None:
    await store.create_session(session("s1"))
    async with faulty(aws_endpoint) as (faults, url):
        known = replace(store_settings, kms_arn=arn, kms_endpoint=url, encrypt_with="kms")
        async with opened(known) as running:
            await running.put_message(message("s1", "m1", content=MARK))
            asked = faults.asked["Decrypt"]
            faults.always = dict.fromkeys(("Encrypt", "Decrypt"), (400, "AccessDeniedException"))
            stranger = DynamoStore(known)
            with pytest.raises(StoreUnavailable, match=r"KMS refuses to decrypt .*AccessDeniedException"):
                await stranger.open()
            await stranger.close()
            before = await heads(store)
            await running.put_message(message("s1", "m2", content=MARK))
            assert [item.content for item in (await running.list_messages("s1")).items] == [MARK] * 2
            assert await heads(store) == before
            faults.always = {}
        async with opened(known) as later:
            assert [item.content for item in (await later.list_messages("s1")).items] == [MARK] * 2
        # A data key is asked for once by a gateway, and not with each message.
        assert faults.asked["Decrypt"] <= asked + 2 * len(before) + 2
