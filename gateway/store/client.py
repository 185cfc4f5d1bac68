"""The table: the one place where boto3 blocks. Bounded threads, short time-outs, retries with full jitter."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gateway.errors import StoreUnavailable
from gateway.ids import new_id
from gateway.store.blobs.aws import make_client
from gateway.store.codec import Item, decode, encode
from gateway.store.keys import Key
from gateway.store.requests import ConditionFailed, Write, encode_key, failures

log = logging.getLogger(__name__)
R = TypeVar("R")

THREADS: Final = 32
"""Requests under way at once; more wait. At 5 ms each that is more than one core's boto3 can ask for."""

RETRY_SECONDS: Final = 8.0
"""Seconds for which an operation is tried: two time-outs and some pauses, and still an answer to whoever asked."""

LEAST_SECONDS: Final = 2.0
"""An attempt gets this long at least, also where less is left of an operation's time."""

BATCH_WRITE: Final = 25
BATCH_READ: Final = 100
"""Items of one BatchWriteItem and BatchGetItem (documented limits)."""

_RETRYABLE: Final = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_THROTTLED: Final = frozenset(
    {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}
)
_UNUSABLE: Final = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "MissingAuthenticationTokenException",
        "ResourceNotFoundException",
        "UnrecognizedClientException",
    }
)


class RetryBudget:
    """Waits between attempts, with full jitter, until a deadline; then raises `errors.StoreUnavailable`."""

    def __init__(self, seconds: float, *, base: float = 0.02, cap: float = 0.8) -> None:
        self._clock = asyncio.get_running_loop().time
        self._deadline = self._clock() + seconds
        self._pause, self._cap = base, cap

    def left(self) -> float:
        """Seconds until the deadline; below 0 when it is over."""
        return self._deadline - self._clock()

    async def wait(self, why: object) -> None:
        """Pause before the next attempt. `why` the last one failed goes into the error."""
        pause = random.uniform(0, self._pause)
        self._pause = min(self._cap, self._pause * 2)
        if self._clock() + pause >= self._deadline:
            raise StoreUnavailable(f"the store does not answer or is overloaded ({why}); try again")
        await asyncio.sleep(pause)


class Table:
    """Async operations on one DynamoDB table, items as plain Python.

    Reads are strongly consistent. Every operation is tried until it succeeds, fails for good or `seconds` are over
    (`errors.StoreUnavailable`: the outcome is unknown); so every condition must hold for its own second attempt, or the
    caller must recognise its own work in `ConditionFailed.found`.
    """

    def __init__(
        self, name: str, *, endpoint: str = "", region: str = "", seconds: float = RETRY_SECONDS
    ) -> None:
        self.name = name
        self.seconds = seconds
        self._endpoint, self._region = endpoint, region
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="dynamodb")
        self._client: Any = None
        self.throttles = 0
        """Requests that DynamoDB refused as too many, since the start."""

    async def connect(self) -> None:
        """Make the client (half a second of work, no request)."""
        if self._client is None:
            self._client = await self.offload(self._connect)

    def _connect(self) -> Any:
        config = Config(
            connect_timeout=1,
            read_timeout=3,
            max_pool_connections=THREADS,
            parameter_validation=False,
            retries={"total_max_attempts": 1, "mode": "standard"},
            tcp_keepalive=True,
        )
        # DynamoDB Local wants credentials, and takes any.
        return make_client("dynamodb", config, endpoint=self._endpoint, region=self._region, key="local")

    def close(self) -> None:
        """Release the threads and sockets; what is under way ends by its time-out, and what comes later is refused. May
        be called twice."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()
            self._client = None

    async def offload(self, work: Callable[..., R], *args: Any) -> R:
        """Run blocking work in the table's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def call(self, operation: str, **request: Any) -> dict[str, Any]:
        """One DynamoDB operation by its boto3 name, retried. Raises `ClientError` for what no retry mends."""
        budget = RetryBudget(self.seconds)
        while True:
            if self._client is None:  # asked each time: it may be closed between two attempts
                raise StoreUnavailable("the store is not open")
            method: Callable[..., dict[str, Any]] = getattr(self._client, operation)
            try:
                # In time also where every thread is taken by requests that wait for their time-outs.
                async with asyncio.timeout(max(LEAST_SECONDS, budget.left())):
                    return await self.offload(partial(method, **request))
            except TimeoutError as error:
                log.warning("%s on %s gave up: no answer in time", operation, self.name)
                raise StoreUnavailable("the store does not answer in time; try again") from error
            except ClientError as error:
                self.throttles += _name(error) in _THROTTLED
                if _name(error) in _UNUSABLE:
                    log.warning("%s on %s: %s", operation, self.name, error)
                    raise StoreUnavailable(f"the store cannot be used ({_name(error)})") from error
                if not _retryable(error):
                    raise
                cause: BotoCoreError | ClientError = error
            except BotoCoreError as error:
                cause = error
            log.debug("%s on %s: %s", operation, self.name, cause)
            try:
                await budget.wait(_name(cause))
            except StoreUnavailable as error:
                log.warning("%s on %s gave up: %s", operation, self.name, cause)
                raise error from cause

    # -- reads ---------------------------------------------------------------------------------------------------
    async def get(self, key: Key) -> Item | None:
        """One item, or None."""
        answer = await self.call("get_item", TableName=self.name, Key=encode_key(key), ConsistentRead=True)
        return decode(answer["Item"]) if "Item" in answer else None

    async def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """The items that are there, by key. Each is as it was at some time in the call."""
        found: dict[Key, Item] = {}
        for start in range(0, len(keys), BATCH_READ):
            wanted: Any = {
                self.name: {
                    "Keys": [encode_key(key) for key in keys[start : start + BATCH_READ]],
                    "ConsistentRead": True,
                }
            }
            budget = RetryBudget(self.seconds)
            while True:
                answer = await self.call("batch_get_item", RequestItems=wanted)
                for item in map(decode, answer["Responses"].get(self.name, ())):
                    found[item["pk"], item["sk"]] = item
                wanted = answer.get("UnprocessedKeys")
                if not wanted:
                    break
                await budget.wait("UnprocessedKeys")
        return found

    async def page(self, request: dict[str, Any]) -> tuple[list[Item], dict[str, Any] | None]:
        """One page of a query and the key that the next one starts from."""
        answer = await self.call("query", TableName=self.name, **request)
        return [decode(item) for item in answer["Items"]], answer.get("LastEvaluatedKey")

    async def pages(self, request: dict[str, Any]) -> AsyncIterator[list[Item]]:
        """Every page of a query (a page is at most 1 MB); see `queries.by_prefix` and `queries.between`."""
        start = request.get("ExclusiveStartKey")
        while True:
            items, start = await self.page({**request, "ExclusiveStartKey": start} if start else request)
            yield items
            if not start:
                return

    # -- writes --------------------------------------------------------------------------------------------------
    async def write(self, write: Write) -> Item:
        """One write; returns the item as it is after an update. Raises `ConditionFailed`."""
        request = {"TableName": self.name, **write.request}
        if write.kind == "Update":
            request["ReturnValues"] = "ALL_NEW"
        try:
            answer = await self.call(f"{write.kind.lower()}_item", **request)
        except ClientError as error:
            if _name(error) != "ConditionalCheckFailedException":
                raise
            raise ConditionFailed((decode(_response(error).get("Item", {})),)) from None
        return decode(answer.get("Attributes", {}))

    async def transact(self, writes: Sequence[Write]) -> None:
        """All the writes or none (at most 100, 4 MB); clashes are retried. Raises `ConditionFailed`.

        All attempts carry one ClientRequestToken: DynamoDB answers a repeat of what it did (10 minutes) with success.
        """
        items = [{write.kind: {"TableName": self.name, **write.request}} for write in writes]
        token = new_id()
        try:
            await self.call("transact_write_items", TransactItems=items, ClientRequestToken=token)
        except ClientError as error:
            if _name(error) != "TransactionCanceledException":
                raise
            raise ConditionFailed(failures(_reasons(error))) from None

    async def write_many(self, *, puts: Sequence[Item] = (), deletes: Sequence[Key] = ()) -> None:
        """Unconditional puts and deletes, in batches, each repeated until it is done."""
        requests: list[Any] = [{"PutRequest": {"Item": encode(item)}} for item in puts]
        requests += [{"DeleteRequest": {"Key": encode_key(key)}} for key in deletes]
        for start in range(0, len(requests), BATCH_WRITE):
            wanted: Any = {self.name: requests[start : start + BATCH_WRITE]}
            budget = RetryBudget(self.seconds)
            while wanted:
                wanted = (await self.call("batch_write_item", RequestItems=wanted)).get("UnprocessedItems")
                if wanted:
                    await budget.wait("UnprocessedItems")


def _name(error: BotoCoreError | ClientError) -> str:
    return (
        str(error.response["Error"].get("Code", ""))
        if isinstance(error, ClientError)
        else type(error).__name__
    )


def _reasons(error: ClientError) -> list[dict[str, Any]]:
    reasons: list[dict[str, Any]] = _response(error).get("CancellationReasons", [])
    return reasons


def _response(error: ClientError) -> dict[str, Any]:
    """The whole answer: boto3's types know only what every error has."""
    return dict(error.response)


def _retryable(error: ClientError) -> bool:
    if _name(error) == "TransactionCanceledException":
        codes = {str(reason.get("Code")) for reason in _reasons(error)} - {"None"}
        return "ConditionalCheckFailed" not in codes and "ValidationError" not in codes
    return _name(error) in _RETRYABLE or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
