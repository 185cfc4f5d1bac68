"""A proxy in front of DynamoDB Local that does what production does: throttles, fails, is slow, loses answers.

    python -m tests.gateway.fault_proxy --upstream http://dynamodb:8000 --port 8001

`GET /_faults` answers the faults and what was done so far; `PUT /_faults` sets them (fields of `Faults`; those that
are not named become 0). Needs aiohttp only.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
from collections import Counter
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from types import TracebackType

HOP_BY_HOP = frozenset(
    {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "date", "server"}
)
_TYPE = "application/x-amz-json-1.0"
_NAMESPACE = "com.amazonaws.dynamodb.v20120810#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities (0 to 1) of what is done to a request; at most one of them is.

    throttle: 400 ProvisionedThroughputExceededException, nothing is done. error: 500, nothing is done. cut: the
    connection breaks, nothing is done. lost: the request is done and its answer never arrives; the connection is held
    for `hold_seconds` (beyond a client's time-out), then broken. zombie: the connection breaks at once, and the request
    is done `hold_seconds` later or at the proxy's `release`, behind the client's next ones. partial: only half of a
    batch is done, the rest is answered as unprocessed (other requests pass). Every request waits up to `latency_ms`.
    """

    throttle: float = 0.0
    error: float = 0.0
    cut: float = 0.0
    lost: float = 0.0
    zombie: float = 0.0
    partial: float = 0.0
    latency_ms: float = 0.0
    hold_seconds: float = 0.0

    @classmethod
    def parse(cls, body: Any) -> Self:
        """From JSON. Raises `ValueError` naming what is wrong."""
        names = {item.name for item in fields(cls)}
        if not isinstance(body, dict) or not body.keys() <= names:
            raise ValueError(f"faults are an object of {', '.join(sorted(names))}")
        for name, value in body.items():
            if not isinstance(value, int | float) or not 0 <= value <= (1 if name in _KINDS else 1e6):
                raise ValueError(f"{name} is {value!r}")
        return cls(**body)


_KINDS = ("throttle", "error", "cut", "lost", "zombie", "partial")


class FaultProxy:
    """`async with FaultProxy(upstream) as proxy`: `proxy.url` leads to `upstream` through `proxy.faults`, which `only`
    narrows to one operation (`PutItem` …). `done` counts."""

    def __init__(
        self, upstream: str, *, host: str = "127.0.0.1", port: int = 0, seed: int | None = None
    ) -> None:
        self.faults = Faults()
        self.only = ""
        self.done: Counter[str] = Counter()
        self.url = ""
        self._upstream = upstream.rstrip("/")
        self._random = random.Random(seed)
        self._released = asyncio.Event()
        self._under_way: set[asyncio.Task[tuple[int, dict[str, str], bytes]]] = set()
        self._client: aiohttp.ClientSession | None = None
        app = web.Application(client_max_size=32 * 1024 * 1024)
        app.router.add_get("/_faults", self._show)
        app.router.add_put("/_faults", self._set)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        self._address = host, port

    async def __aenter__(self) -> Self:
        self._client = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address).start()
        self.url = f"http://{self._address[0]}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        await self.settle()
        await self._runner.cleanup()
        if self._client is not None:
            await self._client.close()

    def release(self) -> None:
        """Let the zombies of now go on."""
        self._released.set()
        self._released = asyncio.Event()

    async def settle(self) -> None:
        """Wait until nothing is under way: no zombie, and no request that its client has given up."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response({"faults": asdict(self.faults), "done": self.done})

    async def _set(self, request: web.Request) -> web.Response:
        try:
            self.faults = Faults.parse(await request.json())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        return await self._show(request)

    def _draw(self, faults: Faults) -> str:
        point = self._random.random()
        for kind in _KINDS:
            point -= getattr(faults, kind)
            if point < 0:
                return kind
        return "passed"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        target = headers.get("X-Amz-Target", "")
        faults = self.faults if target.endswith(self.only) else Faults()
        kind = self._draw(faults)
        self.done[kind] += 1
        if faults.latency_ms:
            await asyncio.sleep(self._random.uniform(0, faults.latency_ms) / 1000)
        match kind:
            case "throttle":
                return _error(400, "ProvisionedThroughputExceededException")
            case "error":
                return _error(500, "InternalServerError")
            case "cut":
                return _break(request)
            case "zombie":
                self._forward(request.path_qs, headers, body, faults.hold_seconds)
                return _break(request)
            case "partial" if "Batch" in target:
                return await self._half(request.path_qs, headers, json.loads(body))
        status, answer_headers, answer = await self._forward(request.path_qs, headers, body, 0)
        if kind == "lost":
            await asyncio.sleep(faults.hold_seconds)
            return _break(request)
        return web.Response(status=status, headers=answer_headers, body=answer)

    async def _half(self, path: str, headers: dict[str, str], batch: Any) -> web.Response:
        write = headers["X-Amz-Target"].endswith("BatchWriteItem")
        ((table, asked),) = batch["RequestItems"].items()
        items: list[Any] = asked if write else asked["Keys"]
        done, rest = items[: len(items) // 2], items[len(items) // 2 :]

        def part(some: list[Any]) -> Any:
            return {table: some if write else {**asked, "Keys": some}}

        answer: dict[str, Any] = {} if write else {"Responses": {table: []}}
        if done:
            body = json.dumps({**batch, "RequestItems": part(done)}).encode()
            status, answer_headers, answered = await self._forward(path, headers, body, 0)
            if status != 200:
                return web.Response(status=status, headers=answer_headers, body=answered)
            answer = json.loads(answered)
        answer["UnprocessedItems" if write else "UnprocessedKeys"] = part(rest)
        return web.Response(content_type=_TYPE, body=json.dumps(answer).encode())

    def _forward(
        self, path: str, headers: dict[str, str], body: bytes, delay: float
    ) -> asyncio.Task[tuple[int, dict[str, str], bytes]]:
        task = asyncio.create_task(self._send(path, headers, body, delay))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _send(
        self, path: str, headers: dict[str, str], body: bytes, delay: float
    ) -> tuple[int, dict[str, str], bytes]:
        if delay:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._released.wait()
        assert self._client is not None
        try:
            async with self._client.post(self._upstream + path, headers=headers, data=body) as answer:
                kept = {
                    name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP
                }
                return answer.status, kept, await answer.read()
        except aiohttp.ClientError as error:
            return 503, {}, json.dumps({"__type": "ServiceUnavailable", "message": repr(error)}).encode()


def _error(status: int, code: str) -> web.Response:
    body = {"__type": _NAMESPACE + code, "message": "injected"}
    return web.Response(status=status, content_type=_TYPE, body=json.dumps(body).encode())


def _break(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


async def serve(upstream: str, host: str, port: int, seed: int | None) -> None:
    """Until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with FaultProxy(upstream, host=host, port=port, seed=seed):
        await stop.wait()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="fault_proxy", description="Injects faults in front of DynamoDB Local."
    )
    parser.add_argument("--upstream", required=True, help="URL of DynamoDB Local")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--seed", type=int, default=None, help="makes the faults the same each time")
    options = parser.parse_args()
    asyncio.run(serve(options.upstream, options.host, options.port, options.seed))


if __name__ == "__main__":
    main()
